"""Bad input raises an error that names the argument and the value."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from kernels import backends, predict_offset, ratios, retrieve
from kernels.types import F32, OffsetPrior, Retrieval
from tests.kernels import scene


def call(**changes: Any) -> None:
    arguments: dict[str, Any] = {
        "samples": np.ones((4, 2, 3, 5), dtype=np.float32),
        "curves": scene.curves(3),
        "x0_um": scene.X0_UM,
        "prior": scene.PRIOR,
    }
    retrieve(**(arguments | changes))


def spoilt(field: str, value: float) -> dict[str, Any]:
    scanner = scene.curves(3)
    part = getattr(scanner, field).copy()
    part[(1,) * part.ndim] = value
    return {"curves": replace(scanner, **{field: part})}


def results(**changes: Any) -> dict[str, Any]:
    images = np.ones((4, 2, 3, 5), dtype=np.float32)
    made = Retrieval(images, images.copy(), np.zeros((2, 3, 5), dtype=np.uint16), "")
    return {"out": replace(made, **changes)}


def read_only(values: F32) -> F32:
    values.flags.writeable = False
    return values


def overlapping() -> dict[str, Any]:
    samples = np.ones((4, 2, 3, 5), dtype=np.float32)
    return {"samples": samples} | results(sigma=samples)


CASES: list[tuple[Callable[[], dict[str, Any]], str]] = [
    (lambda: {"samples": np.ones((4, 2, 3, 5))}, r"samples: dtype is float64, expected float32"),
    (lambda: {"samples": np.ones((3, 2, 3, 5), dtype=np.float32)}, r"samples: shape is \(3, 2, 3, 5\)"),
    (lambda: {"samples": np.ones((4, 2, 5, 3), dtype=np.float32).swapaxes(2, 3)}, r"samples: strides are"),
    (lambda: {"samples": np.ones((4, 2, 7, 5), dtype=np.float32)}, r"curves.area: shape is \(2, 3, 4\)"),
    (lambda: spoilt("width", 0.0), r"curves.width: value at \(1, 1, 1\) is 0.0"),
    (lambda: spoilt("area", np.nan), r"curves.area: value at \(1, 1, 1\) is nan"),
    (lambda: spoilt("centre", np.inf), r"curves: value at .* is inf"),
    (lambda: spoilt("floor", -1.0), r"curves.floor: value at .* is -1.0"),
    (lambda: {"x0_um": float("nan")}, r"x0_um: is nan"),
    (lambda: {"x0_um": 1e4}, r"x0_um: is 10000.0"),
    (lambda: {"exposure": 0.0}, r"exposure: column 0 is 0.0"),
    (lambda: {"exposure": np.array([1, 1, np.nan, 1, 1])}, r"exposure: column 2 is nan"),
    (lambda: {"exposure": np.ones(4)}, r"exposure: shape is \(4,\)"),
    (lambda: {"variance_factor": -1.0}, r"variance_factor: column 0 is -1.0"),
    (lambda: {"model": "best"}, r"model: is 'best'"),
    (lambda: {"prior": None}, r"prior: is None, but model 'map' needs one"),
    (lambda: {"prior": OffsetPrior(np.zeros((2, 4)), np.ones(2))}, r"prior: coefficients \(2, 4\)"),
    (lambda: {"prior": OffsetPrior(np.zeros((2, 5)), np.array([1.0, -1.0]))}, r"prior: has coefficients"),
    (lambda: {"threads": 0}, r"threads: is 0"),
    (lambda: results(images=np.ones((4, 2, 3, 6), dtype=np.float32)), r"out.images: shape is \(4, 2, 3, 6\)"),
    (lambda: results(sigma=np.ones((4, 2, 3, 5))), r"out.sigma: dtype is float64"),
    (lambda: results(flags=np.zeros((2, 3, 10), dtype=np.uint16)[..., ::2]), r"out.flags: strides are"),
    (lambda: results(images=read_only(np.ones((4, 2, 3, 5), dtype=np.float32))), r"out.images: is read-only"),
    (overlapping, r"out.sigma: shares memory with samples"),
    (lambda: {"backend": "tpu"}, r"backend: 'tpu' cannot compute on this machine"),
]


@pytest.mark.parametrize(("changes", "message"), CASES, ids=[message for _, message in CASES])
def test_retrieve_refuses(changes: Callable[[], dict[str, Any]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call(**changes())


def test_the_unchanged_call_works() -> None:
    call()


def test_others_refuse() -> None:
    images = np.ones((4, 2, 3), dtype=np.float32)
    with pytest.raises(ValueError, match="sigma: shape"):
        ratios(images, images[..., :2].copy())
    with pytest.raises(ValueError, match="images: dtype"):
        ratios(images.astype(np.float64), images)
    with pytest.raises(ValueError, match="t: shape"):
        predict_offset(scene.PRIOR, np.ones(3))


def test_backends_say_what_is_there() -> None:
    assert "host" in backends()
