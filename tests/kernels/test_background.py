"""Background re-normalisation: layers that add up are taken apart again."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernels import Flag, renormalise

ROWS, COLUMNS = 12, 20
BEHIND = np.zeros((ROWS, COLUMNS), bool)
BEHIND[:, :8] = True


def scene(layer: tuple[float, float, float, float], over: tuple[float, float, float, float]) -> np.ndarray:
    """``layer`` everywhere and ``over`` on top of it outside the background region: (4, 2, rows, columns)."""
    out = np.empty((4, 2, ROWS, COLUMNS), np.float32)
    for k in range(4):
        joined = layer[k] * over[k] if k in (0, 3) else layer[k] + over[k]
        out[k] = np.where(BEHIND, layer[k], joined)
    return out


shift = st.floats(-8, 8)
part = st.floats(0.05, 1)
broad = st.floats(0, 500)


@given(st.tuples(part, shift, broad, part), st.tuples(part, shift, broad, part))
def test_the_covering_layer_comes_back(layer, over) -> None:  # type: ignore[no-untyped-def]
    images = scene(layer, over)
    out, sd = renormalise(images, np.zeros_like(images), np.zeros((2, ROWS, COLUMNS), np.uint16), BEHIND)
    alone = np.where(BEHIND, np.array([1, 0, 0, 1.0])[:, None, None, None], np.array(over)[:, None, None, None])
    np.testing.assert_allclose(out, np.broadcast_to(alone, out.shape), rtol=1e-4, atol=2e-3)
    assert (sd >= 0).all()


def test_the_uncertainty_covers_what_repeated_noise_does() -> None:
    rng = np.random.default_rng(4)
    clean = scene((0.6, 1.0, 40.0, 0.5), (0.8, 0.5, 30.0, 0.7))
    noise = np.array([0.02, 0.3, 6.0, 0.03])[:, None, None, None]
    sigma = np.broadcast_to(noise, clean.shape).astype(np.float32)
    flags = np.zeros((2, ROWS, COLUMNS), np.uint16)
    results = [renormalise((clean + rng.normal(0, sigma)).astype(np.float32), sigma, flags, BEHIND) for _ in range(200)]
    spread = np.stack([images for images, _ in results])[:, :, :, :, 8:].std(axis=0).mean(axis=(1, 2, 3))
    stated = np.stack([sd for _, sd in results])[..., 8:].mean(axis=(0, 2, 3, 4))
    np.testing.assert_allclose(stated, spread, rtol=0.1)


def test_flagged_pixels_do_not_count_and_prior_dominated_ones_do() -> None:
    images = scene((0.5, 0.0, 10.0, 0.5), (1.0, 0.0, 0.0, 1.0))
    images[:, :, 0, 0] = 1e6
    flags = np.full((2, ROWS, COLUMNS), np.uint16(Flag.PRIOR_DOMINATED))
    flags[:, 0, 0] = np.uint16(Flag.BOUND_HIT)
    out, _ = renormalise(images, np.ones_like(images), flags, BEHIND)
    np.testing.assert_allclose(out[0, :, 5, 5], 1.0, rtol=1e-5)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"background": np.zeros((ROWS, COLUMNS), bool)}, "background: 0 good pixels"),
        ({"background": BEHIND[:, :5]}, "background: shape"),
        ({"images": np.zeros((4, 2, ROWS, COLUMNS), np.float32)}, "nothing passes there"),
        ({"images": np.zeros((3, 2, ROWS, COLUMNS), np.float32)}, "images: shape"),
        ({"images": np.zeros((4, 2, ROWS), np.float32)}, "images: shape"),
        ({"flags": np.zeros((2, ROWS, COLUMNS), np.uint8)}, "flags: dtype"),
    ],
)
def test_bad_input_is_named(change, sentence) -> None:  # type: ignore[no-untyped-def]
    arguments = {
        "images": scene((0.5, 0, 10, 0.5), (1, 0, 0, 1)),
        "sigma": np.ones((4, 2, ROWS, COLUMNS), np.float32),
        "flags": np.zeros((2, ROWS, COLUMNS), np.uint16),
        "background": BEHIND,
    }
    with pytest.raises(ValueError, match=sentence):
        renormalise(**(arguments | change))
