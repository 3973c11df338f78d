"""The planes that networks see."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.inference.planes import PLANES, VALUES, planes, write_planes
from kernels.types import Flag
from tests.edge.inference_scene import Slab, images


def made(rows: int = 12, columns: int = 16) -> dict[str, np.ndarray]:
    return images((Slab("C4", 0.6, (2, 3, 9, 12)),), rows=rows, columns=columns)


def test_every_value_is_followed_by_its_sigma_and_valid_is_last() -> None:
    assert len(PLANES) == len(set(PLANES)) == 17
    assert PLANES[:4] == ("attenuation low", "attenuation low sd", "attenuation high", "attenuation high sd")
    assert PLANES[-1] == "valid"
    arrays = made()
    stack = planes(arrays["images"], arrays["sigma"], arrays["flags"])
    by_name = dict(zip(PLANES, stack, strict=True))
    assert stack.dtype == np.float32
    t, o = arrays["images"][0], arrays["images"][3]
    np.testing.assert_allclose(by_name["attenuation high"], -np.log(t[1]), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(by_name["attenuation low sd"], arrays["sigma"][0, 0] / t[0], rtol=1e-5)
    np.testing.assert_allclose(by_name["offset_attenuation low"], -np.log(o[0]), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(by_name["refraction low"], arrays["images"][1, 0])
    np.testing.assert_array_equal(by_name["dark_field high sd"], arrays["sigma"][2, 1])
    assert by_name["valid"].all()


def test_unusable_pixels_are_zero_in_every_plane() -> None:
    arrays = made()
    arrays["images"][2, 0, 1, 1] = np.nan
    arrays["sigma"][0, 1, 2, 2] = np.inf
    arrays["flags"][1, 3, 3] = Flag.NOT_CONVERGED
    arrays["flags"][0, 4, 4] = Flag.PRIOR_DOMINATED  # information only
    stack = planes(arrays["images"], arrays["sigma"], arrays["flags"])
    assert np.isfinite(stack).all()
    for row in (1, 2, 3):
        assert not stack[:, row, row].any()
    assert stack[-1, 4, 4] == 1
    assert stack[-1].sum() == stack[-1].size - 3


def test_wild_values_are_clipped() -> None:
    arrays = made()
    arrays["images"][0, 0, 0, 0] = -1.0
    arrays["images"][2, 1, 0, 0] = 1e9
    arrays["sigma"][2, 1, 0, 0] = 1e9
    stack = planes(arrays["images"], arrays["sigma"], arrays["flags"])
    by_name = dict(zip(PLANES, stack, strict=True))
    assert by_name["attenuation low"][0, 0] == pytest.approx(-np.log(1e-3), rel=1e-5)
    assert by_name["dark_field high"][0, 0] == VALUES["dark_field"][1] == by_name["dark_field high sd"][0, 0]


@given(st.integers(1, 15))
def test_planes_do_not_depend_on_where_the_columns_are_cut(cut: int) -> None:
    arrays = made()
    whole = planes(arrays["images"], arrays["sigma"], arrays["flags"])
    parts = [
        planes(arrays["images"][..., part], arrays["sigma"][..., part], arrays["flags"][..., part])
        for part in (slice(None, cut), slice(cut, None))
    ]
    np.testing.assert_array_equal(np.concatenate(parts, axis=-1), whole)


def test_planes_can_be_written_where_they_are_needed() -> None:
    arrays = made()
    arrays["images"][1, 0, 1, 1] = np.nan
    whole = np.full((len(PLANES), 14, 40), -7, np.float32)
    write_planes([(arrays["images"], arrays["sigma"], arrays["flags"])], whole[:, :12, 5:21])
    np.testing.assert_array_equal(whole[:, :12, 5:21], planes(arrays["images"], arrays["sigma"], arrays["flags"]))
    assert (whole[:, 12:] == -7).all()
    assert (whole[:, :, :5] == -7).all()
    assert (whole[:, :, 21:] == -7).all()


def test_arrays_of_different_sizes_are_refused() -> None:
    arrays = made()
    with pytest.raises(ValueError, match="flags"):
        planes(arrays["images"], arrays["sigma"], arrays["flags"][:, 1:])
