"""Exercises of notebooks 04 and 05: steering and filtering pairs, and the parts of the DPO loss."""

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float
from torch import Generator, Tensor
from torch.nn.functional import logsigmoid

from helpers.teaching.exercises.checks import Answer, Exercise, Inputs, Mistake, close, numbers
from helpers.teaching.exercises.draws import coin, normal


def _step(generator: Generator) -> Inputs:
    # Texts of unlike gradients, so that a norm over the whole batch is no text's own.
    # The shortest is still long beside a constant that guards against division by zero.
    scale = torch.tensor([0.1, 1.0, 30.0])[:, None, None]
    step_size = 0.2 + float(torch.rand(1, generator=generator))
    return normal(generator, 3, 4, 5), scale * normal(generator, 3, 4, 5), step_size


def _norms(gradient: Tensor, dim: tuple[int, ...] = (1, 2)) -> Tensor:
    return torch.linalg.vector_norm(gradient, dim=dim, keepdim=True)


def _stepped(past: Tensor, gradient: Tensor, step_size: float, dim: tuple[int, ...] = (1, 2)) -> Tensor:
    return past - step_size * gradient / _norms(gradient, dim)


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
        Mistake(
            lambda past, gradient, step_size: _stepped(past, gradient, step_size, dim=(1,)),
            "every dimension got a norm of its own. Take one norm over a text's positions and dimensions.",
        ),
        Mistake(
            lambda past, gradient, step_size: past - step_size * gradient / _norms(gradient).clamp(min=1),
            "gradients shorter than one keep their length. Lengthen them too: the step has one length.",
        ),
        Mistake(
            lambda past, gradient, step_size: past - step_size * gradient / _norms(gradient) ** 2,
            "the gradient was divided by its squared length. Once is enough.",
        ),
        Mistake(
            lambda past, gradient, step_size: past - step_size * gradient.sign(),
            "every entry moves by `step_size`: only the signs are left. Scale the gradient as a whole.",
        ),
        Mistake(
            lambda past, gradient, step_size: past - gradient / _norms(gradient),
            "`step_size` makes no difference. It is the length of the step.",
        ),
    ),
    passed="each text moves by exactly step_size, down its own loss.",
)


def _two_distributions(generator: Generator) -> Inputs:
    steered, plain = (normal(generator, 3, 12).mul(2).softmax(dim=-1) for _ in range(2))
    scale = 0.55 + 0.4 * float(torch.rand(1, generator=generator))
    return steered, plain, scale, int(torch.randint(3, 8, (1,), generator=generator))


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
        Mistake(
            lambda steered, plain, scale, top_k: _fused(
                steered, plain * (plain >= plain.topk(top_k, dim=-1).values[:, -1:]), scale, top_k
            ),
            "the top-k was taken of the plain distribution alone. Fuse first, then cut.",
        ),
        Mistake(
            lambda steered, plain, scale, top_k: _fused(
                _fused(steered, plain, scale, steered.shape[-1]), plain, 1.0, top_k, renormalise=False
            ),
            "this was divided by its sum before the cut, and no longer sums to one after it.",
        ),
        Mistake(
            lambda steered, plain, scale, top_k: _fused(steered, plain, scale, top_k - 1),
            "one token is missing: the last of the `top_k` stays in.",
        ),
        Mistake(
            lambda steered, plain, scale, top_k: _fused(steered, plain, scale, top_k + 1),
            "there is one token too many.",
        ),
        Mistake(
            lambda steered, plain, scale, top_k: _fused(
                steered, plain, scale, top_k, renormalise=False
            ).softmax(dim=-1),
            "a softmax of probabilities flattens them, and gives tokens that were cut a share again. "
            "Divide by the sum.",
        ),
    ),
    passed="powers, then top-k, then a sum of one.",
)


def _rows(generator: Generator) -> Inputs:
    logprobs = -3 * torch.rand(4, 9, generator=generator)
    prompts = torch.randint(2, 5, (4,), generator=generator)
    lengths = prompts + torch.randint(1, 5, (4,), generator=generator)
    lengths[-1] = 9  # a full row has no padding
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
        Mistake(
            lambda logprobs, prompts, lengths: _response_sum(logprobs, prompts, lengths - 1),
            "the last token of the response is missing: it stands at position `lengths − 1`.",
        ),
        Mistake(
            lambda logprobs, prompts, lengths: _response_sum(logprobs, prompts, lengths + 1),
            "this runs on into the padding, by one token.",
        ),
        Mistake(
            lambda logprobs, prompts, lengths: _response_sum(logprobs, prompts - 1, lengths - 1),
            "everything is one position early. `logprobs` is given *at* each token, already shifted.",
        ),
        Mistake(
            lambda logprobs, prompts, lengths: -_response_sum(logprobs, prompts, lengths),
            "this is a loss: its sign is turned. A log-probability is at most zero.",
        ),
        Mistake(
            lambda logprobs, prompts, lengths: _response_sum(logprobs, prompts, lengths).exp(),
            "this is the probability. Its logarithm was asked for.",
        ),
    ),
    passed="the response's tokens, all of them and nothing else, summed.",
)


def _sums(generator: Generator) -> Inputs:
    reference = -20 + 3 * normal(generator, 2, 6)
    policy = reference + 4 * normal(generator, 2, 6)
    beta = 0.05 + 0.5 * float(torch.rand(1, generator=generator))
    return policy[0], policy[1], reference[0], reference[1], beta


def _trains(answer: Answer, inputs: Inputs) -> str | None:
    """The loss has the gradient that training needs, also where float32's σ(margin) is 0 or 1."""
    margins, beta, reference = torch.tensor([-200.0, -2.0, 0.5, 200.0]), 0.25, torch.full((4,), -400.0)
    chosen = (reference + margins / beta / 2).requires_grad_()
    rejected = (reference - margins / beta / 2).requires_grad_()
    loss = answer(chosen, rejected, reference.clone(), reference.clone(), beta)
    if not isinstance(loss, Tensor) or not loss.requires_grad:
        return (
            "the number is right, but no gradient flows through it, so nothing could be trained. Return a "
            "tensor that is still tied to `chosen` and `rejected`."
        )
    if not close(numbers(loss), numbers(_dpo(chosen, rejected, reference, reference, beta))):
        return (
            f"where margins reach ±200 the loss is {float(loss.detach()):.4g}. In float32 σ(−200) is zero "
            "and exp(200) infinity: take a function that gives log σ in one piece."
        )
    wanted = -beta * torch.sigmoid(-margins) / len(margins)
    slopes = torch.autograd.grad(loss, (chosen, rejected), allow_unused=True)
    if any(slope is None for slope in slopes) or not close(
        torch.stack(slopes), torch.stack([wanted, -wanted])
    ):
        return "the loss is right, its gradient is not. Is a part of it detached, or clamped?"
    return None


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
    demands=(_trains,),
)


def _looks(generator: Generator) -> Inputs:
    """Base, then six looks in random order: two beyond the ceiling, one of them nearest, one lowest of all.

    Within the ceiling the two nearest lie to either side of the target. With a large share base itself is
    nearer than any. Perplexities are such that `base × ceiling` is exact, and some looks lie exactly there;
    from a low base that is less than `base + ceiling`, from a high one more.
    """
    low, below, on_ceiling, tight = (coin(generator, place) for place in range(4))
    share = (0.35, 0.46, 0.97)[int(torch.randint(3, (1,), generator=generator))]
    base = 0.4 + 0.2 * float(torch.rand(1, generator=generator))
    near, far = (-0.03, 0.05) if below else (-0.05, 0.03)
    target = share * base
    room = 0.125 if tight else 0.25
    within = torch.tensor([-0.02, 0.2, 0.3, 0.8])[torch.randperm(4, generator=generator)]
    within[0 if below else 1] = 1.0 if on_ceiling else within[0 if below else 1]
    toxicity = torch.tensor([target + x for x in (near, far, -0.09, 0.2, 0.02)] + [0.01])
    perplexity = (2.0 if low else 64.0) * (1 + room * torch.cat([within, torch.tensor([1.3, 1.7])]))
    order = torch.randperm(6, generator=generator)
    return (
        torch.cat([torch.tensor([base]), toxicity[order]]),
        torch.cat([torch.tensor([2.0 if low else 64.0]), perplexity[order]]),
        share,
        1 + room,
    )


Rule = Callable[[Tensor, Tensor, float], Tensor]


def _distance(toxicity: Tensor, perplexity: Tensor, share: float) -> Tensor:
    return (toxicity - share * toxicity[0]).abs()


def _within(perplexity: Tensor, ceiling: float) -> Bool[Tensor, " look"]:
    return (perplexity <= ceiling * perplexity[0]) & (torch.arange(len(perplexity)) > 0)


def _least(cost: Rule, allowed: Callable[[Tensor, float], Tensor] = _within) -> Answer:
    """The rule that picks the allowed look of the lowest cost."""

    def choose(toxicity: Tensor, perplexity: Tensor, share: float, ceiling: float) -> int:
        costs = cost(toxicity, perplexity, share)
        return int(torch.where(allowed(perplexity, ceiling), costs, torch.inf).argmin())

    return choose


def _one_side(side: int) -> Rule:
    """The distance of looks above the target (1) or below it (-1); the others cost more than any."""

    def cost(toxicity: Tensor, perplexity: Tensor, share: float) -> Tensor:
        distance = _distance(toxicity, perplexity, share)
        return torch.where(side * (toxicity - share * toxicity[0]) >= 0, distance, 99.0)

    return cost


_matched = _least(_distance)

check_choose_matched = Exercise(
    name="choose_matched",
    inputs=_looks,
    right=_matched,
    mistakes=(
        Mistake(
            _least(_distance, lambda perplexity, ceiling: _within(perplexity, torch.inf)),
            "the ceiling is ignored: this look's perplexity is more than `ceiling` × base's.",
        ),
        Mistake(
            _least(_distance, lambda perplexity, ceiling: perplexity <= ceiling * perplexity[0]),
            "index 0 is the base model, which is no candidate, however near the target it is.",
        ),
        Mistake(
            _least(_distance, lambda perplexity, ceiling: perplexity < torch.inf),
            "the ceiling is ignored, and base, index 0, was a candidate.",
        ),
        Mistake(
            lambda toxicity, perplexity, share, ceiling: _matched(toxicity, perplexity, share, ceiling) - 1,
            "this is one too few: index 0 is base, so the first look has index 1.",
        ),
        Mistake(
            lambda toxicity, *rest: toxicity[_matched(toxicity, *rest)],
            "this is the look's toxicity. Its index was asked for.",
        ),
        Mistake(
            _least(lambda toxicity, perplexity, share: toxicity),
            "this is the lowest toxicity within the ceiling, the rule for *strong*. *Matched* is nearest the "
            "target. If you took a difference: does its sign count?",
        ),
        Mistake(
            lambda toxicity, perplexity, share, ceiling: int(toxicity.argmin()),
            "this is the lowest toxicity of all, whatever it cost.",
        ),
        Mistake(
            _least(lambda toxicity, perplexity, share: (toxicity - share).abs()),
            "`share` was taken as the target itself. The target is `share` × base's toxicity.",
        ),
        Mistake(
            _least(lambda toxicity, perplexity, share: _distance(toxicity, perplexity, 1 - share)),
            "`share` was taken as what goes. It is what stays of base's toxicity.",
        ),
        Mistake(
            _least(
                _distance, lambda perplexity, ceiling: _within(perplexity, 1 + ceiling / float(perplexity[0]))
            ),
            "the ceiling was added to base's perplexity. It is a factor.",
        ),
        Mistake(
            _least(
                _distance,
                lambda perplexity, ceiling: _within(perplexity, 1 + (ceiling - 1) / float(perplexity[0])),
            ),
            "what the ceiling is above one was added to base's perplexity. It is a factor.",
        ),
        Mistake(
            _least(_distance, lambda perplexity, ceiling: _within(perplexity, ceiling - 1e-4)),
            "a look exactly at the ceiling was left out. “At most” lets it in.",
        ),
        Mistake(
            _least(_one_side(-1)),
            "only looks below the target were considered. Nearest counts both sides.",
        ),
        Mistake(
            _least(_one_side(1)),
            "only looks above the target were considered. Nearest counts both sides.",
        ),
        Mistake(
            _least(lambda toxicity, perplexity, share: -torch.arange(len(toxicity))),
            "this is the last look within the ceiling, wherever its toxicity is.",
        ),
        Mistake(
            _least(lambda toxicity, perplexity, share: torch.arange(len(toxicity))),
            "this is the first look within the ceiling, wherever its toxicity is.",
        ),
        Mistake(
            _least(lambda toxicity, perplexity, share: perplexity),
            "this is the lowest perplexity. Perplexity only says who may be chosen; toxicity chooses.",
        ),
        Mistake(
            _least(lambda toxicity, perplexity, share: -perplexity),
            "this is the highest perplexity within the ceiling. It only says who may be chosen; "
            "toxicity chooses.",
        ),
    ),
    passed="the nearest admissible look, base itself excluded.",
)
