"""Equations (3) to (7) of the paper against values worked out by hand."""

from __future__ import annotations

import math
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from training.networks import losses  # noqa: E402

#: Two images, two classes. Softmax of (0, ln 3) is (1/4, 3/4), of (ln 4, 0) is (4/5, 1/5).
OUTPUTS = [[0.0, math.log(3)], [math.log(4), 0.0]]
LABELS = [1, 1]


def _inputs() -> tuple[Any, Any]:
    return torch.tensor(OUTPUTS, dtype=torch.float64), torch.tensor(LABELS)


def test_softmax_is_the_mean_negative_log_probability_of_the_right_class() -> None:
    # p'_{1,y} = 3/4, p'_{2,y} = 1/5.
    expected = -(math.log(3 / 4) + math.log(1 / 5)) / 2
    assert losses.softmax(*_inputs()).item() == pytest.approx(expected, abs=1e-12)


def test_hinge_counts_the_right_class_with_minus_and_the_others_with_plus() -> None:
    # First image: (1 + 1/4) + (1 − 3/4) = 3/2; second: (1 + 4/5) + (1 − 1/5) = 13/5.
    expected = (1.5 + 2.6) / 2
    assert losses.hinge(*_inputs()).item() == pytest.approx(expected, abs=1e-12)
    assert losses.hinge_as_printed(*_inputs()).item() == pytest.approx(-expected, abs=1e-12)


def test_hinge_falls_as_the_right_class_gains_and_equation_5_as_printed_would_rise() -> None:
    labels = torch.tensor([1])
    worse, better = torch.tensor([[0.0, 0.0]]), torch.tensor([[0.0, 2.0]])
    assert losses.hinge(better, labels) < losses.hinge(worse, labels)
    assert losses.hinge_as_printed(better, labels) > losses.hinge_as_printed(worse, labels)


def test_cross_entropy_is_the_mean_over_images_and_labels() -> None:
    # Sigmoids of (0, ln 3) are (1/2, 3/4), of (ln 4, 0) are (4/5, 1/2); truths (0, 1) and (1/2, 1).
    truth = torch.tensor([[0.0, 1.0], [0.5, 1.0]], dtype=torch.float64)
    terms = [math.log(1 / 2), math.log(3 / 4), 0.5 * math.log(4 / 5) + 0.5 * math.log(1 / 5), math.log(1 / 2)]
    assert losses.cross_entropy(_inputs()[0], truth).item() == pytest.approx(-sum(terms) / 4, abs=1e-12)
    one_label = losses.cross_entropy_of_classes(*_inputs()).item()
    terms = [math.log(1 / 2), math.log(3 / 4), math.log(1 / 5), math.log(1 / 2)]
    assert one_label == pytest.approx(-sum(terms) / 4, abs=1e-12)


def test_regulariser_and_its_gradient() -> None:
    weights = [torch.tensor([3.0, -4.0], requires_grad=True), torch.tensor([[1.0]], requires_grad=True)]
    loss = losses.l2(weights, 0.01)
    assert loss.item() == pytest.approx(0.26)
    loss.backward()
    # What the optimisers add as weight decay: 2 λ W.
    assert weights[0].grad.tolist() == pytest.approx([0.06, -0.08])


def test_gradients_are_those_of_finite_differences() -> None:
    outputs, labels = _inputs()
    for loss in losses.LOSSES.values():
        moving = outputs.clone().requires_grad_()
        assert torch.autograd.gradcheck(lambda x, loss=loss: loss(x, labels), (moving,))
