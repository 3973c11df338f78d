"""What a training gives back."""

from __future__ import annotations

from dataclasses import dataclass

from kernels.types import F64
from training.fit_network.metrics import I64
from training.networks.weights import Weights


@dataclass(frozen=True)
class Result:
    """``scores``: calibrated probabilities of a threat of the tested scans (n,), in the order of the split's ``test``;
    ``labels``: what they are (n,); ``metrics``: :func:`training.fit_network.metrics.summary` at 0.5 and more;
    ``weights``: what the network started from.
    """

    scores: F64
    labels: I64
    metrics: dict[str, float]
    weights: Weights
