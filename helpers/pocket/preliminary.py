"""First looks at claims A1 to A3, to compare training seeds and sizes; the notebooks measure the claims."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from helpers.pocket import corpus
from helpers.pocket.measure import Pocket

PENALTY = 1.0


@torch.no_grad()
def mean_residuals(pocket: Pocket, texts: list[str]) -> Tensor:
    """Mean of the last layer's raw residual stream over positions from the second on: one row per text."""
    rows = []
    captured: list[Tensor] = []
    hook = pocket.model.transformer.h[-1].register_forward_hook(
        lambda _, __, out: captured.append(out[0] if isinstance(out, tuple) else out)
    )
    for first in range(0, len(texts), 64):
        ids = [pocket.tokenizer(text)["input_ids"] for text in texts[first : first + 64]]
        width = max(map(len, ids))
        batch = torch.tensor(
            [row + [pocket.end] * (width - len(row)) for row in ids], device=pocket.model.device
        )
        pocket.model(batch)
        stream = captured.pop().float().cpu()
        for row, length in zip(stream, map(len, ids), strict=True):
            rows.append(row[1:length].mean(0))
    hook.remove()
    return torch.stack(rows)


def fit_probe(
    features: Tensor, toxic: Tensor, penalty: float = PENALTY
) -> tuple[Tensor, Tensor, Tensor, float]:
    """Logistic regression, mean cross-entropy + penalty * |w|^2; returns weight, bias, centre, scale."""
    centre = features.mean(0)
    scale = float((features - centre).square().mean().sqrt())
    inputs = (features - centre) / scale
    weight = torch.zeros(features.shape[1], requires_grad=True)
    bias = torch.zeros((), requires_grad=True)
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=200, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = functional.binary_cross_entropy_with_logits(inputs @ weight + bias, toxic)
        loss = loss + penalty * weight.square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    return weight.detach(), bias.detach(), centre, scale


def toxic_shares(pocket: Pocket, vectors: Tensor, toxic_ids: Tensor, k: int = 10) -> Tensor:
    """Share of toxic tokens among the `k` tokens each vector promotes most (final norm's gain applied)."""
    gain = pocket.model.transformer.ln_f.weight.detach().float().cpu()
    unembedding = pocket.model.lm_head.weight.detach().float().cpu()
    top = ((vectors * gain) @ unembedding.T).topk(k, dim=-1).indices
    return torch.isin(top, toxic_ids).float().mean(-1)


def _interval(values: Tensor, seed: int = 0, draws: int = 1000) -> list[float]:
    random = torch.Generator().manual_seed(seed)
    picks = torch.randint(len(values), (draws, len(values)), generator=random)
    return [
        float(q)
        for q in values.double()[picks].mean(1).quantile(torch.tensor([0.025, 0.975], dtype=torch.float64))
    ]


def preliminary(pocket: Pocket, n_train: int = 1000, n_test: int = 1000) -> dict:
    """Probe accuracy (A1), toxic shares of the best value vectors (A2) and their singular vectors (A3)."""
    parts = [corpus.comments(n, split=split, seed=0) for n, split in ((n_train, "train"), (n_test, "test"))]
    labels = [torch.tensor([float(comment.toxic) for comment in part]) for part in parts]
    features = [mean_residuals(pocket, [comment.text for comment in part]) for part in parts]
    weight, bias, centre, scale = fit_probe(features[0], labels[0])
    right = ((((features[1] - centre) / scale) @ weight + bias > 0) == (labels[1] > 0.5)).float()
    slices = {
        name or "nothing": float(
            right[[i for i, comment in enumerate(parts[1]) if comment.held_out == name]].mean()
        )
        for name in ("", "frame", "combination", "family")
    }
    weights = pocket.model.state_dict()
    places = [f"transformer.h.{layer}.mlp.c_proj.weight" for layer in range(pocket.model.config.n_layer)]
    values = torch.cat([weights[place].float().cpu() for place in places])
    cosines = functional.cosine_similarity(values, weight[None], dim=-1)
    toxic_ids = torch.tensor(
        [pocket.tokenizer(" " + word)["input_ids"][0] for word in sorted(corpus.toxic_words())]
    )
    shares = toxic_shares(pocket, values, toxic_ids)
    best = cosines.topk(64).indices
    _, _, directions = torch.linalg.svd(
        values[best] / values[best].norm(dim=-1, keepdim=True), full_matrices=False
    )
    directions = directions * (directions @ weight).sign()[:, None]
    random = torch.randint(len(values), (1000,), generator=torch.Generator().manual_seed(0))
    layers = torch.bincount(best // (len(values) // len(pocket.model.transformer.h)),
                            minlength=len(pocket.model.transformer.h))  # fmt: skip
    return {
        "probe accuracy (A1)": {
            "value": float(right.mean()),
            "interval": _interval(right),
            "held out": slices,
        },
        "toxic share, top 10 vectors (A2)": {
            "value": float(shares[best[:10]].mean()),
            "interval": _interval(shares[best[:10]]),
        },
        "toxic share, top 64 vectors (A2)": {
            "value": float(shares[best].mean()),
            "interval": _interval(shares[best]),
        },
        "toxic share, random vectors": {
            "value": float(shares[random].mean()),
            "interval": _interval(shares[random]),
        },
        "toxic share of U0 (A3)": {"value": float(toxic_shares(pocket, directions[:1], toxic_ids)[0])},
        "toxic share of U1 (A3)": {"value": float(toxic_shares(pocket, directions[1:2], toxic_ids)[0])},
        "largest cosine with the probe": {"value": float(cosines.max())},
        "top 64 vectors by layer": {"value": layers.tolist()},
    }
