"""The paper's three losses, equations (3) to (7), and its regulariser.

``outputs`` are the raw outputs l of the last layer (N, M), ``labels`` the class numbers y (N,), ``probabilities`` the
ground truth p of every label (N, M).

Two signs are printed in the paper so that minimising them would push classes the wrong way; both are kept here as what
the text says they are for, a max-margin loss and a cross-entropy that learn:

- equation (5) has a minus before the sum of ``max(0, 1 − δ p')``; minimised literally it would reward every violated
  margin. :func:`hinge` is the sum without that minus. :func:`hinge_as_printed` is the literal form, for comparison.
- equation (7) divides by N and M and sums over both, which is the mean over all entries.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor
from torch.nn import functional

#: From outputs (N, M) and class numbers (N,) to a number.
Loss = Callable[[Tensor, Tensor], Tensor]


def softmax(outputs: Tensor, labels: Tensor) -> Tensor:
    """Equations (3) and (4) without L_R: −1/N Σ_r log p'_{r,y_r}."""
    chosen = functional.log_softmax(outputs, dim=1).gather(1, labels[:, None])
    return -chosen.mean()


def hinge(outputs: Tensor, labels: Tensor) -> Tensor:
    """Equations (5) and (6) without L_R: 1/N Σ_r Σ_m max(0, 1 − δ(y_r = m) p'_{r,m}), with δ = ±1."""
    probabilities = functional.softmax(outputs, dim=1)
    delta = 2.0 * functional.one_hot(labels, outputs.shape[1]).to(outputs.dtype) - 1.0
    return torch.clamp(1.0 - delta * probabilities, min=0.0).sum(1).mean()


def hinge_as_printed(outputs: Tensor, labels: Tensor) -> Tensor:
    """Equation (5) to the letter, with its leading minus (see the module's text); never trained with."""
    return -hinge(outputs, labels)


def cross_entropy(outputs: Tensor, probabilities: Tensor) -> Tensor:
    """Equation (7) without L_R: −1/(N M) Σ [p log p' + (1 − p) log(1 − p')], p' the sigmoid of the outputs."""
    return functional.binary_cross_entropy_with_logits(outputs, probabilities)


def cross_entropy_of_classes(outputs: Tensor, labels: Tensor) -> Tensor:
    """Equation (7) where each image has one label with certainty."""
    return cross_entropy(outputs, functional.one_hot(labels, outputs.shape[1]).to(outputs.dtype))


def l2(weights: Iterable[Tensor], strength: float) -> Tensor:
    """L_R = λ ‖W‖²: ``strength`` λ times the sum of squares of all ``weights``."""
    return strength * torch.stack([(w * w).sum() for w in weights]).sum()


#: By the names that presets use.
LOSSES: dict[str, Loss] = {"softmax": softmax, "hinge": hinge, "cross_entropy": cross_entropy_of_classes}
