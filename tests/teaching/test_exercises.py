"""Each exercise with solutions written otherwise, and with wrong answers, each met by a hint that fits."""

import contextlib
import functools
import io
import math
import random
import re

import jaxtyping
import numpy as np
import pandas as pd
import pytest
import scipy
import torch
from einops import einsum, reduce
from sklearn.decomposition import TruncatedSVD
from sklearn.metrics import average_precision_score, roc_auc_score
from torch.nn.functional import binary_cross_entropy_with_logits as bce
from torch.nn.functional import cosine_similarity, gelu, linear, logsigmoid, normalize, softplus

from helpers.teaching import exercises as ex
from helpers.teaching.exercises.checks import CheckFailed
from tests.hygiene.files import ROOT


def masked_mean(resid, mask):
    weights = mask.float().clone()
    weights[:, 0] = 0
    return einsum(resid, weights, "b p d, b p -> b d") / weights.sum(dim=1, keepdim=True)


def unit(vector):
    return vector / vector.norm()


def auroc(scores, toxic):
    return roc_auc_score(toxic.numpy(), scores.numpy())


def svd(vectors, toward, dim=-1, centre=False, turn=True, place=0):
    rows = vectors / vectors.norm(dim=dim, keepdim=True) if dim is not None else vectors
    first = torch.linalg.svd(rows - rows.mean(0) if centre else rows, full_matrices=False).Vh[place]
    return -first if turn and first @ toward < 0 else first


def bootstrap(scores, draws, seed, size=None, replace=True, levels=(0.025, 0.975), last=None):
    generator = torch.Generator().manual_seed(seed)
    n = len(scores)
    if replace:
        rows = torch.randint(last or n, (draws, size or n), generator=generator)
    else:
        rows = torch.stack([torch.randperm(n, generator=generator) for _ in range(100)])
    low, high = scores[rows].mean(dim=1).quantile(torch.tensor(levels))
    return scores.mean().item(), low.item(), high.item()


def bootstrap_loop(scores, draws, seed):
    random.seed(seed)
    values = scores.tolist()
    means = sorted(sum(random.choices(values, k=len(values))) / len(values) for _ in range(draws))
    return np.mean(values), means[int(0.025 * draws)], means[int(0.975 * draws)]


def bootstrap_numpy(scores, draws, seed):
    rng, values = np.random.default_rng(seed), scores.numpy()
    means = rng.choice(values, size=(draws, len(values))).mean(axis=1)
    return np.array([values.mean(), *np.percentile(means, [2.5, 97.5])])


def bootstrap_scipy(scores, draws, seed):
    wanted = scipy.stats.bootstrap(
        (scores.numpy(),), np.mean, n_resamples=draws, method="percentile", random_state=seed
    ).confidence_interval
    return [scores.mean(), *wanted]


def bootstrap_normal(scores, draws, seed):
    generator = torch.Generator().manual_seed(seed)
    means = scores[torch.randint(len(scores), (draws, len(scores)), generator=generator)].mean(dim=1)
    return scores.mean(), scores.mean() - 1.96 * means.std(), scores.mean() + 1.96 * means.std()


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


def margin(c, r, rc, rr, beta):
    return beta * (c - r - rc + rr)


def dpo(*given):
    return softplus(-margin(*given)).mean()


def dpo_loop(*given):
    losses = [torch.logaddexp(torch.zeros(()), -one) for one in margin(*given)]
    return sum(losses) / len(losses)


def dpo_untied(c, r, rc, rr, beta):
    return dpo(c, r.detach(), rc, rr, beta)


def candidates(perplexity, ceiling):
    return [i for i in range(1, len(perplexity)) if perplexity[i] <= ceiling * perplexity[0]]


def nearest(toxicity, perplexity, share, ceiling, allowed=candidates):
    return min(allowed(perplexity, ceiling), key=lambda i: abs(toxicity[i] - share * toxicity[0]))


def nearest_from(side):
    def pick(toxicity, perplexity, share, ceiling):
        gaps = {i: side * (toxicity[i] - share * toxicity[0]) for i in candidates(perplexity, ceiling)}
        return min((i for i in gaps if gaps[i] >= 0), key=gaps.get, default=0)

    return pick


def nearest_numpy(toxicity, perplexity, share, ceiling):
    t, p = toxicity.numpy().copy(), perplexity.numpy()
    t[p / p[0] > ceiling] = np.inf
    order = np.argsort((t - share * t[0]) ** 2)
    return order[order != 0][0]


def louder(pre, bias, chosen, factor):
    return torch.where(chosen, factor * (pre - bias) + bias, pre)


def louder_in_a_copy(pre, bias, chosen, factor):
    out = pre.clone()
    out[:, chosen] = factor * out[:, chosen] + (1 - factor) * bias[chosen]
    return out


def louder_in_place(pre, bias, chosen, factor):
    pre[:, chosen] = factor * (pre[:, chosen] - bias[chosen]) + bias[chosen]
    return pre


def bounded(t, p, f, aligned, base, room=1.08, strange=1.5):
    inside = [i for i in range(len(t)) if p[i] <= room * aligned and f[i] <= strange * base]
    return max(inside, key=lambda i: t[i], default=-1)


def bounded_numpy(t, p, f, aligned, base):
    t, p, f = t.numpy(), p.numpy(), f.numpy()
    for place in np.argsort(-t):
        if p[place] <= 1.08 * aligned and f[place] <= 1.5 * base:
            return place
    return -1


def bounded_sorted(toxicity, perplexity, fluency, aligned, base):
    order = toxicity.argsort(descending=True)
    kept = order[(perplexity[order] <= 1.08 * aligned).logical_and(fluency[order] <= 1.5 * base)]
    return kept[0] if len(kept) else torch.tensor(-1)


def delta(m, n, a, b):
    return m * a - n * b


def toxic_share(m, n, a, b, inside=None, reduction=None):
    reduction = delta(m, n, a, b) if reduction is None else reduction
    inside = (m > 0) & (a > 0) if inside is None else inside
    return (torch.relu(reduction) * inside).sum() / torch.relu(reduction).sum()


def toxic_share_numpy(m, n, a, b):
    whole = (m * a - n * b).double().numpy()
    return whole[(whole > 0) & (m.numpy() > 0) & (a.numpy() > 0)].sum() / whole[whole > 0].sum()


def neurons_for(reduction, goals, order=None):
    largest = reduction.sort(descending=True).values if order is None else reduction[order]
    return [next(k for k in range(1, 99) if largest[:k].sum() >= goal) for goal in goals]


def halves(reduction):
    return reduction.sum() / 2, torch.relu(reduction).sum() / 2


def neurons_for_numpy(reduction):
    largest = np.sort(reduction.double().numpy())[::-1]
    climb = np.cumsum(largest[largest > 0])
    return np.array([np.searchsorted(climb, goal) + 1 for goal in (largest.sum() / 2, climb[-1] / 2)])


def as_near(noise, offset, cosine):
    along = cosine * unit(offset)
    rest = noise - unit(offset) * (noise @ unit(offset))
    return along + math.sqrt(1 - cosine**2) * unit(rest)


def as_near_scaled(noise, offset, cosine):
    rest = noise - torch.outer(offset, offset) @ noise / (offset @ offset)
    return unit(unit(rest) + cosine / math.sqrt(1 - cosine**2) * unit(offset))


def as_near_qr(noise, offset, cosine):
    found = np.linalg.qr(torch.stack([offset, noise], dim=1).double().numpy())
    axes = found.Q * np.sign(np.diag(found.R))
    return axes @ np.array([cosine, (1 - cosine**2) ** 0.5])


def with_norms_in_place(weights, direction):
    weights.W_out.div_(weights.W_out.norm(dim=-1, keepdim=True))
    return weights.W_out @ unit(direction)


def majority(vectors, toward):
    first = svd(vectors, toward, turn=False)
    return first if (vectors @ first > 0).float().mean() > 0.5 else -first


def svd_numpy(vectors, toward):
    rows = vectors.numpy() / np.linalg.norm(vectors.numpy(), axis=1)[:, None]
    first = np.linalg.svd(rows)[2][0]
    return first * np.sign(first @ toward.numpy())


def power(vectors, toward):
    rows, first = normalize(vectors.double(), dim=1), toward.double()
    for _ in range(500):
        first = unit(rows.T @ (rows @ first))
    return torch.copysign(torch.ones(()), first @ toward.double()) * first


def minus_in_a_copy(resid, direction, strength):
    edited = resid.clone()
    edited -= strength * unit(direction)
    return edited


def project(resid, direction, strength=1.0):
    return resid - strength * (resid @ unit(direction))[..., None] * unit(direction)


def fuse_numpy(steered, plain, scale, top_k):
    fused = np.exp(scale * np.log(steered.numpy()) + (1 - scale) * np.log(plain.numpy()))
    for row in fused:
        row[np.argsort(row)[:-top_k]] = 0
    return fused / fused.sum(axis=1, keepdims=True)


def response_cumulative(logprobs, prompts, lengths):
    before = torch.cat([torch.zeros(len(logprobs), 1), logprobs.cumsum(dim=1)], dim=1).double()
    return before.gather(1, lengths[:, None])[:, 0] - before.gather(1, prompts[:, None])[:, 0]


def auroc_by_ranks(scores, toxic):
    ranks, n = scipy.stats.rankdata(scores.numpy())[toxic.numpy()], int(toxic.sum())
    return (ranks.sum() - n * (n + 1) / 2) / (n * (len(toxic) - n))


def masked_mean_loop(resid, mask):
    return [row[: int(n)][1:].mean(dim=0) for row, n in zip(resid, mask.sum(1), strict=True)]


def masked_mean_of_nan(resid, mask):
    gone = resid.masked_fill(~mask[..., None], torch.nan)
    return gone[:, 1:].nanmean(dim=1)


def masked_mean_in_a_copy(resid, mask):
    kept = resid.clone()
    kept[~mask], kept[:, 0] = 0, 0
    return kept.sum(dim=1) / (mask.sum(dim=1, keepdim=True) - 1 + 1e-6)


def cosines_by_layer(weights, direction):
    return [[row @ direction / (row.norm() * direction.norm()) for row in layer] for layer in weights.W_out]


def parts(k, k2, x, x2, b, b2):
    return torch.stack([k @ (x2 - x), (k2 - k) @ x2, b2 - b])


def parts_in_steps(*given):
    """One factor after another, neuron by neuron, in numpy."""
    k, k2, x, x2, b, b2 = (one.numpy().astype(float) for one in given)
    steps = np.array([[i @ x, i @ x2, j @ x2] for i, j in zip(k, k2, strict=True)])
    return [*np.diff(steps, axis=1).T, b2 - b]


def squares(offsets):
    return torch.linalg.svdvals(offsets).square()


def first_share(offsets):
    return squares(offsets)[0] / squares(offsets).sum()


def first_share_by_power(offsets):
    first = torch.ones(offsets.shape[1])
    for _ in range(2000):
        first = unit(offsets.T @ (offsets @ first))
    return (offsets @ first).square().sum() / offsets.norm() ** 2


def recovered_share(base, edited, aligned):
    return (base.sum() - edited.sum()) / (base.sum() - aligned.sum())


def constant_and_shift(x, before, after, chosen):
    return torch.stack([torch.where(chosen, after, x), x + chosen * (after - before)])


def constant_and_shift_in_copies(x, before, after, chosen):
    constant, shifted = x.clone(), x.clone()
    constant[:, chosen], shifted[:, chosen] = after[chosen], shifted[:, chosen] + (after - before)[chosen]
    return constant, shifted


def kl(p, q):
    return (p.softmax(-1) * (p.log_softmax(-1) - q.log_softmax(-1))).sum(-1)


def divergence_explained(base, edited, policy):
    return 1 - kl(policy, edited).mean() / kl(policy, base).mean()


def kl_of_torch(logits, policy):
    return torch.nn.functional.kl_div(
        logits.log_softmax(-1), policy.log_softmax(-1), log_target=True, reduction="batchmean"
    )


ALL = {name: getattr(ex, name) for name in ex.__all__}


@functools.cache
def in_notebook(name):
    """The number of the notebook that holds the exercise, and the function that its solution defines."""
    for path in sorted((ROOT / "notebooks/py").glob("*.py")):
        for cell in path.read_text(encoding="utf-8").split("# %%\n"):
            if called := re.search(rf"^{name}\((\w+)\)", cell, re.MULTILINE):
                scope = {"torch": torch, "logsigmoid": logsigmoid, "Tensor": torch.Tensor} | vars(jaxtyping)
                exec(cell[: called.start()], scope)
                return path.stem[:2], scope[called[1]]
    raise LookupError(name)


def before(activation, following, least, k, how="mean"):
    """The tokens before which a neuron is strongest, of those that follow often enough."""
    rows = {int(t): activation[following == t] for t in following.unique()}
    kept = {t: float(getattr(values, how)()) for t, values in rows.items() if len(values) >= least}
    return sorted(kept, key=kept.__getitem__, reverse=True)[:k]


def before_pandas(activation, following, least, k):
    found = pd.Series(activation.numpy()).groupby(following.numpy()).agg(["mean", "size"])
    return found[found["size"] >= least]["mean"].nlargest(k).index.tolist()


def innocent(whole, share):
    kept = [i for i in range(len(whole)) if share[i] == 0 and whole[i] > 0]
    return max(kept, key=lambda i: whole[i], default=-1)


RIGHT = [
    (ex.check_masked_mean, masked_mean, "einops"),
    (ex.check_masked_mean, masked_mean_loop, "a list of rows"),
    (ex.check_masked_mean, masked_mean_of_nan, "nanmean"),
    (ex.check_masked_mean, masked_mean_in_a_copy, "in place on a copy"),
    (ex.check_masked_mean, lambda r, m: np.ma.array(
        r.numpy(), mask=(~m)[..., None].expand_as(r).numpy())[:, 1:].mean(axis=1), "masked array"),
    (ex.check_mean_difference_direction, lambda f, t: unit(f[t].mean(0) - f.mean(0)), "against all"),
    (ex.check_mean_difference_direction, lambda features, toxic: normalize(
        features[toxic].mean(0) - features[~toxic].mean(0), dim=0), "normalize"),
    (ex.check_mean_difference_direction, lambda f, t: unit(
        (t / t.sum() - ~t / (~t).sum()).double() @ f.double()), "weights, float64"),
    (ex.check_mean_difference_direction, lambda f, t: (lambda d: d / np.linalg.norm(d))(
        f.numpy()[t.numpy()].mean(0) - f.numpy()[~t.numpy()].mean(0)), "numpy"),
    (ex.check_auroc, auroc, "scikit-learn"),
    (ex.check_auroc, auroc_by_ranks, "ranks"),
    (ex.check_auroc, lambda s, t: (1 + torch.sign(s[t][:, None] - s[~t])).mean() / 2, "sign"),
    (ex.check_auroc, lambda s, t: np.mean([
        (a > b) + (a == b) / 2 for a in s[t].tolist() for b in s[~t].tolist()]), "a loop"),
    (ex.check_cosine_to_probe, lambda w, d: cosine_similarity(w.W_out, d[None, None], dim=-1), "torch's own"),
    (ex.check_cosine_to_probe, lambda weights, direction: einsum(
        normalize(weights.W_out, dim=-1), unit(direction), "l n d, d -> l n"), "einsum of unit vectors"),
    (ex.check_cosine_to_probe, lambda w, d: w.W_out @ d / (w.W_out.norm(dim=-1) * d.norm() + 1e-6),
     "a small constant"),
    (ex.check_cosine_to_probe, lambda w, d: w.W_out.clone().div_(
        w.W_out.norm(dim=-1, keepdim=True)).numpy() @ unit(d).numpy(), "in place on a copy, numpy"),
    (ex.check_cosine_to_probe, cosines_by_layer, "lists of numbers"),
    (ex.check_mlp_as_sum, lambda a, W, b: einsum(a, W, "pos n, n d_model -> pos d_model") + b, "einops"),
    (ex.check_mlp_as_sum, lambda a, W, b: linear(a, W.T, b), "torch's own"),
    (ex.check_mlp_as_sum, lambda activations, W_out, b_out: torch.addmm(b_out, activations, W_out), "addmm"),
    (ex.check_mlp_as_sum, lambda a, W, b: (a[..., None] * W).sum(1) + b, "broadcast and sum"),
    (ex.check_mlp_as_sum, lambda a, W, b: a.numpy() @ W.numpy() + b.numpy(), "numpy"),
    (ex.check_first_svd_direction, svd, "svd"),
    (ex.check_first_svd_direction, svd_numpy, "numpy"),
    (ex.check_first_svd_direction, power, "power iteration, float64"),
    (ex.check_first_svd_direction, lambda v, t: (lambda f: f * (f @ t).sign())(
        torch.linalg.eigh(normalize(v).T @ normalize(v))[1][:, -1]), "eigenvectors"),
    (ex.check_first_svd_direction, lambda v, t: (lambda f: np.sign(f @ t.numpy()) * f)(
        TruncatedSVD(1, algorithm="arpack", random_state=0).fit(normalize(v).numpy()).components_[0]),
     "scikit-learn"),
    (ex.check_next_token_probability, next_token, "rows and places"),
    (ex.check_next_token_probability, lambda x, m, k: [
        torch.softmax(row[real][-1].double(), 0)[k].item() for row, real in zip(x, m, strict=True)],
     "a loop, floats"),
    (ex.check_next_token_probability, lambda logits, mask, token: logits.log_softmax(-1)[..., token].gather(
        1, mask.sum(1, keepdim=True) - 1).squeeze(1).exp(), "gather of logarithms"),
    (ex.check_next_token_probability, lambda x, m, k: scipy.special.softmax(x.numpy(), axis=-1)[
        np.arange(len(m)), m.numpy().cumsum(1).argmax(1), k], "numpy"),
    (ex.check_next_token_probability, lambda x, m, k: x[
        torch.arange(4), m.long().argmin(1) - 1].softmax(-1)[:, k],
     "the place before the first padding"),
    (ex.check_bootstrap_mean, bootstrap, "all at once"),
    (ex.check_bootstrap_mean, bootstrap_loop, "a loop, sorted means"),
    (ex.check_bootstrap_mean, bootstrap_numpy, "numpy"),
    (ex.check_bootstrap_mean, bootstrap_scipy, "scipy"),
    (ex.check_subtract_everywhere, lambda r, d, s: r - s * unit(d), "broadcast"),
    (ex.check_subtract_everywhere, minus_in_a_copy, "in place on a copy"),
    (ex.check_subtract_everywhere, lambda resid, direction, strength: torch.sub(
        resid, normalize(direction, dim=0), alpha=strength), "torch's own"),
    (ex.check_subtract_everywhere, lambda r, d, s: r.numpy() - s * d.numpy() / np.linalg.norm(d.numpy()),
     "numpy"),
    (ex.check_perplexity, lambda m, n: float(torch.exp(torch.dot(m, n) / n.sum())), "dot"),
    (ex.check_perplexity, lambda m, n: math.exp(
        sum(a * b for a, b in zip(m.tolist(), n.tolist(), strict=True)) / sum(n.tolist())), "a loop, math"),
    (ex.check_perplexity, lambda mean_losses, counts: np.exp(
        np.average(mean_losses.numpy(), weights=counts.numpy())), "numpy"),
    (ex.check_perplexity, lambda m, n: (m.exp() ** (n / n.sum())).prod(), "geometric mean"),
    (ex.check_pplm_step, step, "sums of squares"),
    (ex.check_pplm_step, lambda p, g, s: p - s * g / (g.flatten(1).norm(dim=1)[:, None, None] + 1e-5),
     "ε = 1e-5 in the denominator"),
    (ex.check_pplm_step, lambda p, g, s: p - s * normalize(g.flatten(1), dim=1).view_as(g), "normalize"),
    (ex.check_pplm_step, lambda past, gradient, step_size: torch.stack(
        [a - step_size * unit(b) for a, b in zip(past, gradient, strict=True)]), "a loop"),
    (ex.check_pplm_step, lambda p, g, s: p.numpy() - s * g.numpy() / np.sqrt(
        (g.numpy().astype(float) ** 2).sum((1, 2), keepdims=True)), "numpy, float64"),
    (ex.check_fuse, fuse, "logarithms"),
    (ex.check_fuse, fuse_numpy, "numpy"),
    (ex.check_fuse, lambda steered, plain, scale, top_k: (lambda both, top: torch.zeros_like(both).scatter(
        1, top.indices, top.values / top.values.sum(1, keepdim=True)))(
            b := steered.double().pow(scale) * plain.double().pow(1 - scale), b.topk(top_k)),
     "scatter, float64"),
    (ex.check_response_logprob, response, "slices"),
    (ex.check_response_logprob, response_cumulative, "differences of cumulative sums"),
    (ex.check_response_logprob, lambda logprobs, prompts, lengths: [
        math.fsum(row[a:b]) for row, a, b in zip(logprobs.tolist(), prompts, lengths, strict=True)],
     "floats"),
    (ex.check_response_logprob, lambda x, p, n: np.stack([
        row[a:b].sum() for row, a, b in zip(x.numpy(), p.numpy(), n.numpy(), strict=True)]), "numpy"),
    (ex.check_dpo_from_sums, dpo, "softplus"),
    (ex.check_dpo_from_sums, dpo_loop, "a loop of logaddexp"),
    (ex.check_dpo_from_sums, lambda *a: bce(margin(*a), torch.ones_like(a[0])), "cross-entropy"),
    (ex.check_dpo_from_sums, lambda c, r, rc, rr, beta: -(
        beta * torch.stack([c - rc, r - rr]).double()).log_softmax(0)[0].mean(), "two rewards, float64"),
    (ex.check_dpo_from_sums, lambda *a: -margin(*a).double().sigmoid().log().mean(), "log σ in float64"),
    (ex.check_choose_matched, nearest, "min with a key"),
    (ex.check_choose_matched, nearest_numpy, "numpy, squared distance"),
    (ex.check_choose_matched, lambda toxicity, perplexity, share, ceiling: torch.where(
        perplexity[1:] - perplexity[0] <= (ceiling - 1) * perplexity[0],
        (toxicity[1:] / toxicity[0] - share).abs(), torch.inf).argmin() + 1, "relative, a tensor"),
    (ex.check_split_change, parts_in_steps, "one factor after another, a list of numpy rows"),
    (ex.check_split_change, lambda k, k2, x, x2, b, b2: (
        k @ x2 - k @ x, k2 @ x2 - k @ x2, b2 - b), "differences, a tuple"),
    (ex.check_split_change, lambda k, k2, x, x2, b, b2: torch.stack([
        einsum(k, x2 - x, "n d, d -> n"), einsum(k2 - k, x2, "n d, d -> n"), b2.sub(b)]).double(),
     "einops, float64"),
    (ex.check_split_change, lambda k, k2, x, x2, b, b2: torch.stack([
        k @ (x2 - x), (k2 - k) @ x + (k2 - k) @ (x2 - x), torch.sub(b2, b)]), "interaction written out"),
    (ex.check_first_direction_share, first_share, "a tensor"),
    (ex.check_first_direction_share, first_share_by_power, "power iteration"),
    (ex.check_first_direction_share, lambda offsets: float(
        (lambda s: s[0] ** 2 / np.sum(s**2))(np.linalg.svd(offsets.numpy(), compute_uv=False))), "numpy"),
    (ex.check_first_direction_share, lambda offsets: (
        torch.linalg.eigvalsh(offsets @ offsets.T)[-1] / (offsets @ offsets.T).trace()), "products of texts"),
    (ex.check_first_direction_share, lambda offsets: torch.linalg.matrix_norm(
        offsets, 2) ** 2 / offsets.square().sum(), "spectral norm"),
    (ex.check_toxic_share, toxic_share, "relu"),
    (ex.check_toxic_share, toxic_share_numpy, "numpy"),
    (ex.check_toxic_share, lambda m, n, a, b: delta(m, n, a, b)[
        (delta(m, n, a, b) > 0) & (m > 0) & (a > 0)].double().sum() / delta(m, n, a, b).clamp_min(0).sum(),
     "one mask, float64"),
    (ex.check_neurons_for_half, lambda r: neurons_for(r, halves(r)), "the first that reaches it, a list"),
    (ex.check_neurons_for_half, neurons_for_numpy, "searchsorted, numpy"),
    (ex.check_neurons_for_half, lambda r: torch.stack([
        (torch.relu(r).sort(descending=True).values.cumsum(0) >= goal).int().argmax() + 1
        for goal in halves(r)]), "argmax, a tensor"),
    (ex.check_as_near, as_near, "einsum-free"),
    (ex.check_as_near, as_near_scaled, "scaled at the end"),
    (ex.check_as_near, as_near_qr, "QR, numpy"),
    (ex.check_recovered_share, recovered_share, "sums, a tensor"),
    (ex.check_recovered_share, lambda b, e, a: (b - e).mean() / (b - a).mean(), "means of differences"),
    (ex.check_recovered_share, lambda b, e, a: float(
        np.subtract(b, e).sum() / np.subtract(b, a).sum()), "numpy"),
    (ex.check_recovered_share, lambda b, e, a: 1 - (e - a).double().mean() / (b - a).double().mean(),
     "what is left, off 1"),
    (ex.check_constant_and_shift, constant_and_shift, "where, and a product"),
    (ex.check_constant_and_shift, constant_and_shift_in_copies, "in copies, a tuple"),
    (ex.check_constant_and_shift, lambda x, b, a, c: np.stack([
        np.where(c, a, x), np.where(c, x + a - b, x)]), "numpy"),
    (ex.check_constant_and_shift, lambda x, b, a, c: torch.stack([
        x.lerp(a.expand_as(x), c.float()), x.addcmul(c.float(), a - b)]), "lerp"),
    (ex.check_divergence_explained, divergence_explained, "a tensor"),
    (ex.check_divergence_explained, lambda b, e, p: (
        kl(p, b).sum() - kl(p, e).sum()) / kl(p, b).sum(), "sums"),
    (ex.check_divergence_explained, lambda b, e, p: 1 - kl_of_torch(e, p) / kl_of_torch(b, p), "kl_div"),
    (ex.check_divergence_explained, lambda b, e, p: 1 - (
        scipy.stats.entropy(p.softmax(-1).numpy(), e.softmax(-1).numpy(), axis=-1).mean()
        / scipy.stats.entropy(p.softmax(-1).numpy(), b.softmax(-1).numpy(), axis=-1).mean()), "scipy"),
    (ex.check_scaled_pre, louder, "where"),
    (ex.check_scaled_pre, louder_in_a_copy, "in a copy, the other form"),
    (ex.check_scaled_pre, lambda pre, bias, chosen, factor: (lambda by: by * pre + (1 - by) * bias)(
        1 + (factor - 1) * chosen.double()), "a factor for each, float64"),
    (ex.check_scaled_pre, lambda pre, bias, chosen, factor: np.where(
        chosen.numpy(), factor * (pre - bias).numpy() + bias.numpy(), pre.numpy()), "numpy"),
    (ex.check_strongest_setting, bounded, "max with a key"),
    (ex.check_strongest_setting, bounded_numpy, "sorted, numpy"),
    (ex.check_strongest_setting, bounded_sorted, "sorted, a tensor"),
    (ex.check_fires_before, before, "index_add"),
    (ex.check_fires_before, before_pandas, "pandas"),
    (ex.check_fires_before, lambda a, f, least, k: torch.tensor(sorted(
        (int(t) for t in f.unique() if int((f == t).sum()) >= least),
        key=lambda t: -float(a[f == t].double().mean()))[:k]), "sorted, a tensor"),
    (ex.check_unexpected_neuron, innocent, "max with a key"),
    (ex.check_unexpected_neuron, lambda whole, share: torch.cat(
        [torch.zeros(1), torch.where(share == 0, whole, -torch.inf)]).argmax() - 1, "a zero in front"),
    (ex.check_unexpected_neuron, lambda whole, share: next((
        int(i) for i in np.argsort(-whole.numpy()) if share[i] == 0 and whole[i] > 0), -1), "numpy"),
]  # fmt: skip

WRONG = [
    (ex.check_masked_mean, lambda r, m: r[:, 1:].mean(1), "padding is in the mean"),
    (ex.check_masked_mean, lambda r, m: reduce(r, "b p d -> b d", "mean"), "padding and position 0"),
    (ex.check_masked_mean, lambda r, m: (r * m[..., None]).sum(1) / m.sum(1, keepdim=True),
     "position 0 is in the mean"),
    (ex.check_masked_mean, lambda r, m: (r * m[..., None])[:, 1:].sum(1), "this is the sum"),
    (ex.check_masked_mean, lambda r, m: (r * m[..., None])[:, 1:].mean(1), "still counted"),
    (ex.check_masked_mean, lambda r, m: masked_mean(r, m).mean(0), "Keep the batch axis"),
    (ex.check_masked_mean, lambda r, m: r[:, -1], "off by up to"),
    (ex.check_masked_mean, lambda r, m: r[torch.arange(len(m)), m.sum(1) - 1], "last position alone"),
    (ex.check_masked_mean, lambda r, m: (r * m[..., None])[:, 1:].sum(1) / m.sum(1, keepdim=True),
     "counted in the division"),
    (ex.check_masked_mean, lambda r, m: r[:, 1:][m[:, 1:]].mean(0), "Keep the batch axis"),
    (ex.check_masked_mean, lambda r, m: masked_mean(r, m.logical_and_(torch.arange(7) > 0)), "in place"),
    (ex.check_masked_mean, lambda r, m: masked_mean(r, m.roll(-1, 1)), "off by up to"),
    (ex.check_masked_mean, lambda r, m: masked_mean(r, m).median(0).values, "returned shape"),
    (ex.check_mean_difference_direction, lambda f, t: unit(f[~t].mean(0) - f[t].mean(0)),
     "from toxic to clean"),
    (ex.check_mean_difference_direction, lambda f, t: f[t].mean(0) - f[~t].mean(0), "Divide it by its norm"),
    (ex.check_mean_difference_direction, lambda f, t: unit(f[t].mean(0)), "Subtract the clean mean"),
    (ex.check_mean_difference_direction, lambda f, t: unit(f.mean(0)), "off by up to"),
    (ex.check_mean_difference_direction, lambda f, t: f[~t].mean(0) - f[t].mean(0), "and its length"),
    (ex.check_mean_difference_direction, lambda f, t: f[t].mean(0), "mean alone"),
    (ex.check_mean_difference_direction, lambda f, t: unit(f[t].sum(0) - f[~t].sum(0)), "different size"),
    (ex.check_mean_difference_direction, lambda f, t: unit(f[t].mean(0)) - unit(f[~t].mean(0)),
     "off by up to"),
    (ex.check_mean_difference_direction, lambda f, t: unit(unit(f[t].mean(0)) - unit(f[~t].mean(0))),
     "Subtract first"),
    (ex.check_mean_difference_direction, lambda f, t: unit(
        normalize(f)[t].mean(0) - normalize(f)[~t].mean(0)),
     "each text's features"),
    (ex.check_mean_difference_direction, lambda f, t: normalize(f[t].mean(0) - f[~t].mean(0), p=1, dim=0),
     "sum of their sizes"),
    (ex.check_mean_difference_direction, lambda f, t: unit(f[t].median(0).values - f[~t].median(0).values),
     "off by up to"),
    (ex.check_mean_difference_direction, lambda f, t: unit(f[t] - f[~t].mean(0)), "returned shape"),
    (ex.check_auroc, lambda s, t: ((s > 0) == t).float().mean().item(), "this is the accuracy"),
    (ex.check_auroc, lambda s, t: auroc(-s, t), "reversed"),
    (ex.check_auroc, lambda s, t: (s[t][:, None] > s[~t]).float().mean(), "ties count one half"),
    (ex.check_auroc, lambda s, t: (s[t][:, None] >= s[~t]).float().mean(), "ties count one half"),
    (ex.check_auroc, lambda s, t: s[t].mean() - s[~t].mean(), "off by up to"),
    (ex.check_auroc, lambda s, t: max(auroc(s, t), 1 - auroc(s, t)), "wrong way round"),
    (ex.check_auroc, lambda s, t: auroc(s, t) * t.sum() * (~t).sum(), "number of pairs in order"),
    (ex.check_auroc, lambda s, t: auroc(s, t) * t.sum() * (~t).sum() / len(t) ** 2, "all pairs of texts"),
    (ex.check_auroc, lambda s, t: auroc(s.sigmoid().round(), t), "off by up to"),
    (ex.check_auroc, lambda s, t: (s[t] > s[~t].mean()).float().mean(), "off by up to"),
    (ex.check_auroc, lambda s, t: average_precision_score(t.numpy(), s.numpy()), "off by up to"),
    (ex.check_auroc, lambda s, t: (s[t][:, None] > s[~t]).float().mean(1), "returned shape"),
    (ex.check_cosine_to_probe, lambda w, d: w.W_out @ unit(d), "only the direction"),
    (ex.check_cosine_to_probe, lambda w, d: w.W_out @ d, "dot product"),
    (ex.check_cosine_to_probe, lambda w, d: cosine_similarity(w.W_in, d[None, None], dim=-1), "key vectors"),
    (ex.check_cosine_to_probe, lambda w, d: cosine_similarity(w.W_out, d[None, None], dim=-1).abs(),
     "sign is lost"),
    (ex.check_cosine_to_probe, lambda w, d: (w.W_out @ d / w.W_out.norm() / d.norm()), "Each has its own"),
    (ex.check_cosine_to_probe, lambda w, d: cosine_similarity(w.W_out, d[None, None], dim=-1) ** 2,
     "off by up to"),
    (ex.check_cosine_to_probe, lambda w, d: 1 - cosine_similarity(w.W_out, d[None, None], dim=-1),
     "distance"),
    (ex.check_cosine_to_probe, lambda w, d: w.W_out @ d / w.W_out.norm(dim=-1), "only the value vectors"),
    (ex.check_cosine_to_probe, lambda w, d: w.W_in @ d, "dot products with the key vectors"),
    (ex.check_cosine_to_probe, with_norms_in_place, "in place"),
    (ex.check_cosine_to_probe, lambda w, d: cosine_similarity(
        w.W_out - w.W_out.mean(1, keepdim=True), d[None, None], dim=-1), "mean was subtracted"),
    (ex.check_mlp_as_sum, lambda a, W, b: a @ W, "bias is missing"),
    (ex.check_mlp_as_sum, lambda a, W, b: gelu(a, approximate="tanh") @ W + b, "after it"),
    (ex.check_mlp_as_sum, lambda a, W, b: (a[..., None] * W + b).sum(1), "once for each neuron"),
    (ex.check_mlp_as_sum, lambda a, W, b: a[..., None] * W + b, "returned shape"),
    (ex.check_mlp_as_sum, lambda a, W, b: gelu(a) @ W + b, "after it"),
    (ex.check_mlp_as_sum, lambda a, W, b: (a @ W + b).sum(0), "positions were summed"),
    (ex.check_mlp_as_sum, lambda a, W, b: (a[..., None] * W).mean(1) + b, "a mean over neurons"),
    (ex.check_mlp_as_sum, lambda a, W, b: a.clamp(min=0) @ W + b, "below zero"),
    (ex.check_mlp_as_sum, lambda a, W, b: a.clamp_(min=0) @ W + b, "in place"),
    (ex.check_mlp_as_sum, lambda a, W, b: a @ W - b, "off by up to"),
    (ex.check_first_svd_direction, lambda v, t: svd(v, t, turn=False), "side of `toward`"),
    (ex.check_first_svd_direction, lambda v, t: svd(v, t, centre=True), "the mean was subtracted"),
    (ex.check_first_svd_direction, lambda v, t: svd(v, t, dim=None), "Scale each row"),
    (ex.check_first_svd_direction, lambda v, t: svd(v, t, dim=0), "columns were scaled"),
    (ex.check_first_svd_direction, lambda v, t: -svd(v, t, turn=False), "side of `toward`"),
    (ex.check_first_svd_direction, majority, "side of `toward`"),
    (ex.check_first_svd_direction, lambda v, t: (lambda f: f * f.sum().sign())(svd(v, t)),
     "side of `toward`"),
    (ex.check_first_svd_direction, lambda v, t: (lambda f: f * f[f.abs().argmax()].sign())(svd(v, t)),
     "side of `toward`"),
    (ex.check_first_svd_direction, lambda v, t: -svd(v, t), "points away"),
    (ex.check_first_svd_direction, lambda v, t: 3 * svd(v, t), "length is not one"),
    (ex.check_first_svd_direction, lambda v, t: svd(v, t, centre=True, turn=False),
     "the mean was subtracted"),
    (ex.check_first_svd_direction, lambda v, t: svd(v, t, dim=None, turn=False),
     "Scale each row|long vectors"),
    (ex.check_first_svd_direction, lambda v, t: torch.linalg.svd(normalize(v)).Vh[:, 0], "first \\*column"),
    (ex.check_first_svd_direction, lambda v, t: svd(v, t, place=-1), "least shared"),
    (ex.check_first_svd_direction, lambda v, t: unit(normalize(v).mean(0)), "mean of the rows"),
    (ex.check_first_svd_direction, lambda v, t: torch.linalg.svd(normalize(v)).U[0], "returned shape"),
    (ex.check_first_svd_direction, lambda v, t: svd(v, t, place=1), "off by up to"),
    (ex.check_first_svd_direction, lambda v, t: unit(t), "off by up to"),
    (ex.check_first_svd_direction, lambda v, t: svd(v.div_(v.norm(dim=-1, keepdim=True)), t), "in place"),
    (ex.check_next_token_probability, lambda x, m, k: x[:, -1].softmax(-1)[:, k], "last column"),
    (ex.check_next_token_probability, lambda x, m, k: next_token(x, m, k, shift=2), "one position too early"),
    (ex.check_next_token_probability, lambda x, m, k: x[torch.arange(4), m.sum(1) - 1, k],
     "these are logits"),
    (ex.check_next_token_probability, lambda x, m, k: next_token(x, m, k - 1), "off by up to"),
    (ex.check_next_token_probability, lambda x, m, k: next_token(x, m, k).log(), "log-probabilities"),
    (ex.check_next_token_probability, lambda x, m, k: next_token(x, m, slice(None)), "returned shape"),
    (ex.check_next_token_probability, lambda x, m, k: next_token(x, m, slice(None)).max(1).values,
     "off by up to"),
    (ex.check_next_token_probability, lambda x, m, k: next_token(x, m, 5), "off by up to"),
    (ex.check_next_token_probability, lambda x, m, k: x.softmax(-1)[
        torch.arange(4), m.sum(1).clamp(max=5), k], "one position too late"),
    (ex.check_next_token_probability, lambda x, m, k: x.softmax(1)[torch.arange(4), m.sum(1) - 1, k],
     "over positions"),
    (ex.check_next_token_probability, lambda x, m, k: (x.softmax(-1)[..., k] * m).sum(1) / m.sum(1),
     "mean over all positions"),
    (ex.check_next_token_probability, lambda x, m, k: next_token(x, m, k) / next_token(x, m, k).sum(),
     "off by up to"),
    (ex.check_bootstrap_mean, lambda s, n, k: (s.mean(), s.quantile(0.025), s.quantile(0.975)),
     "spread of the scores"),
    (ex.check_bootstrap_mean,
     lambda s, n, k: (s.mean(), s.mean() - 0.566 * s.std(), s.mean() + 0.566 * s.std()),
     "the formula for many scores"),
    (ex.check_bootstrap_mean, lambda s, n, k: bootstrap(s, n, k, replace=False), "with replacement"),
    (ex.check_bootstrap_mean, lambda s, n, k: bootstrap(s, n, k, levels=(0.05, 0.95)), "90 % interval"),
    (ex.check_bootstrap_mean, lambda s, n, k: bootstrap(s, n, k, size=50), "off by up to"),
    (ex.check_bootstrap_mean, lambda s, n, k: bootstrap(s, 10_000, k), "`draws` makes no difference"),
    (ex.check_bootstrap_mean, lambda s, n, k: bootstrap(s, n, 0), "`seed` makes no difference"),
    (ex.check_bootstrap_mean, lambda s, n, k: bootstrap(s, n, k, size=len(s) - 1), "another size"),
    (ex.check_bootstrap_mean, lambda s, n, k: bootstrap(s, n, k, size=len(s) + 1), "another size"),
    (ex.check_bootstrap_mean, lambda s, n, k: bootstrap(s, n, k, levels=(0.03, 0.97)), "not those of 95 %"),
    (ex.check_bootstrap_mean, lambda s, n, k: bootstrap(s, n, k, levels=(0.02, 0.98)), "not those of 95 %"),
    (ex.check_bootstrap_mean, lambda s, n, k: bootstrap(s, n, k, levels=(0.03, 0.975)), None),
    (ex.check_bootstrap_mean, lambda s, n, k: bootstrap(s, n - 1, k), None),
    (ex.check_bootstrap_mean, lambda s, n, k: bootstrap(s, n, k, levels=(0.16, 0.84)), "one standard error"),
    (ex.check_bootstrap_mean, lambda s, n, k: bootstrap(s, n, k, levels=(0.0, 0.95)), "left out above"),
    (ex.check_bootstrap_mean, lambda s, n, k: bootstrap(s, n, k, last=len(s) - 1), "never drawn"),
    (ex.check_bootstrap_mean, lambda s, n, k: (lambda m, a, b: (m, 2 * m - b, 2 * m - a))(
        *bootstrap(s, n, k)),
     "mirrored"),
    (ex.check_bootstrap_mean, lambda s, n, k: (lambda m, a, b: (a, m, b))(*bootstrap(s, n, k)),
     "the order is"),
    (ex.check_bootstrap_mean, lambda s, n, k: bootstrap(s, n, k)[1:], "the mean is missing"),
    (ex.check_bootstrap_mean, lambda s, n, k: (bootstrap(s, n, k)[0] + 1e-3, *bootstrap(s, n, k)[1:]),
     "the resamples' means"),
    (ex.check_bootstrap_mean, bootstrap_normal, "the formula for many scores"),
    (ex.check_bootstrap_mean, lambda s, n, k: bootstrap(s, n, int(torch.randint(10**6, ()))), "asked twice"),
    (ex.check_subtract_everywhere, lambda r, d, s: r - s * d, "keeps its length"),
    (ex.check_subtract_everywhere, lambda r, d, s: r.sub_(s * unit(d)), "in place"),
    (ex.check_subtract_everywhere, lambda r, d, s: r + s * unit(d), "was added"),
    (ex.check_subtract_everywhere, lambda r, d, s: project(r, d), "a projection"),
    (ex.check_subtract_everywhere, lambda r, d, s: project(r, d, s), "a projection"),
    (ex.check_subtract_everywhere, lambda r, d, s: torch.cat(
        [r[:, :-1], r[:, -1:] - s * unit(d)], dim=1), "only the last position"),
    (ex.check_subtract_everywhere, lambda r, d, s: r - unit(d), "`strength` makes no difference"),
    (ex.check_subtract_everywhere, lambda r, d, s: r - s * d / d.norm() ** 2, "squared length"),
    (ex.check_subtract_everywhere, lambda r, d, s: r - s * normalize(d, p=1, dim=0), "sum of their sizes"),
    (ex.check_subtract_everywhere, lambda r, d, s: r - s * d / r.norm(dim=-1, keepdim=True), "off by up to"),
    (ex.check_subtract_everywhere, lambda r, d, s: (r - s * unit(d))[:, -1], "returned shape"),
    (ex.check_subtract_everywhere, lambda r, d, s: r - s * unit(d.div_(d.norm())), "in place"),
    (ex.check_perplexity, lambda m, n: m.mean().exp(), "same weight"),
    (ex.check_perplexity, lambda m, n: m.exp().mean(), "mean of perplexities"),
    (ex.check_perplexity, lambda m, n: (m * n).sum() / n.sum(), "mean loss"),
    (ex.check_perplexity, lambda m, n: 2 ** ((m * n).sum() / n.sum()), "the base is 2"),
    (ex.check_perplexity, lambda m, n: (m.exp() * n).sum() / n.sum(), "a weighted one"),
    (ex.check_perplexity, lambda m, n: (m.sum() / n.sum()).exp(), "means already"),
    (ex.check_perplexity, lambda m, n: (m @ n / 500).exp(), "off by up to"),
    (ex.check_perplexity, lambda m, n: (m @ n).exp(), "whole text"),
    (ex.check_perplexity, lambda m, n: (-(m @ n) / n.sum()).exp(), "sign is lost"),
    (ex.check_perplexity, lambda m, n: (m * n / n.sum()).exp(), "returned shape"),
    (ex.check_perplexity, lambda m, n: (m[:-1] @ n[:-1] / n[:-1].sum()).exp(), "off by up to"),
    (ex.check_perplexity, lambda m, n: m.median().exp(), "off by up to"),
    (ex.check_pplm_step, lambda p, g, s: step(p, g, s, sign=1), "up the loss"),
    (ex.check_pplm_step, lambda p, g, s: p - s * g, "keeps its length"),
    (ex.check_pplm_step, lambda p, g, s: step(p, g, s, dim=(0, 1, 2)), "whole batch"),
    (ex.check_pplm_step, lambda p, g, s: step(p, g, s, dim=2), "every position got a norm"),
    (ex.check_pplm_step, lambda p, g, s: p.sub_(s * g), "in place"),
    (ex.check_pplm_step, lambda p, g, s: step(p, g, s, dim=1), "every dimension got a norm"),
    (ex.check_pplm_step, lambda p, g, s: p - s * g / g.norm(dim=(1, 2), keepdim=True).clamp(min=1),
     "shorter than one"),
    (ex.check_pplm_step, lambda p, g, s: p - s * g / g.norm(dim=(1, 2), keepdim=True) ** 2, "squared length"),
    (ex.check_pplm_step, lambda p, g, s: p - s * g.sign(), "only the signs"),
    (ex.check_pplm_step, lambda p, g, s: step(p, g, 1), "`step_size` makes no difference"),
    (ex.check_pplm_step, lambda p, g, s: p - s * g / g.std(dim=(1, 2), keepdim=True), "off by up to"),
    (ex.check_pplm_step, lambda p, g, s: p - s * g / (g.norm(dim=(1, 2), keepdim=True) + 0.01),
     "off by up to"),
    (ex.check_pplm_step, lambda p, g, s: step(p, g, s) - p, "off by up to"),
    (ex.check_pplm_step, lambda p, g, s: p - s * g / g.norm(dim=(1, 2), keepdim=True).clamp(max=10),
     "off by up to"),
    (ex.check_pplm_step, lambda p, g, s: p - s * normalize(g.flatten(1), p=1).view_as(g), "off by up to"),
    (ex.check_fuse, lambda p, q, s, k: fuse(s * p + (1 - s) * q, torch.ones_like(q), 1.0, k),
     "arithmetic mean"),
    (ex.check_fuse, lambda p, q, s, k: fuse(q, p, s, k), "weights are swapped"),
    (ex.check_fuse, lambda p, q, s, k: fuse(p, q, s, len(p[0])), "every token is still there"),
    (ex.check_fuse, lambda p, q, s, k: fuse(p, q, s, k, first=p), "steered distribution alone"),
    (ex.check_fuse, lambda p, q, s, k: (p**s * q ** (1 - s)) * (fuse(p, q, s, k) > 0), "sum to one"),
    (ex.check_fuse, lambda p, q, s, k: p, "off by up to"),
    (ex.check_fuse, lambda p, q, s, k: fuse(p, q, s, k, first=q), "plain distribution alone"),
    (ex.check_fuse, lambda p, q, s, k: fuse(p, q, s, len(p[0])).clone() * (fuse(p, q, s, k) > 0),
     "no longer sums to one"),
    (ex.check_fuse, lambda p, q, s, k: fuse(p, q, s, k - 1), "one token is missing"),
    (ex.check_fuse, lambda p, q, s, k: fuse(p, q, s, k + 1), "one token too many"),
    (ex.check_fuse, lambda p, q, s, k: ((p**s * q ** (1 - s)) * (fuse(p, q, s, k) > 0)).softmax(-1),
     "a softmax of probabilities"),
    (ex.check_fuse, lambda p, q, s, k: (p**s * q ** (1 - s)).topk(k).values, "returned shape"),
    (ex.check_fuse, lambda p, q, s, k: fuse(p, q, 0.8, k), "off by up to"),
    (ex.check_fuse, lambda p, q, s, k: fuse(p.view(1, -1), q.view(1, -1), s, 3 * k).view_as(p),
     "off by up to"),
    (ex.check_fuse, lambda p, q, s, k: fuse(p.pow_(s), q, 1.0, k), "in place"),
    (ex.check_fuse, lambda p, q, s, k: fuse(p, q, s, 4), "off by up to"),
    (ex.check_fuse, lambda p, q, s, k: (p.sqrt() * q.sqrt()).softmax(-1), "off by up to"),
    (ex.check_response_logprob, lambda x, p, n: response(x, 0 * p, n), "the prompt is in the sum"),
    (ex.check_response_logprob, lambda x, p, n: response(x, p, n * 0 + 9), "padding is in the sum"),
    (ex.check_response_logprob, lambda x, p, n: x.sum(1), "prompt and padding"),
    (ex.check_response_logprob, lambda x, p, n: response(x, p, n, mean=True), "the mean per token"),
    (ex.check_response_logprob, lambda x, p, n: response(x, p, n, shift=1), "first token of the response"),
    (ex.check_response_logprob, lambda x, p, n: response(x, p, n, shift=-1), "one token early"),
    (ex.check_response_logprob, lambda x, p, n: response(x, p, n - 1), "last token of the response"),
    (ex.check_response_logprob, lambda x, p, n: response(x, p, n + 1), "into the padding"),
    (ex.check_response_logprob, lambda x, p, n: response(x, p - 1, n - 1), "one position early"),
    (ex.check_response_logprob, lambda x, p, n: -response(x, p, n), "its sign is turned"),
    (ex.check_response_logprob, lambda x, p, n: response(x, p, n).exp(), "this is the probability"),
    (ex.check_response_logprob, lambda x, p, n: x[:, p[0] : n[0]].sum(1), "off by up to"),
    (ex.check_response_logprob, lambda x, p, n: response(x, p, n).sum(), "returned shape"),
    (ex.check_response_logprob, lambda x, p, n: response(x, p, p + n), "off by up to"),
    (ex.check_response_logprob, lambda x, p, n: response(x, p, n) / n, "off by up to"),
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
    (ex.check_dpo_from_sums, lambda c, r, rc, rr, b: dpo(c, r, rc, rr, 0.3), "off by up to"),
    (ex.check_dpo_from_sums, lambda *a: dpo(*a).item(), "no gradient flows"),
    (ex.check_dpo_from_sums, lambda *a: dpo(*a).detach(), "no gradient flows"),
    (ex.check_dpo_from_sums, lambda *a: torch.tensor(dpo(*a).tolist()), "no gradient flows"),
    (ex.check_dpo_from_sums, lambda *a: dpo(*a).detach().numpy(), "no gradient flows"),
    (ex.check_dpo_from_sums, torch.no_grad()(dpo), "no gradient flows"),
    (ex.check_dpo_from_sums, dpo_untied, "its gradient is not"),
    (ex.check_dpo_from_sums, lambda *a: -torch.log(torch.sigmoid(margin(*a))).mean(), "in one piece"),
    (ex.check_dpo_from_sums, lambda *a: torch.log1p(torch.exp(-margin(*a))).mean(), "in one piece"),
    (ex.check_dpo_from_sums, lambda *a: -torch.log(torch.sigmoid(margin(*a)) + 1e-12).mean(), "in one piece"),
    (ex.check_dpo_from_sums, lambda *a: softplus(-margin(*a).clamp(-50, 50)).mean(), "in one piece"),
    (ex.check_dpo_from_sums, lambda *a: softplus(-margin(*a)), "returned shape"),
    (ex.check_dpo_from_sums, lambda *a: softplus(-margin(*a).mean()), "off by up to"),
    (ex.check_choose_matched, lambda t, p, s, k: nearest(t, p, s, 9), "ceiling is ignored"),
    (ex.check_choose_matched, lambda t, p, s, k: nearest(t, p, 0.0, k), "the rule for"),
    (ex.check_choose_matched, lambda t, p, s, k: int(t.argmin()), "whatever it cost"),
    (ex.check_choose_matched, lambda t, p, s, k: nearest(t, p, s / t[0], k), "the target itself"),
    (ex.check_choose_matched, lambda t, p, s, k: nearest(t, p, 1 - s, k), "as what goes"),
    (ex.check_choose_matched, lambda t, p, s, k: nearest(t, p, 0.46, k), "off by up to"),
    (ex.check_choose_matched, lambda t, p, s, k: min(
        (i for i in range(len(t)) if p[i] <= k * p[0]), key=lambda i: abs(t[i] - s * t[0])), "no candidate"),
    (ex.check_choose_matched, lambda t, p, s, k: int((t - s * t[0]).abs().argmin()), "was a candidate"),
    (ex.check_choose_matched, lambda t, p, s, k: nearest(t, p, s, k) - 1, "one too few"),
    (ex.check_choose_matched, lambda t, p, s, k: nearest(t, p, s, 1 + k / p[0]), "added to base's"),
    (ex.check_choose_matched, lambda t, p, s, k: nearest(t, p, s, 1 + (k - 1) / p[0]), "added to base's"),
    (ex.check_choose_matched, lambda t, p, s, k: nearest(
        t, p, s, k, lambda p, k: [i for i in range(1, len(p)) if p[i] < k * p[0]]), "exactly at the ceiling"),
    (ex.check_choose_matched, nearest_from(-1), "only looks below"),
    (ex.check_choose_matched, nearest_from(1), "only looks above"),
    (ex.check_choose_matched, lambda t, p, s, k: candidates(p, k)[-1], "the last look"),
    (ex.check_choose_matched, lambda t, p, s, k: candidates(p, k)[0], "the first look"),
    (ex.check_choose_matched, lambda t, p, s, k: int(p.argmin()), "off by up to|lowest perplexity"),
    (ex.check_choose_matched, lambda t, p, s, k: min(candidates(p, k), key=lambda i: p[i]),
     "lowest perplexity"),
    (ex.check_choose_matched, lambda t, p, s, k: max(candidates(p, k), key=lambda i: p[i]),
     "highest perplexity"),
    (ex.check_choose_matched, lambda t, p, s, k: nearest(t, p, s, k, lambda p, k: [3]), "off by up to"),
    (ex.check_choose_matched, lambda t, p, s, k: t[nearest(t, p, s, k)], "Its index was asked for"),
    (ex.check_choose_matched, lambda t, p, s, k: [nearest(t, p, s, k)], "returned shape"),
    (ex.check_choose_matched, lambda t, p, s, k: 99, "off by up to"),
    (ex.check_split_change, lambda k, k2, x, x2, b, b2: torch.stack([k @ (x2 - x), (k2 - k) @ x, b2 - b]),
     "do not add up"),
    (ex.check_split_change, lambda k, k2, x, x2, b, b2: torch.stack([k2 @ (x2 - x), (k2 - k) @ x2, b2 - b]),
     "stands in both"),
    (ex.check_split_change, lambda k, k2, x, x2, b, b2: torch.stack([k2 @ (x2 - x), (k2 - k) @ x, b2 - b]),
     "read by the \\*new\\* keys"),
    (ex.check_split_change, lambda k, k2, x, x2, b, b2: torch.stack([
        (k + k2) / 2 @ (x2 - x), (k2 - k) @ (x + x2) / 2, b2 - b]), "split in half"),
    (ex.check_split_change, lambda *a: -parts(*a), "every sign"),
    (ex.check_split_change, lambda k, k2, x, x2, b, b2: parts(k2, k, x2, x, b2, b), "off by up to"),
    (ex.check_split_change, lambda k, k2, x, x2, b, b2: torch.stack([k @ x2, (k2 - k) @ x2, b2 - b]),
     "read of the new input"),
    (ex.check_split_change, lambda k, k2, x, x2, b, b2: torch.stack([k @ x2 + b, (k2 - k) @ x2, b2 - b]),
     "whole pre-activation"),
    (ex.check_split_change, lambda k, k2, x, x2, b, b2: torch.stack([k @ (x2 - x), k2 @ x2, b2]),
     "what there is after"),
    (ex.check_split_change, lambda k, k2, x, x2, b, b2: torch.stack([k @ (x2 - x), (k2 - k) @ x2, b2]),
     "the new bias"),
    (ex.check_split_change, lambda k, k2, x, x2, b, b2: torch.stack([
        k @ (x2 - x), (k2 - k) @ x2, 0 * b]), "their row is zero"),
    (ex.check_split_change, lambda *a: parts(*a)[[1, 0, 2]], "changed places"),
    (ex.check_split_change, lambda *a: parts(*a).T, "rows and columns"),
    (ex.check_split_change, lambda *a: parts(*a).sum(0), "the whole change"),
    (ex.check_split_change, lambda *a: parts(*a).sum(1), "returned shape"),
    (ex.check_split_change, lambda *a: parts(*a)[:2], "biases' part is missing"),
    (ex.check_split_change, lambda *a: parts(*a).mean(1), "neurons were averaged"),
    (ex.check_split_change, lambda *a: parts(*a) / parts(*a).sum(0), "shares of each neuron"),
    (ex.check_split_change, lambda *a: parts(*a).abs(), "off by up to"),
    (ex.check_split_change, lambda k, k2, x, x2, b, b2: torch.stack([
        k @ (x2 - x), (k2 - k) @ x, (k2 - k) @ (x2 - x), b2 - b]), "a fourth row"),
    (ex.check_split_change, lambda k, k2, x, x2, b, b2: parts(k, k2, 0 * x, x2.sub_(x), b, b2), "in place"),
    (ex.check_first_direction_share, lambda o: squares(o).sqrt()[0] / squares(o).sqrt().sum(), "not squared"),
    (ex.check_first_direction_share, lambda o: first_share(o - o.mean(0)), "the mean was taken off"),
    (ex.check_first_direction_share, lambda o: first_share(o - o.mean(1, keepdim=True)), "own mean"),
    (ex.check_first_direction_share, lambda o: first_share(normalize(o)), "scaled to length one"),
    (ex.check_first_direction_share, lambda o: squares(o)[0], "squared length along"),
    (ex.check_first_direction_share, lambda o: squares(o)[0].sqrt(), "first singular value"),
    (ex.check_first_direction_share, lambda o: first_share(o).sqrt(), "square root"),
    (ex.check_first_direction_share, lambda o: 1 - first_share(o), "outside"),
    (ex.check_first_direction_share, lambda o: squares(o)[-1] / squares(o).sum(), "the weakest"),
    (ex.check_first_direction_share, lambda o: squares(o) / squares(o).sum(), "of all directions"),
    (ex.check_first_direction_share, lambda o: squares(o)[0] / squares(o)[1:].sum(), "compared with the"),
    (ex.check_first_direction_share, lambda o: 1 / (squares(o) / squares(o).sum()).square().sum(),
     "equally strong"),
    (ex.check_first_direction_share, lambda o: (o @ unit(o.mean(0))).square().sum() / o.square().sum(),
     "off by up to|along the \\*mean"),
    (ex.check_first_direction_share, lambda o: o.mean(0).square().sum() / o.square().sum(1).mean(),
     "mean vector"),
    (ex.check_first_direction_share, lambda o: 100 * first_share(o), "in per cent"),
    (ex.check_first_direction_share, lambda o: squares(o)[0] / squares(o).max(), "off by up to"),
    (ex.check_first_direction_share, lambda o: first_share(normalize(o, dim=0)), "off by up to"),
    (ex.check_first_direction_share, lambda o: cosine_similarity(o, o.mean(0), dim=-1).mean(),
     "off by up to"),
    (ex.check_first_direction_share, lambda o: first_share(o.div_(2)), "in place"),
    (ex.check_toxic_share, lambda *a: toxic_share(*a) * torch.relu(delta(*a)).sum() / delta(*a).sum(),
     "divided by the \\*net"),
    (ex.check_toxic_share, lambda m, n, a, b: delta(m, n, a, b)[(m > 0) & (a > 0)].sum() / torch.relu(
        delta(m, n, a, b)).sum(), "whole quadrant was summed"),
    (ex.check_toxic_share, lambda m, n, a, b: delta(m, n, a, b)[(m > 0) & (a > 0)].sum() / delta(
        m, n, a, b).sum(), "quadrant's share of the net"),
    (ex.check_toxic_share, lambda m, n, a, b: (lambda v1: delta(m, n, a, b)[v1 & (m > 0) & (a > 0)].sum()
                                               / delta(m, n, a, b)[v1].sum())((m - n) * a > 0),
     "first version's definition"),
    (ex.check_toxic_share, lambda m, n, a, b: delta(m, n, a, b)[(m > 0) & (a > 0) & (n < m)].sum()
     / torch.relu(delta(m, n, a, b)).sum(), "its activation's fall"),
    (ex.check_toxic_share, lambda m, n, a, b: toxic_share(m, n, a, a), "value vectors have moved"),
    (ex.check_toxic_share, lambda m, n, a, b: toxic_share(m, n, a, b, (n > 0) & (b > 0)),
     "\\*after\\* tuning"),
    (ex.check_toxic_share, lambda m, n, a, b: toxic_share(m, n, a, b, a > 0), "also asks for a positive"),
    (ex.check_toxic_share, lambda m, n, a, b: toxic_share(m, n, a, b, m > 0), "also asks for a value vector"),
    (ex.check_toxic_share, lambda m, n, a, b: toxic_share(m, n, a, b, reduction=-delta(m, n, a, b)),
     "before minus after"),
    (ex.check_toxic_share, lambda m, n, a, b: toxic_share(m, n, a, b, reduction=(
        delta(m, n, a, b) > 0).float()), "neurons were counted"),
    (ex.check_toxic_share, lambda m, n, a, b: toxic_share(m, n, a, b, reduction=delta(m, n, a, b).abs()),
     "absolute values"),
    (ex.check_toxic_share, lambda *a: toxic_share(*a) * torch.relu(delta(*a)).sum(), "Divide by the gross"),
    (ex.check_toxic_share, lambda *a: 100 * toxic_share(*a), "in per cent"),
    (ex.check_toxic_share, lambda *a: 1 - toxic_share(*a), "all the others"),
    (ex.check_toxic_share, lambda m, n, a, b: toxic_share(m, n, a, b, (m < 0) & (a < 0)), "off by up to"),
    (ex.check_toxic_share, lambda m, n, a, b: toxic_share(m.abs_(), n, a, b), "in place"),
    (ex.check_neurons_for_half, lambda r: [int((r.sort(descending=True).values.cumsum(0) < goal).sum()) + 1
                                           for goal in halves(r)], "falls below the half of gross"),
    (ex.check_neurons_for_half, lambda r: neurons_for(r, [halves(r)[0]] * 2), "are for the net"),
    (ex.check_neurons_for_half, lambda r: neurons_for(r, [halves(r)[1]] * 2), "are for the gross"),
    (ex.check_neurons_for_half, lambda r: neurons_for(r, halves(r)[::-1]), "changed places"),
    (ex.check_neurons_for_half, lambda r: [k - 1 for k in neurons_for(r, halves(r))], "counts as well"),
    (ex.check_neurons_for_half, lambda r: [k + 1 for k in neurons_for(r, halves(r))], "one neuron too many"),
    (ex.check_neurons_for_half, lambda r: neurons_for(torch.relu(r), [0.99999 * 2 * h for h in halves(r)]),
     "whole sum|off by up to"),
    (ex.check_neurons_for_half, lambda r: neurons_for(r.abs(), halves(r)), "as if they were reductions"),
    (ex.check_neurons_for_half, lambda r: neurons_for(torch.relu(r), halves(r), torch.arange(30)),
     "in the order given"),
    (ex.check_neurons_for_half, lambda r: neurons_for(torch.relu(r), halves(r), r.argsort()), "smallest"),
    (ex.check_neurons_for_half, lambda r: [k / 30 for k in neurons_for(r, halves(r))], "shares of all"),
    (ex.check_neurons_for_half, lambda r: neurons_for(r, halves(r))[0], "returned shape"),
    (ex.check_as_near, lambda n, o, c: c * unit(o) + (1 - c**2) ** 0.5 * unit(n), "something along the"),
    (ex.check_as_near, lambda n, o, c: c * unit(o) + (1 - c**2) ** 0.5 * (n - unit(o) * (n @ unit(o))),
     "not of length one before"),
    (ex.check_as_near, lambda n, o, c: c * unit(o) + (1 - c) * as_near(n, o, 0.0), "c and 1 − c"),
    (ex.check_as_near, lambda n, o, c: c * unit(o) + (1 - c**2) * as_near(n, o, 0.0), "square root"),
    (ex.check_as_near, lambda n, o, c: c * o + (1 - c**2) ** 0.5 * as_near(n, o, 0.0), "not brought to"),
    (ex.check_as_near, lambda n, o, c: (1 - c**2) ** 0.5 * unit(o) + c * as_near(n, o, 0.0), "two weights"),
    (ex.check_as_near, lambda n, o, c: unit(c * unit(o) + as_near(n, o, 0.0)), "weighed before"),
    (ex.check_as_near, lambda n, o, c: as_near(-n, o, c), "points away"),
    (ex.check_as_near, lambda n, o, c: as_near(n, o, -c), "wrong sign"),
    (ex.check_as_near, lambda n, o, c: c * unit(o) + n - unit(o) * (n @ unit(o)), "was not scaled"),
    (ex.check_as_near, lambda n, o, c: as_near(n, o, 0.0), "part along it is missing"),
    (ex.check_as_near, lambda n, o, c: o.norm() * as_near(n, o, c), "length is the offset's"),
    (ex.check_as_near, lambda n, o, c: as_near(n, o, 0.5), "off by up to"),
    (ex.check_as_near, lambda n, o, c: as_near(n, o.div_(2), c), "in place"),
    (ex.check_recovered_share, lambda b, e, a: ((b - e) / (b - a)).mean(), "single prompts were averaged"),
    (ex.check_recovered_share, lambda b, e, a: 1 - e.mean() / b.mean(), "as a share of base's toxicity"),
    (ex.check_recovered_share, lambda b, e, a: recovered_share(a, e, b), "what is left to do"),
    (ex.check_recovered_share, lambda b, e, a: -recovered_share(b, e, a), "sign is turned"),
    (ex.check_recovered_share, lambda b, e, a: 1 / recovered_share(b, e, a), "upside down"),
    (ex.check_recovered_share, lambda b, e, a: (b - e).mean(), "drop itself"),
    (ex.check_recovered_share, lambda b, e, a: (b - e).clamp_min(0).mean() / (b - a).mean(), "left out"),
    (ex.check_recovered_share, lambda b, e, a: ((b - e) / (b - a)).clamp(0, 1).mean(), "were cut"),
    (ex.check_recovered_share, lambda b, e, a: recovered_share(*(
        one.median() for one in (b, e, a))), "medians"),
    (ex.check_recovered_share, lambda b, e, a: a.mean() / e.mean(), "where base stood"),
    (ex.check_recovered_share, lambda b, e, a: (b - e) / (b - a), "returned shape"),
    (ex.check_recovered_share, lambda b, e, a: 100 * recovered_share(b, e, a), "off by up to"),
    (ex.check_recovered_share, lambda b, e, a: min(1, recovered_share(b, e, a) * 0.9), "off by up to"),
    (ex.check_constant_and_shift, lambda x, b, a, c: torch.stack([
        torch.where(c, a, x), torch.where(c, x + a, x)]), "missing its start"),
    (ex.check_constant_and_shift, lambda x, b, a, c: torch.stack([
        torch.where(c, a, x), torch.where(c, x + b - a, x)]), "goes the wrong way"),
    (ex.check_constant_and_shift, lambda x, b, a, c: constant_and_shift(x, x.mean(0), a, c),
     "this text's own mean"),
    (ex.check_constant_and_shift, lambda x, b, a, c: torch.stack([
        torch.where(c, a, x), torch.where(c, x * a / b, x)]), "was scaled"),
    (ex.check_constant_and_shift, lambda x, b, a, c: torch.stack([
        torch.where(c, b, x), constant_and_shift(x, b, a, c)[1]]), "base's own mean"),
    (ex.check_constant_and_shift, lambda x, b, a, c: torch.stack([
        torch.where(c, a - b, x), constant_and_shift(x, b, a, c)[1]]), "difference of the means"),
    (ex.check_constant_and_shift, lambda x, b, a, c: constant_and_shift(
        x, b, a, torch.ones_like(c)), "every neuron was patched"),
    (ex.check_constant_and_shift, lambda x, b, a, c: constant_and_shift(x, b, a, ~c), "all others patched"),
    (ex.check_constant_and_shift, lambda x, b, a, c: constant_and_shift(x, b, a, c).flip(0), "wrong order"),
    (ex.check_constant_and_shift, lambda x, b, a, c: constant_and_shift(x, b, a, c) * c, "are silent"),
    (ex.check_constant_and_shift, lambda x, b, a, c: constant_and_shift(x, b, a, c).mean(1),
     "positions were averaged"),
    (ex.check_constant_and_shift, lambda x, b, a, c: constant_and_shift(x, b, a, c)[1], "returned shape"),
    (ex.check_constant_and_shift, lambda x, b, a, c: constant_and_shift(x, b, a, c)[..., c],
     "returned shape"),
    (ex.check_constant_and_shift, lambda x, b, a, c: constant_and_shift(x, a, b, c), "off by up to"),
    (ex.check_divergence_explained, lambda b, e, p: 1 - kl(e, p).mean() / kl(b, p).mean(),
     "runs the other way"),
    (ex.check_divergence_explained, lambda b, e, p: kl(p, e).mean() / kl(p, b).mean(), "share that is left"),
    (ex.check_divergence_explained, lambda b, e, p: (1 - kl(p, e) / kl(p, b)).mean(),
     "single positions were averaged"),
    (ex.check_divergence_explained, lambda b, e, p: 1 - (
        p.softmax(-1) * e.log_softmax(-1)).mean() / (p.softmax(-1) * b.log_softmax(-1)).mean(),
     "cross-entropy"),
    (ex.check_divergence_explained, lambda b, e, p: kl(b, e).mean() / kl(b, p).mean(), "away from base"),
    (ex.check_divergence_explained, lambda b, e, p: 1 - kl(p, b).mean() / kl(p, e).mean(), "are swapped"),
    (ex.check_divergence_explained, lambda b, e, p: (kl(p, b) - kl(p, e)).mean(), "in nats"),
    (ex.check_divergence_explained, lambda b, e, p: 1 - (p - e).square().sum() / (p - b).square().sum(),
     "logits were compared"),
    (ex.check_divergence_explained, lambda b, e, p: divergence_explained(b[-1:], e[-1:], p[-1:]),
     "only the last position"),
    (ex.check_divergence_explained, lambda b, e, p: 1 - (p.softmax(-1) - e.softmax(-1)).abs().mean() / (
        p.softmax(-1) - b.softmax(-1)).abs().mean(), "differences of probabilities"),
    (ex.check_divergence_explained, lambda b, e, p: 1 - kl(p, e) / kl(p, b), "returned shape"),
    (ex.check_divergence_explained, lambda b, e, p: divergence_explained(b.T, e.T, p.T), "off by up to"),
    (ex.check_divergence_explained, lambda b, e, p: 1 - (
        p.softmax(-1) * (p - e)).sum() / (p.softmax(-1) * (p - b)).sum(), "off by up to"),
    (ex.check_scaled_pre, lambda p, b, m, c: torch.where(m, c * p, p), "bias was multiplied too"),
    (ex.check_scaled_pre, lambda p, b, m, c: torch.where(m, c * (p - b), p), "missing afterwards"),
    (ex.check_scaled_pre, lambda p, b, m, c: torch.where(m, c * p + b, p), "held it already"),
    (ex.check_scaled_pre, lambda p, b, m, c: torch.where(m, c * (p + b) - b, p), "other way round"),
    (ex.check_scaled_pre, lambda p, b, m, c: c * (p - b) + b, "every neuron was scaled"),
    (ex.check_scaled_pre, lambda p, b, m, c: louder(p, b, ~m, c), "all others scaled"),
    (ex.check_scaled_pre, lambda p, b, m, c: louder(p, b, m, c) * m, "are silent"),
    (ex.check_scaled_pre, lambda p, b, m, c: louder(p, b, m, 1 / c), "divided by the factor"),
    (ex.check_scaled_pre, lambda p, b, m, c: torch.where(
        m, torch.nn.functional.gelu(louder(p, b, m, c)), p), "GELU was applied"),
    (ex.check_scaled_pre, louder_in_place, "in place"),
    (ex.check_scaled_pre, lambda p, b, m, c: louder(p, b, m, 10.0), "off by up to"),
    (ex.check_scaled_pre, lambda p, b, m, c: louder(p, b, m, c)[:, m], "returned shape"),
    (ex.check_scaled_pre, lambda p, b, m, c: louder(p, b, m, c)[-1], "returned shape|off by up to"),
    (ex.check_strongest_setting, lambda t, p, f, a, b: int(t.argmax()), "bounds are ignored"),
    (ex.check_strongest_setting, lambda *s: bounded(*s, strange=99), "fluency is ignored"),
    (ex.check_strongest_setting, lambda *s: bounded(*s, room=99), "perplexity is ignored"),
    (ex.check_strongest_setting, lambda t, p, f, a, b: max(
        (i for i in range(8) if p[i] <= 1.08 * a or f[i] <= 1.5 * b), key=lambda i: t[i], default=-1),
     "one bound was enough"),
    (ex.check_strongest_setting, lambda *s: max(bounded(*s), 0), "return −1"),
    (ex.check_strongest_setting, lambda t, p, f, a, b: bounded(t, p, f, b, a), "references are swapped"),
    (ex.check_strongest_setting, lambda t, *s: bounded(-t, *s), "least toxic"),
    (ex.check_strongest_setting, lambda t, p, f, a, b: bounded(-p, p, f, a, b), "cheapest setting"),
    (ex.check_strongest_setting, lambda t, p, f, a, b: max(
        (i for i in range(8) if p[i] < 1.08 * a and f[i] < 1.5 * b), key=lambda i: t[i], default=-1),
     "exactly at a bound"),
    (ex.check_strongest_setting, lambda t, p, f, a, b: bounded(t, p, f, 1, 1), "bounds are ratios"),
    (ex.check_strongest_setting, lambda t, *s: t[bounded(t, *s)], "off by up to"),
    (ex.check_strongest_setting, lambda *s: [bounded(*s)], "returned shape"),
    (ex.check_strongest_setting, lambda *s: bounded(*s, room=1.1), "off by up to|bounds|ignored"),
    (ex.check_fires_before, lambda a, f, least, k: before(a, f, 1, k), "rare tokens were kept"),
    (ex.check_fires_before, lambda a, f, least, k: before(a, f, least + 1, k), "It is enough"),
    (ex.check_fires_before, lambda a, f, least, k: before(a, f, least, k, "sum"), "frequent tokens win"),
    (ex.check_fires_before, lambda a, f, least, k: before(a, f, least, k, "amax"), "one outlier decides"),
    (ex.check_fires_before, lambda a, f, least, k: before(a.abs(), f, least, k), "signs were dropped"),
    (ex.check_fires_before, lambda a, f, least, k: before(-a, f, least, k), "weakest"),
    (ex.check_fires_before, lambda a, f, least, k: before(a, f, least, k)[::-1], "order is turned"),
    (ex.check_fires_before, lambda a, f, least, k: before(a, f, least, 99), "Return the first k"),
    (ex.check_fires_before, lambda a, f, least, k: before(a, f, least, k)[0], "returned shape"),
    (ex.check_fires_before, lambda a, f, least, k: before(a, f, 3, k), "is enough|rare|off by up to"),
    (ex.check_fires_before, lambda a, f, least, k: f[a.topk(k).indices], "single positions"),
    (ex.check_fires_before, lambda a, f, least, k: f.bincount().topk(k).indices, "most frequent tokens"),
    (ex.check_unexpected_neuron, lambda w, s: int(w.argmax()), "its name was not looked at"),
    (ex.check_unexpected_neuron, lambda w, s: int(w[s == 0].argmax()), "among the neurons that were kept"),
    (ex.check_unexpected_neuron, lambda w, s: int((w * (s == 0)).argmax()), "off by up to|return −1"),
    (ex.check_unexpected_neuron, lambda w, s: int((w - 99 * (s > 0)).argmax()), "return −1"),
    (ex.check_unexpected_neuron, lambda w, s: int((w.abs() * (s == 0)).argmax()), "sign was dropped"),
    (ex.check_unexpected_neuron, lambda w, s: int((w - 99 * (s > 0.1)).argmax()), "One toxic word|one toxic"),
    (ex.check_unexpected_neuron, lambda w, s: int((w - 99 * (s > 0.5)).argmax()), "half toxic"),
    (ex.check_unexpected_neuron, lambda w, s: int((w * (s > 0)).argmax()), "largest \\*with\\*"),
    (ex.check_unexpected_neuron, lambda w, s: int(s.argmin()), "name alone"),
    (ex.check_unexpected_neuron, lambda w, s: float(w[innocent(w, s)]), "Return which neuron"),
    (ex.check_unexpected_neuron, lambda w, s: [innocent(w, s)], "returned shape"),
    (ex.check_unexpected_neuron, lambda w, s: (w > 0) & (s == 0), "Return the one"),
]  # fmt: skip


RIGHT += [(check, in_notebook(name)[1], "the notebook's own") for name, check in ALL.items()]


@functools.cache
def said(check, answer):
    """What the check says to the answer."""
    printed = io.StringIO()
    try:
        with contextlib.redirect_stdout(printed):
            check(answer)
    except CheckFailed as refusal:
        return str(refusal)
    return printed.getvalue()


def passed(check):
    return f"✓ {check.name}: {check.passed}\n"


@pytest.mark.parametrize(("check", "answer", "how"), RIGHT, ids=[f"{c.name}: {how}" for c, _, how in RIGHT])
def test_a_solution_written_otherwise_passes(check, answer, how):
    assert said(check, answer) == passed(check)


@pytest.mark.parametrize(("check", "answer", "words"), WRONG, ids=[f"{c.name}: {w}" for c, _, w in WRONG])
def test_a_wrong_answer_gets_its_hint(check, answer, words):
    """Words of None mark an answer that the check does not tell from a right one: the table counts it."""
    if words is None:
        assert said(check, answer) == passed(check)
    else:
        assert "✓" not in said(check, answer)
        assert re.search(words, said(check, answer)), said(check, answer)


def table():
    """How many wrong answers each check refuses, how many with a hint of their own; right ones it accepts."""
    rows, total = [], np.zeros(5, dtype=int)
    for name in sorted(ALL, key=lambda name: in_notebook(name)[0]):
        check = ALL[name]
        wrong = [said(other, answer) for other, answer, _ in WRONG if other is check]
        refused = [words for words in wrong if "✓" not in words]
        named = [words for words in refused if not re.search(r"off by up to|returned (shape|nan)", words)]
        right = [said(other, answer) for other, answer, _ in RIGHT if other is check]
        counts = len(wrong), len(refused), len(named), len(right), right.count(passed(check))
        total += counts
        rows.append((f"{in_notebook(name)[0]} `{check.name}`", *counts))
    lines = ["| check | wrong answers | refused | with a hint of their own | right answers | accepted |"]
    lines += ["|---|--:|--:|--:|--:|--:|"]
    for name, wrong, refused, named, right, accepted in [*rows, ("all", *total)]:
        lines.append(
            f"| {name} | {wrong} | {refused} ({refused / wrong:.0%}) | {named} ({named / wrong:.0%}) "
            f"| {right} | {accepted} ({accepted / right:.0%}) |".replace("%", " %")
        )
    return "\n".join(lines)


def test_the_table_in_contributing_is_what_the_checks_do(record_property):
    record_property("table", f"What the checks of exercises catch\n{table()}")
    assert table() in (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"), (
        f"put this table into CONTRIBUTING.md, below “An exercise”:\n{table()}"
    )


def test_every_exercise_is_tried_with_three_solutions_and_eight_wrong_answers():
    for check in ALL.values():
        assert sum(other is check for other, _, _ in RIGHT) >= 3
        assert sum(other is check for other, _, _ in WRONG) >= 8
