"""What a client of the feed gets beside the messages themselves: pictures, and what the client has to say itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from edge.messages import BagImage, Message


@dataclass(frozen=True)
class Picture:
    """Images of one bag: float32 (4 channels, 2 bins, rows, columns), described by ``header``. NaN: nothing known."""

    header: BagImage
    image: npt.NDArray[np.float32]


@dataclass(frozen=True)
class Silence:
    """No heartbeat for ``seconds``: treat every bag as UNKNOWN until a lane state comes again. Said once a silence."""

    seconds: float


@dataclass(frozen=True)
class Gap:
    """The verdicts ``first`` to ``last`` exist and cannot be had: treat their bags as UNKNOWN."""

    first: int
    last: int
    reason: str


@dataclass(frozen=True)
class Renumbered:
    """The lane counts its verdicts anew (another journal): ``expected`` was due, ``found`` came and follows."""

    expected: int
    found: int


#: What iteration yields; verdicts are among the messages.
Item: TypeAlias = "Message | Picture | Silence | Gap | Renumbered"
