"""Images made from the shipped class means: rectangles of materials with retrieval-like noise, no physics."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from edge.inference.detector import Tile
from edge.inference.evidence import Explanations
from edge.inference.model_file import shipped
from edge.messages import Arrays, ImageSlab

ROWS, COLUMNS, GRID_UM, PITCH_UM = 160, 200, 300.0, 308.0
#: 1-σ per pixel in air, (low, high): t, Δ µm, τ² µm², o.
SIGMA = ((0.03, 0.03), (0.4, 0.5), (8.0, 12.0), (0.02, 0.02))
Scene = dict[str, npt.NDArray[Any]]
#: The shipped classes without what was learned from bags: what it says about these scenes does not change with tuning.
MODEL = shipped(80).model_copy(update={"decision": None, "threshold": 0.5}).sealed()
EXPLANATIONS = Explanations(MODEL)


@dataclass(frozen=True)
class Slab:
    """A rectangle (row0, column0, row1, column1) of a material with a low-bin attenuation."""

    material: str
    attenuation: float
    box: tuple[int, int, int, int]


def planes_of(material: str, attenuation: float) -> npt.NDArray[np.float64]:
    """Planes (6,) −ln t, −ln o, τ² (low, high) of a material by its class mean over nothing."""
    number = EXPLANATIONS.names.index(material)
    r_ab, r_of, dark_low, dark_high = EXPLANATIONS.mean(attenuation, (0.0, 0.0))[number]
    high = attenuation / r_ab
    offset_high = 0.9 * high
    return np.array([attenuation, high, offset_high * r_of, offset_high, dark_low * attenuation, dark_high * high])


def tile(arrays: Arrays, first: int = 0, last: int | None = None) -> Tile:
    """Columns first … last − 1 as a tile."""
    part = slice(first, last)
    return Tile(
        first,
        arrays["images"][..., part].astype(np.float32),
        arrays["sigma"][..., part].astype(np.float32),
        arrays["flags"][..., part].astype(np.uint16),
    )


def images(slabs: tuple[Slab, ...], seed: int = 1, rows: int = ROWS, columns: int = COLUMNS) -> Scene:
    """Arrays of an :class:`ImageSlab` of all columns."""
    planes = np.zeros((6, rows, columns))
    for slab in slabs:
        mask = np.zeros((rows, columns))
        mask[slab.box[0] : slab.box[2], slab.box[1] : slab.box[3]] = 1
        planes += planes_of(slab.material, slab.attenuation)[:, None, None] * ndimage.gaussian_filter(mask, 0.7)
    t, o = np.exp(-planes[0:2]), np.exp(-planes[2:4])
    clean = np.stack([t, np.zeros_like(t), planes[4:6], o])
    sigma = np.broadcast_to(np.array(SIGMA)[:, :, None, None], clean.shape) / np.sqrt(np.maximum(t, 1e-4))
    sigma = sigma * np.stack([t, np.ones_like(t), np.ones_like(t), o])
    noise = np.random.default_rng(seed).standard_normal(clean.shape)
    flags = np.where(t < 0.01, 16, 0).astype(np.uint16)
    return {
        "images": (clean + sigma * noise).astype(np.float32),
        "sigma": sigma.astype(np.float32),
        "flags": flags,
    }


def slabs_of(arrays: Arrays, size: int = 64, **fields: object) -> list[tuple[ImageSlab, Arrays]]:
    """The columns cut into slabs of ``size``, the last one marked."""
    rows, columns = arrays["images"].shape[2:]
    cuts = list(range(0, columns, size)) or [0]
    made = []
    for index, column in enumerate(cuts):
        part = slice(column, column + size)
        cut = {name: np.ascontiguousarray(array[..., part]) for name, array in arrays.items()}
        slab = ImageSlab.model_validate(
            {
                "bag_id": "bag-1", "index": index, "last": index == len(cuts) - 1, "column0": column,
                "columns": cut["flags"].shape[-1], "rows": rows, "grid_um": GRID_UM, "row_pitch_um": PITCH_UM,
                "origin_um": 0.0, "bag_from_um": 6000.0, "calibration_id": "cal-1", "frames": 10 * (index + 1),
                "retrieval_ms": 2.0, "kernel_backend": "host-test", **fields,
            }
        )  # fmt: skip
        made.append((slab, cut))
    return made
