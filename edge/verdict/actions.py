"""What goes in and out of the bag ledger: times, journal rows, and the actions that the service carries out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from edge.messages import Verdict


class Now(NamedTuple):
    """One reading of both clocks, ns. Deadlines run on ``mono``, which nobody can step; ``wall`` is for people."""

    wall: int
    mono: int


@dataclass(frozen=True)
class BagRecord:
    """What is known about a bag from the moment it enters; one row of the journal."""

    bag_id: str
    bag_tag: str
    event_seq: int
    encoder: int
    entered_ns: int
    deadline_ns: int
    deadline_encoder: int


@dataclass(frozen=True)
class BagEntered:
    """Journal the bag and announce it."""

    record: BagRecord


@dataclass(frozen=True)
class BagLeft:
    """Journal that the trailing edge passed the entry barrier."""

    bag_id: str
    encoder: int
    t_ns: int


@dataclass(frozen=True)
class ClearLine:
    """Energise the hardware clear line between two encoder counts: while this bag passes the diverter."""

    bag_id: str
    encoder_from: int
    encoder_to: int


@dataclass(frozen=True)
class Decided:
    """Journal and publish this verdict; ``clear`` follows only if it is still CLEAR once it is on disk."""

    verdict: Verdict
    clear: ClearLine | None = None


@dataclass(frozen=True)
class Recalled:
    """Ask the readout for the bag's spooled phase sums once more, as the scan ``scan_id``."""

    bag_id: str
    scan_id: str
    encoder: int


Action = BagEntered | BagLeft | Decided | Recalled
