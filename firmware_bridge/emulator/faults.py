"""What a bad network does to packets, reproducibly, and what else goes wrong with the detector's stream."""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar, Final, Protocol

import numpy as np

#: A reordered packet or a second copy comes up to this many packets later.
DISPLACEMENT: Final = 20
#: A late packet comes this many frames later, when its frame has been given up.
LATE_FRAMES: Final = 24


class PacketFaults(Protocol):
    """Fractions of packets, each in [0, 1] (:class:`firmware_bridge.emulator.plan.Faults` is one)."""

    @property
    def packet_loss(self) -> float: ...  # noqa: D102

    @property
    def duplicate(self) -> float: ...  # noqa: D102

    @property
    def reorder(self) -> float: ...  # noqa: D102

    @property
    def late(self) -> float: ...  # noqa: D102


class BadNetwork:
    """Packets in, packets out, some later and some never. Same seed and same calls give the same result."""

    def __init__(self, seed: int) -> None:
        self._random = np.random.default_rng(seed)
        self._position = 0
        self._count = 0
        self._held: list[tuple[int, int, bytes]] = []

    @property
    def holding(self) -> bool:
        """True while packets are under way."""
        return bool(self._held)

    def carry(self, packets: Iterable[bytes], faults: PacketFaults) -> list[bytes]:
        """Put the packets of one frame on the line; returns what arrives now, in order."""
        frame = list(packets)
        out: list[bytes] = []
        for packet in frame:
            loss, double, displaced, late = self._random.random(4)
            if loss >= faults.packet_loss:
                delay = 0
                if displaced < faults.reorder:
                    delay = int(self._random.integers(1, DISPLACEMENT + 1))
                if late < faults.late:
                    delay = LATE_FRAMES * len(frame)
                self._hold(packet, delay)
                if double < faults.duplicate:
                    self._hold(packet, delay + int(self._random.integers(0, DISPLACEMENT + 1)))
            out += self.advance(1)
        return out

    def advance(self, packets: int) -> list[bytes]:
        """Let ``packets`` other packets pass; returns what arrives meanwhile."""
        self._position += packets
        out: list[bytes] = []
        while self._held and self._held[0][0] <= self._position:
            out.append(heapq.heappop(self._held)[2])
        return out

    def _hold(self, packet: bytes, delay: int) -> None:
        self._count += 1
        heapq.heappush(self._held, (self._position + 1 + delay, self._count, packet))


@dataclass(frozen=True)
class Losses:
    """A network that only loses packets; see :class:`PacketFaults`."""

    packet_loss: float
    duplicate: float = 0.0
    reorder: float = 0.0
    late: float = 0.0


class StreamFaults:
    """Faults of the whole detector stream, whatever lies on the belt.

    ``packet_loss``: this fraction of packets is lost. ``silence``: nothing is sent, frame numbers go on.
    ``clock_jump``: the detector's clock goes ahead by this many seconds (negative: back) until it is set right.
    """

    FAULTS: ClassVar[tuple[str, ...]] = ("packet_loss", "silence", "clock_jump")

    def __init__(self) -> None:
        self.losses: Losses | None = None
        self.silent = False
        self.clock_offset_ns = 0

    def inject(self, fault: str, value: float = 1.0) -> None:
        """Begin one of FAULTS, or end it with ``value`` 0; ValueError for another name."""
        if fault == "packet_loss":
            self.losses = Losses(min(1.0, value)) if value > 0 else None
        elif fault == "silence":
            self.silent = value != 0
        elif fault == "clock_jump":
            self.clock_offset_ns = round(value * 1e9)
        else:
            raise ValueError(f"detector stream: no fault {fault!r}; it has {', '.join(self.FAULTS)}")
