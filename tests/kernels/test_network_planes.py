"""Planes of the networks against the same in NumPy, whatever the instruction set, the strides and the widths."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels.backends.host import instruction_sets
from kernels.network_planes import fill_planes, pack_rows
from kernels.types import F32, U8, U16

LIMITS = np.array([[-0.5, 7], [-30, 30], [-100, 1000], [-0.5, 7]], np.float32)
LOGARITHMIC: U8 = np.array([1, 0, 0, 1], np.uint8)
FLOOR, UNUSABLE = 1e-3, 5


def reference(images: F32, sigma: F32, flags: U16) -> F32:
    """Plane by plane, as edge/inference/planes.py says."""
    good = ((flags & UNUSABLE) == 0).all(0) & np.isfinite(images).all((0, 1)) & np.isfinite(sigma).all((0, 1))
    made = np.zeros((17, *images.shape[2:]), np.float32)
    for channel, (least, most) in enumerate(LIMITS):
        for b in range(2):
            value, error = images[channel, b], sigma[channel, b]
            if LOGARITHMIC[channel]:
                linear = np.maximum(value, np.float32(FLOOR))
                value, error = -np.log(linear), error / linear
            made[4 * channel + 2 * b] = np.clip(value, least, most)
            made[4 * channel + 2 * b + 1] = np.clip(error, np.float32(0), most)
    made[-1] = 1
    made[:, ~good] = 0
    return made


def scene(rng: np.random.Generator, rows: int, columns: int, strange: float) -> tuple[F32, F32, U16]:
    """Values of all magnitudes, a share of them no numbers, a share of the pixels flagged."""
    shape = (4, 2, rows, columns)
    images = (rng.standard_normal(shape) * 10 ** rng.uniform(-3, 4, shape)).astype(np.float32)
    sigma = np.abs(images[:, ::-1, ::-1])
    for array in (images, sigma):
        at = rng.random(shape) < strange
        array[at] = rng.choice([np.nan, np.inf, -np.inf], at.sum())
    flags = rng.integers(0, 256, shape[1:]) * (rng.random(shape[1:]) < 0.1)
    return images, sigma, flags.astype(np.uint16)


@settings(max_examples=80, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 6),
    st.integers(1, 70),
    st.integers(0, 5),
    st.integers(0, 20),
    st.sampled_from([0.0, 0.02]),
    st.sampled_from(instruction_sets()),
)
def test_equals_numpy_and_writes_nothing_else(
    seed: int, rows: int, columns: int, first: int, gap: int, strange: float, isa: str
) -> None:
    images, sigma, flags = scene(np.random.default_rng(seed), rows, 75, strange)
    cut = slice(first, first + columns)
    given = images[..., cut], sigma[..., cut], flags[..., cut]
    memory = np.full((17, rows + 1, gap + columns + 3), 7, np.float32)
    out = memory[:, :rows, gap : gap + columns]
    fill_planes([given], out, limits=LIMITS, logarithmic=LOGARITHMIC, floor=FLOOR, unusable=UNUSABLE, isa=isa)
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(out, reference(*given))
    out[...] = 7
    assert (memory == 7).all()


@pytest.mark.parametrize("isa", instruction_sets())
@pytest.mark.parametrize("binade", [-10, -1, 0, 1])
def test_logarithms_are_those_that_numpy_computes(isa: str, binade: int) -> None:
    """Every 13th mantissa. NumPy has this polynomial with AVX2 and AVX-512, and other ones elsewhere."""
    values = np.arange(0, 1 << 23, 13, dtype=np.int32)[: 4 * 400 * 400] + ((127 + binade) << 23)
    images = np.ones((4, 2, 400, 400), np.float32)
    images[[0, 3]] = values.view(np.float32).reshape(2, 2, 400, 400)
    flags, out = np.zeros((2, 400, 400), np.uint16), np.empty((17, 400, 400), np.float32)
    limits = np.tile(np.array([-100, 100], np.float32), (4, 1))
    fill_planes(
        [(images, images, flags)], out, limits=limits, logarithmic=LOGARITHMIC, floor=1e-9, unusable=UNUSABLE, isa=isa
    )
    exact = np.log(images[[0, 3]].astype(np.float64))
    found = -out[[0, 2, 12, 14]].reshape(exact.shape)
    np.testing.assert_allclose(found, exact, rtol=3e-7, atol=1e-12)
    if "avx2" in instruction_sets():
        np.testing.assert_array_equal(found, np.log(images[[0, 3]]))


@pytest.mark.parametrize("isa", instruction_sets())
@pytest.mark.parametrize("columns", [1, 16, 17, 31])
@pytest.mark.parametrize("first", [16, 17])
def test_columns_that_no_image_has_are_zero(isa: str, columns: int, first: int) -> None:
    images, sigma, flags = scene(np.random.default_rng(3), 5, columns, 0.05)
    memory = np.full(17 * 5 * 64 + 16, 7, np.float32)
    aligned = memory[-memory.ctypes.data % 64 // 4 :][: 17 * 5 * 64].reshape(17, 5, 64)
    out = aligned[..., first : first + 32]
    fill_planes(
        [(images, sigma, flags)], out, limits=LIMITS, logarithmic=LOGARITHMIC, floor=FLOOR, unusable=UNUSABLE, isa=isa
    )
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(out[..., :columns], reference(images, sigma, flags))
    assert not out[..., columns:].any()
    out[...] = 7
    assert (memory == 7).all()


@pytest.mark.parametrize("isa", instruction_sets())
def test_whole_cache_lines_are_written_the_same(isa: str) -> None:
    images, sigma, flags = scene(np.random.default_rng(3), 5, 32, 0.01)
    memory = np.zeros(17 * 5 * 64 + 16, np.float32)
    aligned = memory[-memory.ctypes.data % 64 // 4 :][: 17 * 5 * 64].reshape(17, 5, 64)
    for out in (aligned[..., 16:48], aligned[..., 17:49]):
        fill_planes(
            [(images, sigma, flags)],
            out,
            limits=LIMITS,
            logarithmic=LOGARITHMIC,
            floor=FLOOR,
            unusable=UNUSABLE,
            isa=isa,
        )
        np.testing.assert_array_equal(out, reference(images, sigma, flags))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.lists(st.integers(0, 40), min_size=1, max_size=6), st.data())
def test_slabs_lie_side_by_side(seed: int, sizes: list[int], data: st.DataObject) -> None:
    """Of any widths; from a column of the first one, to one of the last one or beyond it."""
    whole = scene(np.random.default_rng(seed), 3, sum(sizes), 0.02)
    ends = np.cumsum(sizes)
    slabs = [tuple(array[..., end - n : end] for array in whole) for n, end in zip(sizes, ends, strict=True)]
    first = data.draw(st.integers(0, sizes[0]))
    until = data.draw(st.integers(max(first, int(ends[-1]) - sizes[-1]) + 1, int(ends[-1]) + 20))
    memory = np.full(17 * 3 * 272 + 16, 7, np.float32)
    aligned = memory[-memory.ctypes.data % 64 // 4 :][: 17 * 3 * 272].reshape(17, 3, 272)
    out = aligned[..., 16 : 16 + until - first]
    fill_planes(
        slabs,  # type: ignore[arg-type]
        out,
        first=first,
        limits=LIMITS,
        logarithmic=LOGARITHMIC,
        floor=FLOOR,
        unusable=UNUSABLE,
        isa=data.draw(st.sampled_from(instruction_sets())),
    )
    expected = np.zeros((17, 3, until - first), np.float32)
    with np.errstate(all="ignore"):
        made = reference(*whole)[..., first:until]
    expected[..., : made.shape[2]] = made
    np.testing.assert_array_equal(out, expected)
    out[...] = 7
    assert (memory == 7).all()


def test_other_arrays_are_refused_by_name() -> None:
    images, sigma, flags = scene(np.random.default_rng(3), 4, 20, 0)
    out = np.zeros((17, 4, 20), np.float32)

    def fill(images: F32 = images, sigma: F32 = sigma, flags: U16 = flags, out: F32 = out) -> None:
        fill_planes(
            [(images, sigma, flags)], out, limits=LIMITS, logarithmic=LOGARITHMIC, floor=FLOOR, unusable=UNUSABLE
        )

    fill()
    for name, wrong in (
        ("sigma", {"sigma": sigma[..., 1:]}),
        ("flags", {"flags": flags[:, 1:]}),
        ("out", {"out": out[1:]}),
        ("out", {"out": out.astype(np.float64)}),
        ("out", {"out": np.zeros((17, 4, 40), np.float32)[..., ::2]}),
    ):
        with pytest.raises(ValueError, match=name):
            fill(**wrong)


@given(st.integers(1, 9), st.integers(1, 40), st.data())
def test_rows_move_together(rows: int, width: int, data: st.DataObject) -> None:
    kept = data.draw(st.integers(0, width))
    narrow = data.draw(st.integers(kept, width))
    memory = np.arange(rows * width, dtype=np.float32) + 1
    expected = np.zeros((rows, narrow), np.float32)
    expected[:, :kept] = memory.reshape(rows, width)[:, :kept]
    pack_rows(memory, width, kept, narrow)
    np.testing.assert_array_equal(memory[: rows * narrow].reshape(rows, narrow), expected)


def test_rows_that_do_not_fit_are_refused() -> None:
    for width, kept, narrow in ((5, 1, 1), (4, 3, 2), (4, 2, 5), (0, 0, 0)):
        with pytest.raises(ValueError, match="memory"):
            pack_rows(np.zeros(8, np.float32), width, kept, narrow)
