"""Fits a linear probe: a direction in the residual stream that tells toxic from clean text."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import scipy.special
import torch
from einops import einsum
from jaxtyping import Bool, Float
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from helpers.mechanism.pooling import POOLINGS, pooled_residuals

__all__ = [
    "POOLINGS",
    "Probe",
    "check_labelled",
    "common_scale",
    "equivalent_C",
    "equivalent_penalty",
    "fit_probe",
    "mean_difference",
    "mean_difference_probe",
    "pooled_residuals",
]

GRADIENT_TOLERANCE = 1e-5
"""A fit counts as converged when no component of the objective's gradient is larger than this."""


@dataclass(frozen=True, eq=False)
class Probe:
    """A linear read-out of the raw residual stream: logit(x) = weight · x + bias, positive for toxic.

    Attributes:
        weight: in raw residual coordinates (the fitted weight divided by `scale`).
        bias: the logit of the zero vector.
        layer: the layer whose output it reads; -1 is the last.
        pooling: how a text's positions were averaged for it.
        penalty: λ of `fit_probe`; infinite for the mean difference.
        centre: the mean of the features it was fitted on.
        scale: the common standard deviation they were divided by.
    """

    weight: Float[Tensor, " d_model"]
    bias: float
    layer: int
    pooling: str
    penalty: float
    centre: Float[Tensor, " d_model"]
    scale: float

    @property
    def direction(self) -> Float[Tensor, " d_model"]:
        """The unit vector that points toward toxic: Ŵ in the papers' notation."""
        return self.weight / self.weight.norm()

    def logit(self, features: Float[Tensor, "*text d_model"]) -> Float[Tensor, "*text"]:
        """Log-odds of toxic, differentiable. Measured from the centre, where float32 loses least."""
        weight, centre = self.weight.to(features.device), self.centre.to(features.device)
        at_centre = self.bias + float(self.centre.double() @ self.weight.double())
        return einsum(features - centre, weight, "... d_model, d_model -> ...") + at_centre

    def probability(self, features: Float[Tensor, "*text d_model"]) -> Float[Tensor, "*text"]:
        """Probability of toxic."""
        return torch.sigmoid(self.logit(features))


def fit_probe(
    features: Float[Tensor, "text d_model"],
    toxic: Bool[Tensor, " text"],
    *,
    penalty: float = 1.0,
    layer: int = -1,
    pooling: str = "mean",
) -> Probe:
    """Logistic regression with a fixed penalty, in the raw residual stream.

    Minimises over w and b

        mean over texts of cross-entropy(w · z + b, toxic) + λ ‖w‖²,    z = (x − centre) / scale,

    with λ = `penalty` and one standard deviation common to all dimensions (`common_scale`), so that w
    points the same way before and after it is divided out. The bias carries no penalty. As λ grows the
    direction turns toward the mean difference. Fitted by scikit-learn's LogisticRegression at C =
    `equivalent_C`; that the gradient vanishes is checked. After Lee et al. 2024 §3.1, who give no penalty.

    Args:
        features: as `pooled_residuals(...)[:, layer]` gives them.
        toxic: the label of each text; both kinds must occur.
        layer, pooling: where the features are from; kept in the probe.

    Raises:
        ValueError: NaN in the features, one label only, a penalty that is not positive.
        RuntimeError: the fit did not converge.
    """
    if not (0 < penalty < math.inf):
        raise ValueError(f"penalty must be positive and finite, not {penalty}; see mean_difference_probe.")
    check_labelled(features, toxic)
    scale = common_scale(features)
    centre = features.double().mean(dim=0)
    z = ((features.double() - centre) / scale).cpu().numpy()
    labels = toxic.cpu().numpy()
    fitted = LogisticRegression(C=equivalent_C(penalty, len(z)), tol=1e-9, max_iter=10_000).fit(z, labels)
    weight, bias = fitted.coef_[0], float(fitted.intercept_[0])
    steepest = _steepest(z, labels, weight, bias, penalty)
    if steepest > GRADIENT_TOLERANCE:
        raise RuntimeError(
            f"The probe with penalty {penalty:g} did not converge: a gradient of {steepest:.2g} is left. "
            "Raise the penalty or check that the features are on a common scale."
        )
    raw, centre = (torch.from_numpy(weight) / scale).float(), centre.float().cpu()
    at_zero = bias - float(raw.double() @ centre.double())
    return Probe(raw, at_zero, layer, pooling, penalty, centre, scale)


def _steepest(z: np.ndarray, labels: np.ndarray, weight: np.ndarray, bias: float, penalty: float) -> float:
    """The largest component of the gradient of `fit_probe`'s objective."""
    error = scipy.special.expit(z @ weight + bias) - labels
    return float(max(np.abs(error @ z / len(z) + 2 * penalty * weight).max(), abs(error.mean())))


def common_scale(features: Float[Tensor, "text d_model"]) -> float:
    """One standard deviation for all dimensions: the root mean square of the centred features."""
    centred = features.double() - features.double().mean(dim=0)
    scale = float(centred.square().mean().sqrt())
    if scale == 0:
        raise ValueError("All texts have the same features; there is nothing to fit.")
    return scale


def equivalent_C(penalty: float, n: int) -> float:
    """The C of scikit-learn's LogisticRegression that equals a penalty λ on n texts, features standardised.

    scikit-learn minimises ½‖w‖² + C Σ cross-entropy. Times 2λ that is λ‖w‖² + 2λC Σ, and Σ is n times the
    mean: the two agree where 2λCn = 1.
    """
    return 1 / (2 * n * penalty)


def equivalent_penalty(C: float, n: int, scale: float = 1.0) -> float:
    """The penalty λ that equals LogisticRegression(C) on features that were not divided by their `scale`.

    So `equivalent_penalty(1.0, len(features), common_scale(features))` is scikit-learn's default.
    """
    return 1 / (2 * n * C * scale**2)


def mean_difference(
    features: Float[Tensor, "text d_model"], toxic: Bool[Tensor, " text"]
) -> Float[Tensor, " d_model"]:
    """The unit vector from the mean of clean texts to the mean of toxic ones; nothing in it is tuned."""
    check_labelled(features, toxic)
    difference = features[toxic].mean(dim=0) - features[~toxic].mean(dim=0)
    if not difference.any():
        raise ValueError("Toxic and clean texts have the same mean: there is no direction between them.")
    return difference / difference.norm()


def mean_difference_probe(
    features: Float[Tensor, "text d_model"],
    toxic: Bool[Tensor, " text"],
    *,
    layer: int = -1,
    pooling: str = "mean",
) -> Probe:
    """The mean difference as a probe: it says toxic past the midpoint between the two means.

    Its direction is the limit of `fit_probe` for an endless penalty. Its logit is a distance, not a log-odds.
    """
    direction = mean_difference(features, toxic)
    midpoint = (features[toxic].mean(dim=0) + features[~toxic].mean(dim=0)) / 2
    bias = -float(midpoint.double() @ direction.double())
    centre = features.mean(dim=0).cpu()
    return Probe(direction.cpu(), bias, layer, pooling, math.inf, centre, common_scale(features))


def check_labelled(features: Float[Tensor, "text d_model"], toxic: Bool[Tensor, " label"]) -> None:
    """Raises ValueError unless there is one label per text, both labels occur and all features are finite."""
    if len(features) != len(toxic):
        raise ValueError(f"There are {len(features)} texts' features but {len(toxic)} labels.")
    if not features.isfinite().all():
        raise ValueError("The features contain NaN or infinity; a probe fitted on them would mean nothing.")
    if toxic.all() or not toxic.any():
        raise ValueError(f"Both toxic and clean texts are needed; all {len(toxic)} labels are the same.")
