"""Phase sums against a direct evaluation of the equation, however the frames come and the columns are taken."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels import PhaseSums
from kernels.backends.host import HostBackend, instruction_sets
from kernels.reference import phase_sums as reference
from kernels.types import F32, U8, U16
from tests.kernels.scene import SHIFTS_UM

MAGNIFICATION = 1.026
OFFSETS_UM = np.array([MAGNIFICATION * (75.0 * c + SHIFTS_UM[c % 4]) for c in range(128)])


def frames_of(rng: np.random.Generator, n: int, rows: int) -> tuple[U16, U8]:
    frames = rng.integers(0, 65536, (n, 2, rows, 128)).astype(np.uint16)
    good = (rng.random((2, rows, 128)) > 0.05).astype(np.uint8)
    return frames, good


def taken(sums: PhaseSums, pieces: list[int]) -> tuple[F32, F32, F32]:
    parts = [sums.take(n) for n in pieces]
    first, second, third = (np.concatenate([part[k] for part in parts], axis=-1) for k in range(3))
    return first, second, third


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    rows=st.sampled_from([1, 5, 16, 33]),
    grid_um=st.sampled_from([75.0, 150.0, 231.0, 300.0]),
    n=st.integers(1, 25),
    step_um=st.floats(-50.0, 400.0),
    origin_um=st.floats(-1e9, 1e9),
    lead_um=st.floats(-12_000.0, 4_000.0),
    pieces=st.lists(st.integers(0, 40), min_size=1, max_size=5),
    batch=st.integers(1, 7),
    isa=st.sampled_from(instruction_sets()),
)
def test_equals_the_equation(
    seed: int,
    rows: int,
    grid_um: float,
    n: int,
    step_um: float,
    origin_um: float,
    lead_um: float,
    pieces: list[int],
    batch: int,
    isa: str,
) -> None:
    rng = np.random.default_rng(seed)
    frames, good = frames_of(rng, n, rows)
    travel = origin_um + OFFSETS_UM.max() + lead_um + step_um * np.arange(n)
    sums = PhaseSums(rows, grid_um, OFFSETS_UM, capacity_columns=400)
    sums._sums = HostBackend(isa).window(rows, 400)
    sums.begin(origin_um)
    for at in range(0, n, batch):
        sums.add(frames[at : at + batch], travel[at : at + batch], good)
    got = taken(sums, pieces)
    want = reference.phase_sums(frames, travel, OFFSETS_UM, good, grid_um, origin_um, sum(pieces))
    # A belt coordinate of 1e9 µm has a last place of 1e-7 µm: all that is left of the weights' rounding.
    np.testing.assert_allclose(got[1], want[1], atol=1e-5)
    np.testing.assert_allclose(got[2], want[2], atol=1e-5)
    np.testing.assert_allclose(got[0], want[0], rtol=1e-5, atol=65536 * 32 * 1e-6)


def test_taking_as_columns_complete_loses_nothing() -> None:
    """A column is complete when no later frame can reach it: taken then, or all at the end, it is the same."""
    rng = np.random.default_rng(1)
    frames, good = frames_of(rng, 400, 3)
    travel = 5e6 + 98.3 * np.arange(400, dtype=np.float64)
    stream = PhaseSums(3, 300.0, OFFSETS_UM, capacity_columns=60)
    stream.begin(5e6 - 2000.0)
    parts = []
    for i in range(400):
        stream.add(frames[i], travel[i : i + 1], good)
        ready = stream.complete_columns(travel[i])
        if ready >= 10:
            parts.append(stream.take(ready))
    got = np.concatenate([p[0] for p in parts], axis=-1)
    assert got.shape[-1] > 90
    want, weights, _ = reference.phase_sums(frames, travel, OFFSETS_UM, good, 300.0, 5e6 - 2000.0, got.shape[-1])
    np.testing.assert_allclose(got, want, rtol=1e-5)
    np.testing.assert_allclose(np.concatenate([p[1] for p in parts], axis=-1), weights, rtol=1e-5, atol=1e-5)
    assert stream.complete_columns(travel[-1]) < 10


def test_a_standing_belt_completes_nothing_more() -> None:
    sums = PhaseSums(1, 300.0, OFFSETS_UM)
    sums.begin(0.0)
    frame = np.ones((2, 1, 128), dtype=np.uint16)
    for _ in range(5):
        sums.add(frame, [12_000.0])
    ready = sums.complete_columns(12_000.0)
    sums.take(ready)
    assert sums.complete_columns(12_000.0) == 0
    _, weights, _ = sums.take(1)
    before = weights.sum()
    sums.add(frame, [12_000.0])
    assert before > 0


def test_begin_forgets_the_bag_before() -> None:
    sums = PhaseSums(2, 300.0, OFFSETS_UM)
    ones = np.ones((2, 2, 128), dtype=np.uint16)
    sums.begin(0.0)
    sums.add(ones, [12_000.0])
    sums.begin(0.0)
    values, weights, squares = sums.take(50)
    assert values.max() == weights.max() == squares.max() == 0


def test_frames_outside_the_window_are_ignored() -> None:
    sums = PhaseSums(1, 300.0, OFFSETS_UM)
    sums.begin(1e6)
    sums.add(np.ones((2, 1, 128), dtype=np.uint16), [1e6 - 1000.0])
    assert sums.take(20)[1].max() == 0


def test_sums_do_not_depend_on_threads() -> None:
    rng = np.random.default_rng(3)
    frames, good = frames_of(rng, 20, 70)
    travel = 10_000 + 98.3 * np.arange(20)
    results = []
    for threads in (1, 3):
        sums = PhaseSums(70, 300.0, OFFSETS_UM, threads=threads)
        sums.begin(0.0)
        sums.add(frames, travel, good)
        results.append(sums.take(40)[0])
    np.testing.assert_array_equal(results[0], results[1])


@pytest.mark.parametrize("isa", instruction_sets())
@pytest.mark.parametrize("grid_um", [150.0, 300.0])
def test_sums_do_not_depend_on_how_frames_are_handed_over(isa: str, grid_um: float) -> None:
    """Bit for bit: one by one, in batches, all at once."""
    rng = np.random.default_rng(4)
    frames, good = frames_of(rng, 40, 7)
    travel = 9_000 + 98.3 * np.arange(40)
    results = []
    for batch in (1, 3, 40):
        sums = PhaseSums(7, grid_um, OFFSETS_UM, capacity_columns=300)
        sums._sums = HostBackend(isa).window(7, 300)
        sums.begin(0.0)
        for at in range(0, 40, batch):
            sums.add(frames[at : at + batch], travel[at : at + batch], good)
        results.append(sums.take(90)[0])
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_array_equal(results[0], results[2])


def test_no_mask_is_a_mask_of_ones() -> None:
    rng = np.random.default_rng(6)
    frames, good = frames_of(rng, 5, 3)
    results = []
    for mask in (None, np.ones_like(good)):
        sums = PhaseSums(3, 300.0, OFFSETS_UM)
        sums.begin(0.0)
        sums.add(frames, 12_000 + 98.3 * np.arange(5), mask)
        results.append(sums.take(45)[0])
    np.testing.assert_array_equal(results[0], results[1])


def test_errors_name_the_argument() -> None:
    sums = PhaseSums(4, 300.0, OFFSETS_UM, capacity_columns=40)
    frame = np.ones((2, 4, 128), dtype=np.uint16)
    with pytest.raises(ValueError, match="begin"):
        sums.add(frame, [0.0])
    sums.begin(0.0)
    with pytest.raises(ValueError, match=r"frames: dtype is float64"):
        sums.add(frame.astype(float), [0.0])
    with pytest.raises(ValueError, match=r"frames: shape is \(1, 2, 3, 128\)"):
        sums.add(frame[:, :3].copy(), [0.0])
    with pytest.raises(ValueError, match="travel_um"):
        sums.add(frame, [0.0, 1.0])
    with pytest.raises(ValueError, match="travel_um: number 1 is nan"):
        sums.add(np.stack([frame, frame]), [0.0, np.nan])
    with pytest.raises(ValueError, match="good_pixels: shape"):
        sums.add(frame, [0.0], np.ones((2, 4, 64), dtype=np.uint8))
    with pytest.raises(ValueError, match="take the complete columns first"):
        sums.add(frame, [40 * 300.0])
    with pytest.raises(ValueError, match="columns"):
        sums.take(41)
    with pytest.raises(ValueError, match="column_offsets_um"):
        PhaseSums(4, 300.0, OFFSETS_UM[:5])
    with pytest.raises(ValueError, match="capacity_columns"):
        PhaseSums(4, 300.0, OFFSETS_UM, capacity_columns=10)


@pytest.mark.parametrize("grid_um", [20.0, 75.0, 150.0, 300.0, 900.0])
@pytest.mark.parametrize("isa", instruction_sets())
def test_any_grid_and_any_motion(grid_um: float, isa: str) -> None:
    """Fine and coarse grids, a belt that stands, jumps and goes backwards, more frames than go through together."""
    rng = np.random.default_rng(11)
    frames, good = frames_of(rng, 70, 19)
    travel = 12_000.0 + np.cumsum(rng.choice([0.0, 5.0, 98.3, 700.0, -150.0], 70))
    sums = PhaseSums(19, grid_um, OFFSETS_UM, capacity_columns=1500)
    sums._sums = HostBackend(isa).window(19, sums.capacity)
    sums.begin(1000.0)
    sums.add(frames, travel, good)
    got, weights, squares = sums.take(1500)
    want = reference.phase_sums(frames, travel, OFFSETS_UM, good, grid_um, 1000.0, 1500)
    np.testing.assert_allclose(got, want[0], rtol=1e-5, atol=65536 * 32 * 1e-6)
    np.testing.assert_allclose(weights, want[1], atol=1e-5)
    np.testing.assert_allclose(squares, want[2], atol=1e-5)
