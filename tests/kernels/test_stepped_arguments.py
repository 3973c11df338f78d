"""Bad arguments of the stepped retrieval: the error names the argument and the value."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from kernels import retrieve_stepped
from kernels.types import IlluminationCurves
from tests.kernels import scene
from tests.kernels.test_stepped import REGULAR_3, REGULAR_5, mask


def spoilt() -> IlluminationCurves:
    curves = mask(2, 1)
    curves.width[1, 1, 0] = np.nan
    return curves


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"samples": np.ones((5, 2, 2, 4))}, r"samples: dtype is float64"),
        ({"samples": np.ones((5, 3, 2, 4), dtype=np.float32)}, r"samples: shape is \(5, 3, 2, 4\)"),
        ({"samples": np.ones((5, 2, 4, 2), dtype=np.float32).swapaxes(2, 3)}, r"samples: strides are"),
        (
            {"samples": np.ones((3, 2, 2, 4), dtype=np.float32)},
            r"samples: has 3 positions, expected 4 to 64 for model 'full'",
        ),
        (
            {"samples": np.ones((2, 2, 2, 4), dtype=np.float32), "model": "map", "prior": scene.PRIOR},
            r"samples: has 2 positions, expected 3",
        ),
        ({"samples": np.ones((65, 2, 2, 4), dtype=np.float32)}, r"samples: has 65 positions"),
        ({"positions_um": REGULAR_3}, r"positions_um: is \[-14.0, 0.0, 14.0\], expected 5"),
        ({"positions_um": (0, 1, 2, 3, np.nan)}, r"positions_um: is .*nan"),
        ({"positions_um": (-10, 0, 10, 20, 75)}, r"positions_um: position 4 is 75 µm, .* subtract whole periods"),
        ({"positions_um": (0, 0, 0, 5, 5)}, r"positions_um: .* at least 3 different"),
        ({"curves": mask(2, 3)}, r"positions_um: 5 samples for 3 curves"),
        ({"curves": mask(3, 1)}, r"curves.floor: shape is \(2, 3\)"),
        ({"curves": mask(2, 1, 5)}, r"curves.floor: shape is \(2, 2, 5\)"),
        ({"curves": spoilt()}, r"curves: those of bin, row \(1, 1\) are .*nan.* calibrate again"),
        ({"exposure": 0.0}, r"exposure: value at \(\) is 0.0"),
        ({"exposure": np.ones((5, 3))}, r"exposure: shape is \(5, 3\)"),
        ({"variance_factor": -1.0}, r"variance_factor: column 0 is -1.0"),
        ({"model": "paper"}, r"model: is 'paper', expected full or map"),
        ({"model": "map"}, r"prior: is None, but model 'map' needs one"),
        ({"pitch_um": np.nan}, r"pitch_um: is nan"),
        ({"threads": 0}, r"threads: is 0"),
    ],
)
def test_refuses(changes: dict[str, Any], message: str) -> None:
    arguments: dict[str, Any] = {
        "samples": np.ones((5, 2, 2, 4), dtype=np.float32),
        "curves": mask(2, 1),
        "positions_um": REGULAR_5,
        "model": "full",
    }
    retrieve_stepped(**arguments)
    with pytest.raises(ValueError, match=message):
        retrieve_stepped(**(arguments | changes))
