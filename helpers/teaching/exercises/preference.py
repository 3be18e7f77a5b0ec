"""Exercises of notebooks 04 and 05: steering and filtering pairs, and the parts of the DPO loss."""

import torch
from jaxtyping import Bool, Float
from torch import Generator, Tensor
from torch.nn.functional import logsigmoid

from helpers.teaching.exercises.checks import Exercise, Inputs, Mistake
from helpers.teaching.exercises.draws import normal


def _step(generator: Generator) -> Inputs:
    # Texts of unlike gradients, so that a norm over the whole batch is no text's own.
    scale = torch.tensor([0.01, 1.0, 30.0])[:, None, None]
    return normal(generator, 3, 4, 5), scale * normal(generator, 3, 4, 5), 0.4


def _stepped(past: Tensor, gradient: Tensor, step_size: float, dim: tuple[int, ...] = (1, 2)) -> Tensor:
    return past - step_size * gradient / torch.linalg.vector_norm(gradient, dim=dim, keepdim=True)


check_pplm_step = Exercise(
    name="pplm_step",
    inputs=_step,
    right=_stepped,
    mistakes=(
        Mistake(
            lambda past, gradient, step_size: 2 * past - _stepped(past, gradient, step_size),
            "the step goes up the loss. The gradient given is that of what should become smaller.",
        ),
        Mistake(
            lambda past, gradient, step_size: past - step_size * gradient,
            "the gradient keeps its length, so texts move by unlike amounts. Divide by its norm.",
        ),
        Mistake(
            lambda past, gradient, step_size: past - step_size * gradient / gradient.norm(),
            "the norm was taken over the whole batch: one text's gradient then shrinks another's "
            "step. Take a norm for each text.",
        ),
        Mistake(
            lambda past, gradient, step_size: _stepped(past, gradient, step_size, dim=(2,)),
            "every position got a norm of its own, so positions that do not matter move as far as "
            "those that do. Take one norm over a text's positions and dimensions together.",
        ),
    ),
    passed="each text moves by exactly step_size, down its own loss.",
)


def _two_distributions(generator: Generator) -> Inputs:
    steered, plain = (normal(generator, 3, 12).mul(2).softmax(dim=-1) for _ in range(2))
    return steered, plain, 0.8, 4


def _fused(steered: Tensor, plain: Tensor, scale: float, top_k: int, *, renormalise: bool = True) -> Tensor:
    both = steered**scale * plain ** (1 - scale)
    kept = both * (both >= both.topk(top_k, dim=-1).values[:, -1:])
    return kept / kept.sum(dim=-1, keepdim=True) if renormalise else kept


def _arithmetic(steered: Tensor, plain: Tensor, scale: float, top_k: int) -> Tensor:
    return _fused(scale * steered + (1 - scale) * plain, torch.ones_like(plain), 1.0, top_k)


check_fuse = Exercise(
    name="fuse",
    inputs=_two_distributions,
    right=_fused,
    mistakes=(
        Mistake(
            _arithmetic,
            "this is the arithmetic mean. In the geometric one a token that either side all but "
            "rules out stays ruled out: multiply powers.",
        ),
        Mistake(
            lambda steered, plain, scale, top_k: _fused(plain, steered, scale, top_k),
            "the weights are swapped: `scale` is the steered distribution's.",
        ),
        Mistake(
            lambda steered, plain, scale, top_k: _fused(steered, plain, scale, top_k, renormalise=False),
            "what is left does not sum to one. Divide by its sum, last.",
        ),
        Mistake(
            lambda steered, plain, scale, top_k: _fused(steered, plain, scale, steered.shape[-1]),
            "every token is still there. Only the `top_k` likeliest may be drawn.",
        ),
        Mistake(
            lambda steered, plain, scale, top_k: _fused(
                steered * (steered >= steered.topk(top_k, dim=-1).values[:, -1:]), plain, scale, top_k
            ),
            "the top-k was taken of the steered distribution alone. Fuse first, then cut.",
        ),
    ),
    passed="powers, then top-k, then a sum of one.",
)


def _rows(generator: Generator) -> Inputs:
    logprobs = -3 * torch.rand(4, 9, generator=generator)
    prompts = torch.randint(2, 5, (4,), generator=generator)
    lengths = prompts + torch.randint(2, 5, (4,), generator=generator)
    return logprobs, prompts, lengths


def _between(logprobs: Tensor, start: Tensor, end: Tensor) -> Bool[Tensor, "row pos"]:
    place = torch.arange(logprobs.shape[1])
    return (place >= start[:, None]) & (place < end[:, None])


def _response_sum(logprobs: Tensor, prompts: Tensor, lengths: Tensor) -> Float[Tensor, " row"]:
    return (logprobs * _between(logprobs, prompts, lengths)).sum(dim=1)


check_response_logprob = Exercise(
    name="response_logprob",
    inputs=_rows,
    right=_response_sum,
    mistakes=(
        Mistake(
            lambda logprobs, prompts, lengths: _response_sum(logprobs, torch.zeros_like(prompts), lengths),
            "the prompt is in the sum. Nobody prefers one prompt to another: count from the "
            "response's first token on.",
        ),
        Mistake(
            lambda logprobs, prompts, lengths: _response_sum(logprobs, prompts, torch.full_like(lengths, 99)),
            "padding is in the sum. Stop at the row's length.",
        ),
        Mistake(
            lambda logprobs, prompts, lengths: logprobs.sum(dim=1),
            "prompt and padding are in the sum. Count the response's tokens alone.",
        ),
        Mistake(
            lambda logprobs, prompts, lengths: (
                _response_sum(logprobs, prompts, lengths) / (lengths - prompts)
            ),
            "this is the mean per token. The probability of a text is a product, so its logarithm is a sum.",
        ),
        Mistake(
            lambda logprobs, prompts, lengths: _response_sum(logprobs, prompts + 1, lengths),
            "the first token of the response is missing: it stands at position `prompts`, counted from 0.",
        ),
        Mistake(
            lambda logprobs, prompts, lengths: _response_sum(logprobs, prompts - 1, lengths),
            "this begins one token early, with the prompt's last.",
        ),
    ),
    passed="the response's tokens, all of them and nothing else, summed.",
)


def _sums(generator: Generator) -> Inputs:
    reference = -20 + 3 * normal(generator, 2, 6)
    policy = reference + 4 * normal(generator, 2, 6)
    return policy[0], policy[1], reference[0], reference[1], 0.3


def _dpo(chosen: Tensor, rejected: Tensor, ref_chosen: Tensor, ref_rejected: Tensor, beta: float) -> Tensor:
    return -logsigmoid(beta * ((chosen - ref_chosen) - (rejected - ref_rejected))).mean()


check_dpo_from_sums = Exercise(
    name="dpo_from_sums",
    inputs=_sums,
    right=_dpo,
    mistakes=(
        Mistake(
            lambda c, r, rc, rr, beta: _dpo(r, c, rr, rc, beta),
            "the margin has the wrong sign: chosen and rejected are swapped, or policy and reference. "
            "This trains the policy to prefer what was rejected.",
        ),
        Mistake(
            lambda c, r, rc, rr, beta: -logsigmoid(beta * (c - r)).mean(),
            "the reference is missing. Without it a response is rewarded for having been likely all along.",
        ),
        Mistake(
            lambda c, r, rc, rr, beta: -logsigmoid((c - rc) - (r - rr)).mean(),
            "β is missing. It says how far the policy may leave its reference for a given margin.",
        ),
        Mistake(
            lambda c, r, rc, rr, beta: logsigmoid(beta * ((c - rc) - (r - rr))).mean(),
            "the sign is lost: this grows as the margin does. A loss must fall.",
        ),
        Mistake(
            lambda c, r, rc, rr, beta: -logsigmoid(beta * ((c - rc) - (r - rr))).sum(),
            "this is the sum over pairs. Take the mean, or the step grows with the batch.",
        ),
        Mistake(
            lambda c, r, rc, rr, beta: -(beta * ((c - rc) - (r - rr))).sigmoid().mean(),
            "the logarithm is missing: it is what keeps the gradient alive where the policy is wrong.",
        ),
        Mistake(
            lambda c, r, rc, rr, beta: -logsigmoid(beta * ((c - rc) + (r - rr))).mean(),
            "the rejected reward is added. It must be subtracted.",
        ),
    ),
    passed="β, the reference and the signs stand where they should; equal models give log 2.",
)


def _looks(generator: Generator) -> Inputs:
    # Base first; the look nearest the target lies beyond the ceiling, the lowest admissible one elsewhere.
    # With a large share base itself is nearer than any look.
    toxicity = torch.tensor([0.5, 0.43, 0.36, 0.27, 0.16, 0.23, 0.02])
    perplexity = torch.tensor([10.0, 10.1, 10.2, 10.4, 10.6, 11.5, 12.0])
    order = torch.cat([torch.zeros(1, dtype=torch.long), 1 + torch.randperm(6, generator=generator)])
    scale = 0.8 + 0.4 * float(torch.rand(1, generator=generator))
    share = 0.46 if torch.rand(1, generator=generator) < 0.5 else 0.97
    return scale * toxicity[order], 2 * scale * perplexity[order], share, 1.08


def _matched(toxicity: Tensor, perplexity: Tensor, share: float, ceiling: float, first: int = 1) -> int:
    gap = (toxicity - share * toxicity[0]).abs()
    gap[perplexity > ceiling * perplexity[0]] = torch.inf
    gap[:first] = torch.inf
    return int(gap.argmin())


def _strong(toxicity: Tensor, perplexity: Tensor, share: float, ceiling: float) -> int:
    return int(torch.where(perplexity <= ceiling * perplexity[0], toxicity, torch.inf).argmin())


check_choose_matched = Exercise(
    name="choose_matched",
    inputs=_looks,
    right=_matched,
    mistakes=(
        Mistake(
            lambda toxicity, perplexity, share, ceiling: _matched(toxicity, perplexity, share, 99.0),
            "the ceiling is ignored: this look's perplexity is more than `ceiling` × base's.",
        ),
        Mistake(
            lambda toxicity, perplexity, share, ceiling: _matched(toxicity, perplexity, share, ceiling, 0),
            "index 0 is the base model, which is no candidate, however near the target it is.",
        ),
        Mistake(
            lambda toxicity, perplexity, share, ceiling: _matched(toxicity, perplexity, share, ceiling) - 1,
            "this is one too few: index 0 is base, so the first look has index 1.",
        ),
        Mistake(
            _strong,
            "this is the lowest toxicity within the ceiling, the rule for *strong*. *Matched* is "
            "nearest the target.",
        ),
        Mistake(
            lambda toxicity, perplexity, share, ceiling: int(toxicity.argmin()),
            "this is the lowest toxicity of all, whatever it cost.",
        ),
        Mistake(
            lambda toxicity, perplexity, share, ceiling: _matched(
                toxicity, perplexity, share / float(toxicity[0]), ceiling
            ),
            "`share` was taken as the target itself. The target is `share` × base's toxicity.",
        ),
    ),
    passed="the nearest admissible look, base itself excluded.",
)
