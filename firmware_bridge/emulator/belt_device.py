"""The belt and interlock controller as its firmware sees the world: bytes in, bytes out, time given from outside."""

from __future__ import annotations

import secrets
from collections import deque
from dataclasses import dataclass
from typing import Final

from firmware_bridge import belt_packets as wire
from firmware_bridge.belt_packets import Kind, Packet

FIRMWARE: Final = (1, 0)
NAME: Final = "Darklane emulated belt controller"
#: Events kept for a lane that does not acknowledge; the oldest goes first, and its gap in seq shows it.
MAX_EVENTS: Final = 256
#: Clear-line windows waiting for their bag to reach the diverter.
MAX_WINDOWS: Final = 16


@dataclass
class BeltDevice:
    """State of the controller. Call :meth:`step` often with the bytes received; it returns the bytes to send."""

    encoder_um: float
    protocol: int = wire.PROTOCOL
    firmware: tuple[int, int] = FIRMWARE

    def __post_init__(self) -> None:
        self.encoder = 0
        self.moving = False
        self.interlock_closed = True
        self.clear_line = False
        self.decoder = wire.Decoder()
        self._boot = secrets.randbits(32)
        self._next_seq = 1
        self._events: deque[Packet] = deque(maxlen=MAX_EVENTS)
        self._sent = 0
        self._repeat_at = 0.0
        self._report_at = 0.0
        self._heard_at: float | None = None
        self._windows: list[tuple[int, int]] = []
        self._last_command: tuple[int, int] | None = None
        self._last_reply = b""

    def bag_entry(self, encoder: int, tag: str) -> None:
        """The entry light barrier was broken when the encoder stood at ``encoder``."""
        self._event(Kind.BAG_ENTRY, encoder, tag)

    def bag_exit(self, encoder: int) -> None:
        """The entry light barrier became free again."""
        self._event(Kind.BAG_EXIT, encoder)

    def set_interlock(self, closed: bool) -> None:
        """A door of the cabinet moved: open stops the belt and takes back every clear-line window."""
        if closed != self.interlock_closed:
            self.interlock_closed = closed
            if not closed:
                self.moving = False
                self._windows.clear()
            self._event(Kind.INTERLOCK, self.encoder, closed)

    def step(self, received: bytes, now_s: float) -> bytes:
        """Handle ``received`` at time ``now_s`` (any monotonic clock); returns what to send."""
        out = b""
        for packet in self.decoder.feed(received):
            out += self._handle(packet, now_s)
        if self._heard_at is None or now_s - self._heard_at > wire.HEARTBEAT_TIMEOUT_S:
            self._windows.clear()
        self._windows = [window for window in self._windows if window[1] > self.encoder]
        self.clear_line = any(start <= self.encoder < stop for start, stop in self._windows)
        return out + self._due(now_s)

    def _event(self, kind: Kind, *values: int | bool | str) -> None:
        if len(self._events) == MAX_EVENTS:
            self._sent = max(0, self._sent - 1)
        self._events.append(self._packet(kind, self._next_seq, *values))
        self._next_seq += 1

    def _packet(self, kind: Kind, seq: int, *values: int | bool | str) -> Packet:
        return Packet(kind, seq, self._boot, values, self.protocol, self.firmware)

    def _handle(self, packet: Packet, now_s: float) -> bytes:
        if packet.protocol != wire.PROTOCOL:
            # A welcome in our own protocol tells the other side which version it meets.
            return wire.encode(self._packet(Kind.WELCOME, packet.seq, self._oldest, NAME))
        self._heard_at = now_s
        if packet.kind == Kind.HELLO:
            self._sent, self._repeat_at, self._last_command = 0, now_s, None
            return wire.encode(self._packet(Kind.WELCOME, packet.seq, self._oldest, NAME))
        if packet.kind == Kind.ACK:
            while packet.values[0] == self._boot and self._events and self._events[0].seq <= packet.seq:
                self._events.popleft()
                self._sent = max(0, self._sent - 1)
            return b""
        if packet.kind not in (Kind.START, Kind.STOP, Kind.CLEAR_LINE):
            return b""
        if (packet.boot, packet.seq) != self._last_command:
            reason = self._carry_out(packet)
            self._last_command = (packet.boot, packet.seq)
            self._last_reply = wire.encode(self._packet(Kind.REPLY, packet.seq, not reason, reason))
        return self._last_reply

    @property
    def _oldest(self) -> int:
        return self._events[0].seq if self._events else self._next_seq

    def _carry_out(self, packet: Packet) -> str:
        """Do what a command says; returns why not, or an empty text."""
        if packet.kind == Kind.STOP:
            self.moving = False
            return ""
        if not self.interlock_closed:
            return "interlock open"
        if packet.kind == Kind.START:
            self.moving = True
            return ""
        return self._add_window(*(int(value) for value in packet.values))

    def _add_window(self, start: int, stop: int) -> str:
        length_um = (stop - start) * self.encoder_um
        wrong = {
            "window is empty": not start < stop,
            "window is past": stop <= self.encoder,
            f"window is longer than {wire.MAX_CLEAR_UM / 1e3:.0f} mm": length_um > wire.MAX_CLEAR_UM,
            "window overlaps that of another bag": any(start < end and begin < stop for begin, end in self._windows),
            f"{MAX_WINDOWS} windows are waiting already": len(self._windows) >= MAX_WINDOWS,
        }
        reasons = [reason for reason, applies in wrong.items() if applies]
        if not reasons:
            self._windows.append((start, stop))
        return "; ".join(reasons)

    def _due(self, now_s: float) -> bytes:
        out = b""
        if now_s >= self._repeat_at:
            self._sent = 0
            self._repeat_at = now_s + wire.REPEAT_S
        while self._sent < min(len(self._events), wire.WINDOW):
            out += wire.encode(self._events[self._sent])
            self._sent += 1
        if now_s >= self._report_at:
            self._report_at = now_s + wire.ENCODER_PERIOD_S
            values = (self.encoder, self.moving, self.clear_line, self.interlock_closed, self._oldest)
            out += wire.encode(self._packet(Kind.ENCODER, self._next_seq - 1, *values))
        return out
