"""Previews against a plain block average of the whole bag, whatever the slabs; bounded memory."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.gateway import preview
from edge.gateway.preview import MAX_BAGS, Previews
from edge.messages import CHANNELS, ImageSlab
from kernels.types import Flag
from tests.edge.archive_bags import Bag, bag


def wanted(source: Bag, factor: int) -> np.ndarray:
    """Mean of the good pixels of each block."""
    images = source.images.astype(np.float64).copy()
    images[:, (source.flags & int(Flag.BAD_INPUT)) != 0] = np.nan
    rows, columns = -(-source.rows // factor), -(-source.columns // factor)
    padded = np.full((4, 2, rows * factor, columns * factor), np.nan)
    padded[..., : source.rows, : source.columns] = images
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return np.asarray(np.nanmean(padded.reshape(4, 2, rows, factor, columns, factor), axis=(3, 5)))


@settings(max_examples=20)
@given(rows=st.integers(1, 40), columns=st.integers(1, 70), step=st.integers(1, 33), most=st.integers(1, 20))
def test_a_preview_is_the_block_average_of_the_bag(rows: int, columns: int, step: int, most: int) -> None:
    made = bag(rows=max(rows, 8), columns=max(columns, 8))
    made.flags[:, 2, 3] = int(Flag.BAD_INPUT)
    made.flags[:, 4, 4] = int(Flag.SKEWED)
    made.images[1, 0, 5, 5] = np.nan
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(preview, "MAX_ROWS", most)
        previews = Previews()
        results = [previews.add(slab, arrays) for slab, arrays in made.image_slabs(step)]
    assert results[:-1] == [None] * (len(results) - 1)
    assert results[-1] is not None
    header, image = results[-1]
    factor = -(-made.rows // most)
    np.testing.assert_allclose(image, wanted(made, factor), rtol=1e-5)
    assert (header.rows, header.columns, header.preview) == (*image.shape[2:], True)
    assert [name.split(" [")[0] for name in header.channels] == list(CHANNELS)
    assert header.pixel_mm == pytest.approx((factor * made.row_pitch_um / 1e3, factor * made.grid_um / 1e3))


def test_a_slab_that_comes_twice_counts_once_and_one_that_is_missing_stays_unknown() -> None:
    made = bag(rows=8, columns=96)
    previews = Previews()
    slabs = list(made.image_slabs(32))
    assert [previews.add(*slabs[n]) for n in (0, 0)] == [None, None]
    result = previews.add(*slabs[2])
    assert result is not None
    image = result[1]
    np.testing.assert_allclose(image[..., :32], made.images[..., :32], rtol=1e-5)
    assert np.isnan(image[..., 32:64]).all()


def test_slabs_that_make_no_sense_are_left_out() -> None:
    made = bag(rows=8, columns=64)
    (first, arrays), (last, last_arrays) = made.image_slabs(32)
    previews = Previews()
    previews.add(first, arrays)
    previews.add(first.model_copy(update={"index": 5, "column0": 1 << 30}), arrays)
    previews.add(first.model_copy(update={"index": 6, "rows": 9}), arrays)
    assert previews.dropped == 2
    result = previews.add(last, last_arrays)
    assert result is not None
    assert result[0].columns == 64


def test_bags_without_an_end_or_without_images_are_forgotten() -> None:
    previews = Previews()
    first, arrays = next(bag().image_slabs())
    for number in range(MAX_BAGS + 3):
        previews.add(first.model_copy(update={"bag_id": f"B{number}"}), arrays)
    assert len(previews._bags) == MAX_BAGS
    assert previews.dropped == 3
    nothing = ImageSlab(bag_id="N", index=0, last=True, column0=0, columns=0, rows=0, grid_um=300, row_pitch_um=300,
                        origin_um=0, bag_from_um=0)  # fmt: skip
    empty = np.zeros((4, 2, 0, 0), np.float32)
    assert previews.add(nothing, {"images": empty, "sigma": empty, "flags": empty[0]}) is None
