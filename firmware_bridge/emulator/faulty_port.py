"""A line on which things go wrong: pulled out, noisy, or cutting what it carries."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Final, Protocol

import numpy as np

#: Longest run of random bytes that the line adds at a time.
NOISE_BYTES: Final = 32


class Port(Protocol):
    """The device's end of a line: a pseudo-terminal or a TCP port."""

    @property
    def fds(self) -> tuple[int, ...]:
        """What to wait on."""

    def read(self) -> bytes:
        """What a driver has sent, b'' when nothing."""

    def write(self, data: bytes) -> None:
        """Send, or keep what the line does not take yet."""

    def close(self) -> None:
        """Close the line."""


class FaultyPort:
    """A line with faults of its own, reproducible by ``seed``. ``plug`` makes the port, and makes it anew.

    ``unplug``: the port vanishes until the fault is healed; a new one comes back, as after a re-plug.
    ``garbage``: this fraction of writes and reads is mixed with up to NOISE_BYTES random bytes before and behind.
    ``half_packets``: of this fraction of writes only the first half is sent.
    """

    FAULTS: ClassVar[tuple[str, ...]] = ("unplug", "garbage", "half_packets")

    def __init__(self, plug: Callable[[], Port], seed: int = 0) -> None:
        self._plug = plug
        self._random = np.random.default_rng(seed)
        self._values = dict.fromkeys(self.FAULTS, 0.0)
        self._port: Port | None = plug()

    @property
    def fds(self) -> tuple[int, ...]:
        """What to wait on; nothing while unplugged."""
        return () if self._port is None else self._port.fds

    def inject(self, fault: str, value: float = 1.0) -> None:
        """Begin one of FAULTS, or end it with ``value`` 0; ValueError for another name."""
        if fault not in self._values:
            raise ValueError(f"a line has no fault {fault!r}; it has {', '.join(self.FAULTS)}")
        self._values[fault] = value
        if fault != "unplug":
            return
        if value:
            self.close()
        elif self._port is None:
            self._port = self._plug()

    def read(self) -> bytes:
        """What a driver has sent, as it arrives."""
        data = b"" if self._port is None else self._port.read()
        return self._noisy(data) if data else data

    def write(self, data: bytes) -> None:
        """Send ``data`` as far as the line lets it through; lost while unplugged."""
        if self._port is None:
            return
        if data and self._hit("half_packets"):
            data = data[: len(data) // 2]
        self._port.write(self._noisy(data) if data else data)

    def close(self) -> None:
        """Close the line."""
        if self._port is not None:
            self._port.close()
            self._port = None

    def _hit(self, fault: str) -> bool:
        value = self._values[fault]
        return value > 0 and float(self._random.random()) < value

    def _noisy(self, data: bytes) -> bytes:
        if not self._hit("garbage"):
            return data
        before, behind = (self._random.bytes(int(n)) for n in self._random.integers(0, NOISE_BYTES + 1, 2))
        return before + data + behind
