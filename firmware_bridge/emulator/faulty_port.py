"""A serial line on which things go wrong: pulled out, noisy, or cutting what it carries."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Final

import numpy as np

from firmware_bridge.emulator.pty_port import PtyPort

#: Longest run of random bytes that the line adds at a time.
NOISE_BYTES: Final = 32


class FaultyPort:
    """A :class:`~firmware_bridge.emulator.pty_port.PtyPort` with faults of the line itself, reproducible by ``seed``.

    ``unplug``: the device node and its link vanish until the fault is healed; a new node comes back, as after
    a re-plug.
    ``garbage``: this fraction of writes and reads is mixed with up to NOISE_BYTES random bytes before and behind.
    ``half_packets``: of this fraction of writes only the first half is sent.
    """

    FAULTS: ClassVar[tuple[str, ...]] = ("unplug", "garbage", "half_packets")

    def __init__(self, link: Path, seed: int = 0) -> None:
        self.link = link
        self._random = np.random.default_rng([seed, sum(link.name.encode())])
        self._values = dict.fromkeys(self.FAULTS, 0.0)
        self._port: PtyPort | None = PtyPort(link)

    @property
    def fd(self) -> int | None:
        """Descriptor to poll; None while unplugged. Changes when the line is plugged in again."""
        return None if self._port is None else self._port.fd

    def inject(self, fault: str, value: float = 1.0) -> None:
        """Begin one of FAULTS, or end it with ``value`` 0; ValueError for another name."""
        if fault not in self._values:
            raise ValueError(f"line {self.link.name}: no fault {fault!r}; it has {', '.join(self.FAULTS)}")
        self._values[fault] = value
        if fault != "unplug":
            return
        if value and self._port is not None:
            self._port.close()
            self._port = None
        elif not value and self._port is None:
            self._port = PtyPort(self.link)

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
        """Close the line and remove its link."""
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
