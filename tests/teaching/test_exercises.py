"""Each exercise with a solution written otherwise, and with wrong answers, each met by a hint that fits."""

import pytest
import torch
from einops import einsum, reduce
from torch.nn.functional import cosine_similarity, gelu

from helpers.teaching import exercises as ex
from helpers.teaching.exercises.checks import CheckFailed


def masked_mean(resid, mask):
    weights = mask.float().clone()
    weights[:, 0] = 0
    return einsum(resid, weights, "b p d, b p -> b d") / weights.sum(dim=1, keepdim=True)


def unit(vector):
    return vector / vector.norm()


def auroc(scores, toxic):
    from sklearn.metrics import roc_auc_score

    return roc_auc_score(toxic.numpy(), scores.numpy())


def svd(vectors, toward, dim=-1, centre=False, turn=True, place=0):
    rows = vectors / vectors.norm(dim=dim, keepdim=True) if dim is not None else vectors
    first = torch.linalg.svd(rows - rows.mean(0) if centre else rows, full_matrices=False).Vh[place]
    return -first if turn and first @ toward < 0 else first


def bootstrap(scores, draws, seed, size=None, replace=True, levels=(0.025, 0.975)):
    generator = torch.Generator().manual_seed(seed)
    n = len(scores)
    if replace:
        rows = torch.randint(n, (draws, size or n), generator=generator)
    else:
        rows = torch.stack([torch.randperm(n, generator=generator) for _ in range(100)])
    low, high = scores[rows].mean(dim=1).quantile(torch.tensor(levels))
    return scores.mean().item(), low.item(), high.item()


def next_token(logits, mask, token, shift=1):
    rows = torch.arange(len(mask))
    return logits[rows, mask.sum(dim=1) - shift].softmax(dim=-1)[:, token]


def step(past, gradient, size, dim=(1, 2), sign=-1):
    return past + sign * size * gradient / gradient.pow(2).sum(dim, keepdim=True).sqrt()


def fuse(p, q, scale, k, first=None):
    logits = scale * p.log() + (1 - scale) * q.log()
    out = (logits if first is None else first).argsort(descending=True)[:, k:]
    return logits.scatter(1, out, -torch.inf).softmax(-1)


def response(logprobs, prompts, lengths, shift=0, mean=False):
    rows = zip(logprobs, prompts.tolist(), lengths.tolist(), strict=True)
    parts = [row[start + shift : end] for row, start, end in rows]
    return torch.stack([part.mean() if mean else part.sum() for part in parts])


def dpo(c, r, rc, rr, beta):
    return torch.log1p(torch.exp(-beta * (c - r - rc + rr))).mean()


def nearest(toxicity, perplexity, share, ceiling):
    allowed = [i for i in range(1, len(toxicity)) if perplexity[i] <= ceiling * perplexity[0]]
    return min(allowed, key=lambda i: abs(toxicity[i] - share * toxicity[0]))


RIGHT = [
    (ex.check_masked_mean, masked_mean),
    (ex.check_mean_difference_direction, lambda f, t: unit(f[t].mean(0) - f.mean(0))),
    (ex.check_auroc, auroc),
    (ex.check_cosine_to_probe, lambda w, d: cosine_similarity(w.W_out, d[None, None], dim=-1)),
    (ex.check_mlp_as_sum, lambda a, W, b: einsum(a, W, "pos neuron, neuron d_model -> pos d_model") + b),
    (ex.check_first_svd_direction, svd),
    (ex.check_next_token_probability, next_token),
    (ex.check_bootstrap_mean, bootstrap),
    (ex.check_subtract_everywhere, lambda r, d, s: r - s * unit(d)),
    (ex.check_perplexity, lambda m, n: float(torch.exp(torch.dot(m, n) / n.sum()))),
    (ex.check_pplm_step, step),
    (ex.check_fuse, fuse),
    (ex.check_response_logprob, response),
    (ex.check_dpo_from_sums, dpo),
    (ex.check_choose_matched, nearest),
]

WRONG = [
    (ex.check_masked_mean, lambda r, m: r[:, 1:].mean(1), "padding is in the mean"),
    (ex.check_masked_mean, lambda r, m: reduce(r, "b p d -> b d", "mean"), "padding and position 0"),
    (ex.check_masked_mean, lambda r, m: (r * m[..., None]).sum(1) / m.sum(1, keepdim=True),
     "position 0 is in the mean"),
    (ex.check_masked_mean, lambda r, m: (r * m[..., None])[:, 1:].sum(1), "this is the sum"),
    (ex.check_masked_mean, lambda r, m: (r * m[..., None])[:, 1:].mean(1), "still counted"),
    (ex.check_masked_mean, lambda r, m: masked_mean(r, m).mean(0), "Keep the batch axis"),
    (ex.check_masked_mean, lambda r, m: r[:, -1], "off by up to"),
    (ex.check_mean_difference_direction, lambda f, t: unit(f[~t].mean(0) - f[t].mean(0)),
     "from toxic to clean"),
    (ex.check_mean_difference_direction, lambda f, t: f[t].mean(0) - f[~t].mean(0), "Divide it by its norm"),
    (ex.check_mean_difference_direction, lambda f, t: unit(f[t].mean(0)), "Subtract the clean mean"),
    (ex.check_mean_difference_direction, lambda f, t: unit(f.mean(0)), "off by up to"),
    (ex.check_auroc, lambda s, t: ((s > 0) == t).float().mean().item(), "this is the accuracy"),
    (ex.check_auroc, lambda s, t: auroc(-s, t), "reversed"),
    (ex.check_auroc, lambda s, t: (s[t][:, None] > s[~t]).float().mean(), "ties count one half"),
    (ex.check_auroc, lambda s, t: (s[t][:, None] >= s[~t]).float().mean(), "ties count one half"),
    (ex.check_auroc, lambda s, t: s[t].mean() - s[~t].mean(), "off by up to"),
    (ex.check_cosine_to_probe, lambda w, d: w.W_out @ unit(d), "only the direction"),
    (ex.check_cosine_to_probe, lambda w, d: w.W_out @ d, "dot product"),
    (ex.check_cosine_to_probe, lambda w, d: cosine_similarity(w.W_in, d[None, None], dim=-1), "key vectors"),
    (ex.check_cosine_to_probe, lambda w, d: cosine_similarity(w.W_out, d[None, None], dim=-1).abs(),
     "sign is lost"),
    (ex.check_cosine_to_probe, lambda w, d: (w.W_out @ d / w.W_out.norm() / d.norm()), "off by up to"),
    (ex.check_mlp_as_sum, lambda a, W, b: a @ W, "bias is missing"),
    (ex.check_mlp_as_sum, lambda a, W, b: gelu(a, approximate="tanh") @ W + b, "after it"),
    (ex.check_mlp_as_sum, lambda a, W, b: (a[..., None] * W + b).sum(1), "once for each neuron"),
    (ex.check_mlp_as_sum, lambda a, W, b: a[..., None] * W + b, "returned shape"),
    (ex.check_first_svd_direction, lambda v, t: svd(v, t, turn=False), "turn it if the product is negative"),
    (ex.check_first_svd_direction, lambda v, t: svd(v, t, centre=True), "the mean was subtracted"),
    (ex.check_first_svd_direction, lambda v, t: svd(v, t, dim=None), "Scale each row"),
    (ex.check_first_svd_direction, lambda v, t: svd(v, t, dim=0), "columns were scaled"),
    (ex.check_first_svd_direction, lambda v, t: svd(v, t, place=1), "off by up to"),
    (ex.check_next_token_probability, lambda x, m, k: x[:, -1].softmax(-1)[:, k], "last column"),
    (ex.check_next_token_probability, lambda x, m, k: next_token(x, m, k, shift=2), "one position too early"),
    (ex.check_next_token_probability, lambda x, m, k: x[torch.arange(4), m.sum(1) - 1, k],
     "these are logits"),
    (ex.check_next_token_probability, lambda x, m, k: next_token(x, m, k + 1), "off by up to"),
    (ex.check_bootstrap_mean, lambda s, n, k: (s.mean(), s.quantile(0.025), s.quantile(0.975)),
     "spread of the scores"),
    (ex.check_bootstrap_mean,
     lambda s, n, k: (s.mean(), s.mean() - 0.566 * s.std(), s.mean() + 0.566 * s.std()),
     "the formula for many scores"),
    (ex.check_bootstrap_mean, lambda s, n, k: bootstrap(s, n, k, replace=False), "with replacement"),
    (ex.check_bootstrap_mean, lambda s, n, k: bootstrap(s, n, k, levels=(0.05, 0.95)), "90 % interval"),
    (ex.check_bootstrap_mean, lambda s, n, k: bootstrap(s, n, k, size=50), "off by up to"),
    (ex.check_bootstrap_mean, lambda s, n, k: bootstrap(s, n, int(torch.randint(10**6, ()))), "asked twice"),
    (ex.check_subtract_everywhere, lambda r, d, s: r - s * d, "keeps its length"),
    (ex.check_subtract_everywhere, lambda r, d, s: r.sub_(s * unit(d)), "in place"),
    (ex.check_subtract_everywhere, lambda r, d, s: r + s * unit(d), "was added"),
    (ex.check_subtract_everywhere, lambda r, d, s: r - s * (r @ unit(d))[..., None] * unit(d),
     "same vector everywhere"),
    (ex.check_perplexity, lambda m, n: m.mean().exp(), "same weight"),
    (ex.check_perplexity, lambda m, n: m.exp().mean(), "mean of perplexities"),
    (ex.check_perplexity, lambda m, n: (m * n).sum() / n.sum(), "mean loss"),
    (ex.check_perplexity, lambda m, n: 2 ** ((m * n).sum() / n.sum()), "off by up to"),
    (ex.check_pplm_step, lambda p, g, s: step(p, g, s, sign=1), "up the loss"),
    (ex.check_pplm_step, lambda p, g, s: p - s * g, "keeps its length"),
    (ex.check_pplm_step, lambda p, g, s: step(p, g, s, dim=(0, 1, 2)), "whole batch"),
    (ex.check_pplm_step, lambda p, g, s: step(p, g, s, dim=2), "every position got a norm"),
    (ex.check_pplm_step, lambda p, g, s: p.sub_(s * g), "in place"),
    (ex.check_fuse, lambda p, q, s, k: fuse(s * p + (1 - s) * q, torch.ones_like(q), 1.0, k),
     "arithmetic mean"),
    (ex.check_fuse, lambda p, q, s, k: fuse(q, p, s, k), "weights are swapped"),
    (ex.check_fuse, lambda p, q, s, k: fuse(p, q, s, len(p[0])), "every token is still there"),
    (ex.check_fuse, lambda p, q, s, k: fuse(p, q, s, k, first=p), "steered distribution alone"),
    (ex.check_fuse, lambda p, q, s, k: (p**s * q ** (1 - s)) * (fuse(p, q, s, k) > 0), "sum to one"),
    (ex.check_fuse, lambda p, q, s, k: p, "off by up to"),
    (ex.check_response_logprob, lambda x, p, n: response(x, 0 * p, n), "the prompt is in the sum"),
    (ex.check_response_logprob, lambda x, p, n: response(x, p, n * 0 + 9), "padding is in the sum"),
    (ex.check_response_logprob, lambda x, p, n: x.sum(1), "prompt and padding"),
    (ex.check_response_logprob, lambda x, p, n: response(x, p, n, mean=True), "the mean per token"),
    (ex.check_response_logprob, lambda x, p, n: response(x, p, n, shift=1), "first token of the response"),
    (ex.check_response_logprob, lambda x, p, n: response(x, p, n, shift=-1), "one token early"),
    (ex.check_response_logprob, lambda x, p, n: response(x, p, n - 1), "off by up to"),
    (ex.check_dpo_from_sums, lambda c, r, rc, rr, b: dpo(r, c, rr, rc, b), "rejected are swapped"),
    (ex.check_dpo_from_sums, lambda c, r, rc, rr, b: dpo(c, r, 0 * rc, 0 * rr, b), "reference is missing"),
    (ex.check_dpo_from_sums, lambda c, r, rc, rr, b: dpo(rc, rr, c, r, b), "or policy and reference"),
    (ex.check_dpo_from_sums, lambda c, r, rc, rr, b: dpo(c, r, rc, rr, 1.0), "β is missing"),
    (ex.check_dpo_from_sums, lambda c, r, rc, rr, b: -dpo(c, r, rc, rr, b), "sign is lost"),
    (ex.check_dpo_from_sums, lambda c, r, rc, rr, b: len(c) * dpo(c, r, rc, rr, b), "sum over pairs"),
    (ex.check_dpo_from_sums, lambda c, r, rc, rr, b: -torch.sigmoid(b * (c - rc - r + rr)).mean(),
     "logarithm is missing"),
    (ex.check_dpo_from_sums, lambda c, r, rc, rr, b: dpo(c, -r, rc, -rr, b), "rejected reward is added"),
    (ex.check_dpo_from_sums, lambda c, r, rc, rr, b: dpo(c, r, rc, rr, 2 * b), "off by up to"),
    (ex.check_choose_matched, lambda t, p, s, k: nearest(t, p, s, 9), "ceiling is ignored"),
    (ex.check_choose_matched, lambda t, p, s, k: nearest(t, p, 0.0, k), "the rule for"),
    (ex.check_choose_matched, lambda t, p, s, k: int(t.argmin()), "whatever it cost"),
    (ex.check_choose_matched, lambda t, p, s, k: nearest(t, p, s / t[0], k), "the target itself"),
    (ex.check_choose_matched, lambda t, p, s, k: min(
        (i for i in range(len(t)) if p[i] <= k * p[0]), key=lambda i: abs(t[i] - s * t[0])), "no candidate"),
    (ex.check_choose_matched, lambda t, p, s, k: nearest(t, p, s, k) - 1, "one too few"),
    (ex.check_choose_matched, lambda t, p, s, k: 99, "off by up to"),
]  # fmt: skip


@pytest.mark.parametrize(("check", "answer"), RIGHT, ids=[check.name for check, _ in RIGHT])
def test_a_solution_written_otherwise_passes(check, answer, capsys):
    check(answer)
    assert capsys.readouterr().out == f"✓ {check.name}: {check.passed}\n"


@pytest.mark.parametrize(("check", "answer", "words"), WRONG)
def test_a_wrong_answer_gets_its_hint(check, answer, words, capsys):
    with pytest.raises(CheckFailed, match=words):
        check(answer)
    assert "✓" not in capsys.readouterr().out


def test_every_exercise_is_tried_with_a_solution_and_two_wrong_answers():
    for name in ex.__all__:
        check = getattr(ex, name)
        assert any(other is check for other, _ in RIGHT)
        assert sum(other is check for other, _, _ in WRONG) >= 2
