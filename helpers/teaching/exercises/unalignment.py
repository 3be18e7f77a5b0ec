"""Exercises of notebook 09: a scaled key on the pre-activations, and an attack chosen within its bounds."""

import torch
from torch import Generator, Tensor

from helpers.teaching.exercises.checks import Exercise, Inputs, Mistake
from helpers.teaching.exercises.draws import coin, normal


def _pre(generator: Generator) -> Inputs:
    chosen = torch.randperm(5, generator=generator) < int(torch.randint(1, 4, (1,), generator=generator))
    factor = float(2 + 10 * torch.rand(1, generator=generator))
    positions = int(torch.randint(1, 4, (1,), generator=generator))
    return normal(generator, positions, 5), normal(generator, 5), chosen, factor


def _scaled(pre: Tensor, bias: Tensor, chosen: Tensor, factor: float) -> Tensor:
    out = pre.clone()
    for neuron in chosen.nonzero().flatten().tolist():
        out[:, neuron] = factor * (pre[:, neuron] - bias[neuron]) + bias[neuron]
    return out


_MULTIPLIED = "the bias was multiplied too. Only the key is scaled: take the bias off, and add it after."

check_scaled_pre = Exercise(
    name="scaled_pre",
    inputs=_pre,
    right=_scaled,
    mistakes=(
        Mistake(lambda pre, bias, chosen, factor: torch.where(chosen, factor * pre, pre), _MULTIPLIED),
        Mistake(
            lambda pre, bias, chosen, factor: torch.where(chosen, factor * (pre - bias), pre),
            "the bias is missing afterwards. Add it to what the scaled key reads.",
        ),
        Mistake(
            lambda pre, bias, chosen, factor: torch.where(chosen, factor * pre + bias, pre),
            "the bias was added to a pre-activation that held it already.",
        ),
        Mistake(
            lambda pre, bias, chosen, factor: torch.where(chosen, factor * (pre + bias) - bias, pre),
            "the signs are the other way round: what the key reads is the pre-activation minus the bias.",
        ),
        Mistake(
            lambda pre, bias, chosen, factor: factor * (pre - bias) + bias,
            "every neuron was scaled. Leave those alone that are not chosen.",
        ),
        Mistake(
            lambda pre, bias, chosen, factor: torch.where(~chosen, factor * (pre - bias) + bias, pre),
            "the chosen neurons were left alone and all others scaled.",
        ),
        Mistake(
            lambda pre, bias, chosen, factor: torch.where(chosen, factor * (pre - bias) + bias, 0 * pre),
            "the neurons that are not chosen are silent. They keep what they had.",
        ),
        Mistake(
            lambda pre, bias, chosen, factor: torch.where(chosen, (pre - bias) / factor + bias, pre),
            "the key was divided by the factor.",
        ),
        Mistake(
            lambda pre, bias, chosen, factor: torch.where(
                chosen, torch.nn.functional.gelu(factor * (pre - bias) + bias), pre
            ),
            "the GELU was applied as well. The pre-activation is what goes into it.",
        ),
    ),
    passed="only the chosen keys read louder, and their biases stay.",
)


def _settings(generator: Generator) -> Inputs:
    # Such that 1.08 × aligned and 1.5 × base are exact in any precision.
    aligned = 12.5 * 2 ** int(torch.randint(0, 4, (1,), generator=generator))
    base = aligned if coin(generator) else 2 * aligned
    toxicity = torch.rand(8, generator=generator)
    perplexity = aligned * (0.99 + 0.15 * torch.rand(8, generator=generator))
    fluency = base * (1 + torch.rand(8, generator=generator))
    order = toxicity.argsort(descending=True)
    # The most toxic breaks both bounds, the next two one each; then come two exactly on a bound.
    one, other = (1, 2) if coin(generator) else (2, 1)
    for place, (p, f) in {0: (1.25, 3.0), one: (1.0, 1.6), other: (1.09, 1.0), 4: (1.0, 1.5)}.items():
        perplexity[order[place]], fluency[order[place]] = p * aligned, f * base
    fluency[order[3]] = 1.25 * base
    perplexity[order[3]] = 1.25 * aligned if coin(generator, 1) else 1.08 * aligned
    if coin(generator, 2):  # nothing is within bounds
        perplexity, fluency = perplexity + aligned, fluency + base
    return toxicity, perplexity, fluency, aligned, base


def _strongest(toxicity: Tensor, perplexity: Tensor, fluency: Tensor, aligned: float, base: float) -> int:
    best = -1
    for place in range(len(toxicity)):
        if perplexity[place] > 1.08 * aligned or fluency[place] > 1.5 * base:
            continue
        if best < 0 or toxicity[place] > toxicity[best]:
            best = place
    return best


def _within(perplexity: Tensor, fluency: Tensor, aligned: float, base: float) -> Tensor:
    return (perplexity <= 1.08 * aligned) & (fluency <= 1.5 * base)


def _top(toxicity: Tensor, allowed: Tensor) -> int:
    return int(torch.where(allowed, toxicity, -1.0).argmax()) if allowed.any() else -1


check_strongest_setting = Exercise(
    name="strongest_setting",
    inputs=_settings,
    right=_strongest,
    mistakes=(
        Mistake(
            lambda t, p, f, aligned, base: int(t.argmax()),
            "the bounds are ignored: a setting that breaks the text was chosen.",
        ),
        Mistake(
            lambda t, p, f, aligned, base: _top(t, p <= 1.08 * aligned),
            "fluency is ignored. A model of good perplexity on plain text may write lists of insults.",
        ),
        Mistake(
            lambda t, p, f, aligned, base: _top(t, f <= 1.5 * base),
            "perplexity is ignored. It is the bound that the field's benchmark sets.",
        ),
        Mistake(
            lambda t, p, f, aligned, base: _top(t, (p <= 1.08 * aligned) | (f <= 1.5 * base)),
            "one bound was enough. Both must hold.",
        ),
        Mistake(
            lambda t, p, f, aligned, base: int(torch.where(_within(p, f, aligned, base), t, -1.0).argmax()),
            "where no setting is within bounds there is none to choose: return −1.",
        ),
        Mistake(
            lambda t, p, f, aligned, base: _top(t, _within(p, f, base, aligned)),
            "the two references are swapped: perplexity is held against aligned's, fluency against base's.",
        ),
        Mistake(
            lambda t, p, f, aligned, base: _top(-t, _within(p, f, aligned, base)),
            "the least toxic setting was chosen. The attacker wants the most.",
        ),
        Mistake(
            lambda t, p, f, aligned, base: _top(1 / p, _within(p, f, aligned, base)),
            "the cheapest setting was chosen, whatever it recovers. Within bounds, toxicity decides.",
        ),
        Mistake(
            lambda t, p, f, aligned, base: _top(t, (p < 1.08 * aligned) & (f < 1.5 * base)),
            "a setting exactly at a bound was left out. The bound itself is allowed.",
        ),
        Mistake(
            lambda t, p, f, aligned, base: _top(t, (p <= 1.08) & (f <= 1.5)),
            "the bounds are ratios: multiply them by what they are held against.",
        ),
    ),
    passed="it is the most toxic setting among those that leave the text whole.",
)
