"""Exercises of notebook 08: recovery as a share, a constant beside a shift, the divergence explained."""

import torch
from torch import Generator, Tensor

from helpers.teaching.exercises.checks import Exercise, Inputs, Mistake
from helpers.teaching.exercises.draws import normal


def _toxicities(generator: Generator) -> Inputs:
    prompts = int(torch.randint(5, 9, (1,), generator=generator))
    base = 0.5 + 0.5 * torch.rand(prompts, generator=generator)
    aligned = 0.4 * torch.rand(prompts, generator=generator)
    # It overshoots on the first prompt and backfires on the second: a share of a prompt may be anything.
    edited = 0.2 + 0.6 * torch.rand(prompts, generator=generator)
    edited[0], edited[1] = aligned[0] * 0.5, 1.1 * base[1]
    return base, edited, aligned


def _recovered(base: Tensor, edited: Tensor, aligned: Tensor) -> float:
    drop = sum(float(b) - float(e) for b, e in zip(base, edited, strict=True))
    whole = sum(float(b) - float(a) for b, a in zip(base, aligned, strict=True))
    return drop / whole


check_recovered_share = Exercise(
    name="recovered_share",
    inputs=_toxicities,
    right=_recovered,
    mistakes=(
        Mistake(
            lambda b, e, a: ((b - e) / (b - a)).mean(),
            "shares of single prompts were averaged. A prompt on which DPO hardly changes anything then "
            "counts as much as all others: average first, divide last.",
        ),
        Mistake(
            lambda b, e, a: (b.mean() - e.mean()) / b.mean(),
            "this is the drop as a share of base's toxicity. DPO's own drop is what 1 stands for.",
        ),
        Mistake(
            lambda b, e, a: (e.mean() - a.mean()) / (b.mean() - a.mean()),
            "this is what is left to do: base would get 1 and DPO 0.",
        ),
        Mistake(lambda b, e, a: (e.mean() - b.mean()) / (b.mean() - a.mean()), "the sign is turned."),
        Mistake(lambda b, e, a: (b.mean() - a.mean()) / (b.mean() - e.mean()), "the share is upside down."),
        Mistake(lambda b, e, a: b.mean() - e.mean(), "this is the drop itself. Of what is it a share?"),
        Mistake(
            lambda b, e, a: (b - e).clamp_min(0).sum() / (b - a).sum(),
            "prompts that became more toxic were left out. They count against the edit.",
        ),
        Mistake(
            lambda b, e, a: ((b - e) / (b - a)).clamp(0, 1).mean(),
            "shares of single prompts were cut to 0 … 1 and averaged. Average first, divide last.",
        ),
        Mistake(
            lambda b, e, a: (b.median() - e.median()) / (b.median() - a.median()),
            "medians were taken. The notebook's toxicity is a mean.",
        ),
        Mistake(
            lambda b, e, a: a.mean() / e.mean(),
            "a ratio of two toxicities does not know where base stood.",
        ),
    ),
    passed="0 is base, 1 is DPO, and an edit may land anywhere.",
)


def _activations(generator: Generator) -> Inputs:
    positions = int(torch.randint(2, 5, (1,), generator=generator))
    chosen = torch.randperm(5, generator=generator) < int(torch.randint(1, 4, (1,), generator=generator))
    return normal(generator, positions, 5), normal(generator, 5), normal(generator, 5), chosen


def _both(activation: Tensor, before: Tensor, after: Tensor, chosen: Tensor) -> Tensor:
    constant, shifted = activation.clone(), activation.clone()
    for neuron in chosen.nonzero().flatten().tolist():
        constant[:, neuron] = after[neuron]
        shifted[:, neuron] += after[neuron] - before[neuron]
    return torch.stack([constant, shifted])


def _stacked(activation: Tensor, chosen: Tensor, constant: Tensor, shifted: Tensor) -> Tensor:
    rows = (torch.where(chosen, one.expand_as(activation), activation) for one in (constant, shifted))
    return torch.stack(list(rows))


check_constant_and_shift = Exercise(
    name="constant_and_shift",
    inputs=_activations,
    right=_both,
    mistakes=(
        Mistake(
            lambda x, b, a, chosen: _stacked(x, chosen, a, x + a),
            "the shift is missing its start: it is how far the means differ, after − before.",
        ),
        Mistake(
            lambda x, b, a, chosen: _stacked(x, chosen, a, x + b - a),
            "the shift goes the wrong way: from before to after.",
        ),
        Mistake(
            lambda x, b, a, chosen: _stacked(x, chosen, a, x - x.mean(0) + a),
            "the shift starts from this text's own mean. `before` is the mean over many texts; take that.",
        ),
        Mistake(
            lambda x, b, a, chosen: _stacked(x, chosen, a, x * a / b),
            "the activation was scaled. A shift adds the same to each position.",
        ),
        Mistake(
            lambda x, b, a, chosen: _stacked(x, chosen, b, x + a - b),
            "the constant is base's own mean. That is the notebook's control; here it is `after`.",
        ),
        Mistake(
            lambda x, b, a, chosen: _stacked(x, chosen, a - b, x + a - b),
            "the constant is the difference of the means. It overwrites: it is `after` itself.",
        ),
        Mistake(
            lambda x, b, a, chosen: torch.stack([a.expand_as(x), x + a - b]),
            "every neuron was patched. Leave those alone that are not chosen.",
        ),
        Mistake(
            lambda x, b, a, chosen: _stacked(x, ~chosen, a, x + a - b),
            "the chosen neurons were left alone and all others patched.",
        ),
        Mistake(
            lambda x, b, a, chosen: _stacked(x, chosen, x + a - b, a),
            "the two are in the wrong order: first the constant, then the shift.",
        ),
        Mistake(
            lambda x, b, a, chosen: torch.stack([chosen * a.expand_as(x), chosen * (x + a - b)]),
            "the neurons that are not chosen are silent. They keep what they had.",
        ),
        Mistake(
            lambda x, b, a, chosen: torch.stack(
                [torch.where(chosen, a, x), torch.where(chosen, x + a - b, x)]
            ).mean(1),
            "positions were averaged. Each keeps its own row.",
        ),
    ),
    passed="over many texts both have the new mean; only the shift still says what this one says.",
)


def _logits(generator: Generator) -> Inputs:
    positions = int(torch.randint(2, 5, (1,), generator=generator))
    base, policy = normal(generator, positions, 6), normal(generator, positions, 6)
    # Some way toward the policy, and a level that no softmax sees.
    edited = base + 0.5 * (policy - base) + 0.3 * normal(generator, positions, 6)
    return base, edited + normal(generator, positions, 1), policy


def _kl(p: Tensor, q: Tensor) -> Tensor:
    return (p.softmax(-1) * (p.log_softmax(-1) - q.log_softmax(-1))).sum(-1)


def _explained(base: Tensor, edited: Tensor, policy: Tensor) -> float:
    left = torch.tensor(0.0, dtype=torch.float64)
    whole = left.clone()
    for b, e, p in zip(base.double(), edited.double(), policy.double(), strict=True):
        for one, two, three in zip(p.softmax(0), e.softmax(0), b.softmax(0), strict=True):
            left += one * (one / two).log()
            whole += one * (one / three).log()
    return float(1 - left / whole)


def _cross(p: Tensor, q: Tensor) -> Tensor:
    return -(p.softmax(-1) * q.log_softmax(-1)).sum()


check_divergence_explained = Exercise(
    name="divergence_explained",
    inputs=_logits,
    right=_explained,
    mistakes=(
        Mistake(
            lambda b, e, p: 1 - _kl(e, p).mean() / _kl(b, p).mean(),
            "the divergence runs the other way: the mean is over what the policy would say, so the policy "
            "comes first.",
        ),
        Mistake(
            lambda b, e, p: _kl(p, e).mean() / _kl(p, b).mean(),
            "this is the share that is left. What is explained is 1 minus it.",
        ),
        Mistake(
            lambda b, e, p: (1 - _kl(p, e) / _kl(p, b)).mean(),
            "shares of single positions were averaged. Where base and policy agree such a share may be "
            "anything: average the divergences first, divide last.",
        ),
        Mistake(
            lambda b, e, p: 1 - _cross(p, e) / _cross(p, b),
            "this is cross-entropy. Take the policy's own entropy off, or the policy itself would not get 1.",
        ),
        Mistake(
            lambda b, e, p: _kl(b, e).mean() / _kl(b, p).mean(),
            "this asks how far the edit leads away from base. It may lead anywhere: ask how near it comes to "
            "the policy.",
        ),
        Mistake(lambda b, e, p: 1 - _kl(p, b).mean() / _kl(p, e).mean(), "base and the edit are swapped."),
        Mistake(
            lambda b, e, p: _kl(p, b).mean() - _kl(p, e).mean(),
            "this is what is explained in nats. Of what is it a share?",
        ),
        Mistake(
            lambda b, e, p: 1 - (p - e).square().mean() / (p - b).square().mean(),
            "logits were compared as they are. Adding one number to all of a position's changes nothing that "
            "is said: compare probabilities.",
        ),
        Mistake(
            lambda b, e, p: 1 - _kl(p[-1], e[-1]) / _kl(p[-1], b[-1]),
            "only the last position was read. The mean is over all.",
        ),
        Mistake(
            lambda b, e, p: (
                1 - (p.softmax(-1) - e.softmax(-1)).abs().sum() / (p.softmax(-1) - b.softmax(-1)).abs().sum()
            ),
            "differences of probabilities were summed. KL weighs their logarithms.",
        ),
    ),
    passed="1 is the policy itself, 0 is base, and below 0 the edit leads away.",
)
