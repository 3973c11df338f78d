"""Optimisers and schedules of the presets."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor

from training.fit_network.presets import Optimiser

#: Part of the steps over which the rate of a cosine schedule rises.
WARM_UP = 0.1


def rate(optimiser: Optimiser, step: int, steps: int) -> float:
    """Learning rate of batch ``step`` of ``steps``."""
    if optimiser.factor is not None:
        return optimiser.rate * math.pow(optimiser.factor, step / optimiser.decay_steps)
    rising = max(1.0, WARM_UP * steps)
    if step < rising:
        return optimiser.rate * (step + 1) / rising
    return optimiser.rate * 0.5 * (1 + math.cos(math.pi * (step - rising) / max(steps - rising, 1.0)))


def build(optimiser: Optimiser, weights: Iterable[Tensor]) -> torch.optim.Optimizer:
    """The optimiser over ``weights``.

    L_R = λ‖W‖² of equations (3), (5), (7) enters as its gradient 2 λ W, which is what ``weight_decay`` = 2 λ adds.
    """
    weights = [weight for weight in weights if weight.requires_grad]
    if optimiser.kind == "adam":
        betas = (0.9, optimiser.parameter)
        return torch.optim.Adam(weights, optimiser.rate, betas, weight_decay=2 * optimiser.regularisation)
    return torch.optim.SGD(weights, optimiser.rate, optimiser.parameter, weight_decay=2 * optimiser.regularisation)
