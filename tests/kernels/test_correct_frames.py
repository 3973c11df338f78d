"""Detector correction: dead time, masks and saturation."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernels import PixelFlag, correct_frames
from kernels.backends.host import HostBackend, instruction_sets
from kernels.frames import DeadTimeModel
from kernels.reference import correct as reference

MODELS: tuple[DeadTimeModel, ...] = ("non-paralysable", "paralysable")
EXPOSURE_S = 8e-3


def random_frames(rows: int, seed: int, highest: int = 60000) -> npt.NDArray[np.uint16]:
    return np.random.default_rng(seed).integers(0, highest, (3, 2, rows, 128)).astype(np.uint16)


@pytest.mark.parametrize("isa", instruction_sets())
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("rows", [0, 1, 7])
def test_equals_the_reference(model: DeadTimeModel, isa: str, rows: int) -> None:
    rng = np.random.default_rng(1)
    frames = random_frames(rows, 2)
    good = (rng.random((rows, 128)) > 0.05).astype(np.uint8)
    tau = rng.uniform(0, 1.2e-7, (rows, 128)).astype(np.float32)
    exposure = rng.uniform(6e-3, 9e-3, 3).astype(np.float32)
    counts, flags = HostBackend(isa).correct_frames(frames, good, tau, exposure, 58000, model == "paralysable", 1)
    wide = tau.astype(np.float64), exposure.astype(np.float64)
    want, want_flags = reference.correct_frames(frames, good, *wide, model == "paralysable", 58000)
    np.testing.assert_array_equal(flags, want_flags)
    np.testing.assert_allclose(counts, want, rtol=1e-5)
    if rows > 1:
        assert {0, int(PixelFlag.MASKED), int(PixelFlag.SATURATED)} == set(flags.ravel().tolist())


@pytest.mark.parametrize("model", MODELS)
@given(load=st.floats(0.0, 0.55), share=st.floats(0.0, 1.0))
def test_a_rate_comes_back(model: DeadTimeModel, load: float, share: float) -> None:
    """What the dead time takes away is given back, in proportion, to whatever rounding of counts allows."""
    tau = 1e-6
    seen = float(reference.measured(np.array(load), model == "paralysable")) / tau * EXPOSURE_S
    frame = np.zeros((2, 1, 128), dtype=np.uint16)
    frame[0], frame[1] = round(seen * share), round(seen * (1 - share))
    found = correct_frames(frame, dead_time_s=tau, exposure_s=EXPOSURE_S, model=model)
    assert not found.flags.any()
    # Two roundings by half a count, stretched by dn/dm ≤ 1 / (1 − n τ) exp(n τ).
    assert found.counts[0, :, 0, 0].sum() == pytest.approx(load / tau * EXPOSURE_S, rel=1e-5, abs=5)


def arrivals(rate_tau: float, paralysable: bool, events: int) -> int:
    """Counts of a detector that sees ``events`` photons one by one."""
    gaps = np.random.default_rng(5).exponential(1 / rate_tau, events)  # in units of τ
    if paralysable:
        return int((gaps > 1).sum())
    seen, free = 0, 0.0
    for at in np.cumsum(gaps):
        if at >= free:
            seen, free = seen + 1, at + 1.0
    return seen


@pytest.mark.parametrize("model", MODELS)
def test_photon_by_photon(model: DeadTimeModel) -> None:
    """Photons counted one by one with a dead time, without the formula."""
    tau, load, events = 1e-6, 0.4, 50000
    exposure = events / load * tau
    frame = np.zeros((2, 1, 128), dtype=np.uint16)
    frame[0] = arrivals(load, model == "paralysable", events)
    found = correct_frames(frame, dead_time_s=tau, exposure_s=exposure, model=model)
    assert found.counts[0, 0, 0, 0] == pytest.approx(events, rel=0.01)
    assert frame[0, 0, 0] < 0.75 * events


def test_without_dead_time_only_the_mask_acts() -> None:
    frames = random_frames(5, 3)
    good = np.ones((2, 5, 128), dtype=np.uint8)
    good[1, 2, 7] = 0
    for model in MODELS:
        found = correct_frames(frames, good, exposure_s=EXPOSURE_S, model=model)
        assert np.isnan(found.counts[:, :, 2, 7]).all()
        assert (found.flags[:, 2, 7] == PixelFlag.MASKED).all()
        seen = np.delete(found.counts.reshape(3, 2, -1), 2 * 128 + 7, axis=2)
        np.testing.assert_array_equal(seen, np.delete(frames.reshape(3, 2, -1), 2 * 128 + 7, axis=2))


def test_rows_summed_by_the_detector_share_their_rate() -> None:
    frames = random_frames(2, 4, highest=3000)
    one = correct_frames(frames, dead_time_s=1e-7, exposure_s=EXPOSURE_S)
    four = correct_frames((frames * 4).astype(np.uint16), dead_time_s=1e-7, exposure_s=EXPOSURE_S, native_pixels=4)
    np.testing.assert_allclose(four.counts, 4 * one.counts, rtol=1e-6)


@pytest.mark.parametrize("isa", instruction_sets())
def test_threads_change_no_bit(isa: str) -> None:
    frames, tau = random_frames(4, 6), np.full((4, 128), 3e-8, dtype=np.float32)
    good, exposure = np.ones((4, 128), dtype=np.uint8), np.full(3, EXPOSURE_S, dtype=np.float32)
    one, many = (HostBackend(isa).correct_frames(frames, good, tau, exposure, 65535, True, n) for n in (1, 3))
    np.testing.assert_array_equal(one[0], many[0])
    np.testing.assert_array_equal(one[1], many[1])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"frames": np.zeros((2, 3, 128))}, r"frames: dtype is float64"),
        ({"frames": np.zeros((1, 2, 3, 64), dtype=np.uint16)}, r"frames: shape is \(1, 2, 3, 64\)"),
        ({"frames": np.zeros(3, dtype=np.uint16)}, r"frames: shape is \(3,\)"),
        ({"good_pixels": np.ones((2, 4, 128), dtype=np.uint8)}, r"good_pixels: shape is \(2, 4, 128\)"),
        ({"dead_time_s": -1e-9}, r"dead_time_s: is -1e-09 s"),
        ({"dead_time_s": np.full((3, 128), np.nan)}, r"dead_time_s: is nan s at \(0, 0\)"),
        ({"dead_time_s": np.ones(128)}, r"dead_time_s: shape is \(128,\)"),
        ({"exposure_s": 0.0}, r"exposure_s: is 0.0 s"),
        ({"exposure_s": np.ones(4)}, r"exposure_s: shape is \(4,\)"),
        ({"model": "ideal"}, r"model: is 'ideal'"),
        ({"native_pixels": 0}, r"native_pixels: is 0"),
        ({"full_scale": 70000}, r"full_scale: is 70000"),
        ({"threads": 0}, r"threads: is 0"),
    ],
)
def test_refuses(changes: dict[str, Any], message: str) -> None:
    arguments: dict[str, Any] = {"frames": np.zeros((2, 2, 3, 128), dtype=np.uint16), "exposure_s": EXPOSURE_S}
    correct_frames(**arguments)
    with pytest.raises(ValueError, match=message):
        correct_frames(**(arguments | changes))
