"""Heat in messages: probabilities as bytes, packed small enough for a journal."""

from __future__ import annotations

import base64
import binascii
import zlib

import numpy as np
import numpy.typing as npt

from edge.messages import Saliency
from kernels.types import F32

Box = tuple[int, int, int, int]


def encode(probability: F32, box: Box) -> Saliency:
    """Probabilities 0 … 1 (cells of rows, cells of columns) over ``box`` in pixels."""
    levels = np.round(np.clip(probability, 0, 1) * 255).astype(np.uint8)
    data = base64.b64encode(zlib.compress(levels.tobytes(), 6)).decode("ascii")
    return Saliency(box=box, rows=levels.shape[0], columns=levels.shape[1], data=data)


def decode(saliency: Saliency) -> npt.NDArray[np.uint8]:
    """Levels (rows, columns), 255 is probability 1. ValueError when the data are not so many bytes."""
    size = saliency.rows * saliency.columns
    try:
        # Never more than announced, whatever the data would unpack to.
        raw = zlib.decompressobj().decompress(base64.b64decode(saliency.data, validate=True), size)
    except (binascii.Error, zlib.error) as error:
        raise ValueError(f"saliency cannot be unpacked ({error})") from error
    if len(raw) != size:
        raise ValueError(f"saliency has {len(raw)} bytes for {saliency.rows} × {saliency.columns} cells")
    return np.frombuffer(raw, np.uint8).reshape(saliency.rows, saliency.columns)


def crop(whole: F32, cell_px: int, box: Box) -> Saliency:
    """The cells of ``whole`` that ``box`` (pixels) touches."""
    row0, column0, row1, column1 = box
    top, left = row0 // cell_px, column0 // cell_px
    bottom, right = max(top + 1, -(-row1 // cell_px)), max(left + 1, -(-column1 // cell_px))
    part = whole[top:bottom, left:right]
    rows, columns = part.shape
    return encode(part, (top * cell_px, left * cell_px, (top + rows) * cell_px, (left + columns) * cell_px))
