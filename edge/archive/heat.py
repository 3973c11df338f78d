"""Where the network sees a threat, laid over a picture of the bag."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from edge import saliency
from edge.archive import marks
from edge.messages import Saliency
from kernels.types import F32

Rgb8 = npt.NDArray[np.uint8]

#: How much of the heat's colour a probability of 1 puts over the picture.
STRONGEST = 0.6
#: Smaller probabilities are not shown: they would only tint the picture.
LEAST = 0.05


@dataclass(frozen=True)
class Heat:
    """Probabilities per cell, and how many cells (across, down) the image covers; not always whole ones."""

    cells: F32
    across: float
    down: float

    @classmethod
    def of(cls, found: Saliency | None, rows: int, columns: int) -> Heat | None:
        """The heat over an image of ``rows`` × ``columns`` pixels; None where there is none that can be used."""
        if found is None:
            return None
        row0, column0, row1, column1 = found.box
        try:
            if (row0, column0) != (0, 0) or row1 < rows or column1 < columns:
                raise ValueError(f"saliency covers {found.box}, not the whole image of {rows} × {columns} pixels")
            cells = saliency.decode(found).astype(np.float32) / np.float32(255)
        except ValueError as error:
            logging.getLogger("archive").error("no heat on the sheet: %s", error)
            return None
        return cls(cells, found.columns * columns / column1, found.rows * rows / row1)

    def over(self, picture: Rgb8) -> Rgb8:
        """``picture`` (height, width, 3) of the image, with the heat over it in red."""
        height, width = picture.shape[:2]
        part = (0.0, 0.0, self.across, self.down)
        resized = Image.fromarray(self.cells).resize((width, height), Image.Resampling.BILINEAR, box=part)
        heat = np.asarray(resized, np.float32)
        share = np.where(heat >= LEAST, np.float32(STRONGEST) * heat, np.float32(0))[..., None]
        mixed: Rgb8 = np.round(picture * (1 - share) + np.array(marks.RED, np.float32) * share).astype(np.uint8)
        return mixed
