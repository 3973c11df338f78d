"""The belt and interlock controller as its firmware sees the world: bytes in, bytes out, time given from outside.

It implements docs/reference/belt-protocol.md; what moves and what is energised is in belt_machine.py.
"""

from __future__ import annotations

import secrets
from collections import deque
from dataclasses import dataclass
from typing import ClassVar, Final

from firmware_bridge import belt_packets as wire
from firmware_bridge.belt_packets import Kind, Light, Packet
from firmware_bridge.emulator.belt_machine import BeltMachine

FIRMWARE: Final = (2, 0)
NAME: Final = "Darklane emulated belt controller"
#: Events kept for a lane that does not acknowledge; the oldest goes first, and its gap in seq shows it.
MAX_EVENTS: Final = 256


@dataclass
class BeltDevice:
    """State of the controller. Call :meth:`step` often with the bytes received; it returns the bytes to send."""

    encoder_um: float
    protocol: int = wire.PROTOCOL
    firmware: tuple[int, int] = FIRMWARE

    #: What :meth:`inject` takes.
    FAULTS: ClassVar[tuple[str, ...]] = ("interlock", "estop", "encoder_slip", "reboot", "mute")

    def __post_init__(self) -> None:
        self.machine = BeltMachine(self.encoder_um)
        self._mute = False
        # Encoder: what the belt has really travelled, what the wheel did not see of it, and where counting began.
        self._true = 0
        self._slip = 0.0
        self._unseen = 0.0
        self._start()

    def _start(self) -> None:
        """Power comes on: everything that the page calls volatile is new."""
        self.decoder = wire.Decoder()
        self.boot = secrets.randbits(32)
        self._now_us = 0
        self._zero_s: float | None = None
        self._next_seq = 1
        self._events: deque[Packet] = deque(maxlen=MAX_EVENTS)
        self._sent = 0
        self._repeat_at = 0.0
        self._report_at = 0.0
        self._lane: int | None = None
        self._last_command: tuple[int, int] = (0, -1)
        self._last_reply = b""

    @property
    def encoder(self) -> int:
        """What the encoder reads. Set it to the belt's true travel in counts: slip and restarts are taken off."""
        return self._reading(self._true)

    @encoder.setter
    def encoder(self, true: int) -> None:
        self._unseen += (true - self._true) * self._slip
        self._true = true

    @property
    def moving(self) -> bool:
        """True while the belt runs."""
        return self.machine.moving

    @property
    def unheard(self) -> bool:
        """True while a lane that has connected has not acknowledged every event."""
        return self._lane is not None and bool(self._events)

    @property
    def interlock_closed(self) -> bool:
        """True while every door of the cabinet is closed."""
        return self.machine.interlock_closed

    @property
    def estop_latched(self) -> bool:
        """True from the push of the button until RESET_ESTOP."""
        return self.machine.latched

    @property
    def beam_permitted(self) -> bool:
        """The safety contact towards the x-ray tube: closed while the doors are, and no emergency stop is in force."""
        return self.machine.safe

    @property
    def clear_line(self) -> bool:
        """True while the clear line is energised."""
        return self.machine.clear_line

    @property
    def lights(self) -> Light:
        """Lamps that are lit."""
        return self.machine.lights

    def bag_entry(self, encoder: int, tag: str) -> None:
        """The entry light barrier was broken when the belt had travelled ``encoder`` counts."""
        self._event(Kind.BAG_ENTRY, self._reading(encoder), tag.encode()[: wire.MAX_TAG].decode(errors="ignore"))

    def bag_exit(self, encoder: int) -> None:
        """The entry light barrier became free again."""
        self._event(Kind.BAG_EXIT, self._reading(encoder))

    def set_interlock(self, closed: bool) -> None:
        """A door of the cabinet moved: open stops the belt and takes back every clear-line window."""
        if self.machine.set_interlock(closed):
            self._event(Kind.INTERLOCK, self.encoder, closed)

    def set_estop(self, pressed: bool) -> None:
        """The button went in (the stop is latched) or came out (it stays latched until it is reset)."""
        if self.machine.set_estop(pressed):
            self._report_estop()

    def inject(self, fault: str, value: float = 1.0) -> None:
        """Bring about ``fault``; ``value`` 0 heals it. ValueError names the faults there are.

        ``interlock``: a door is open. ``estop``: the button is in; healed, it is out, and the stop waits for its
        reset. ``encoder_slip``: share of the belt's travel that the encoder does not see (1: it stands; above 1: it
        runs backwards); healed, it counts on from where it is. ``reboot``: the controller starts again, once.
        ``mute``: it sends nothing, and does all the rest.
        """
        if fault not in self.FAULTS:
            raise ValueError(f"belt controller has no fault {fault!r}; it has {', '.join(self.FAULTS)}")
        if fault == "interlock":
            self.set_interlock(not value)
        elif fault == "estop":
            self.set_estop(bool(value))
        elif fault == "encoder_slip":
            self._slip = value
        elif fault == "mute":
            self._mute = bool(value)
        elif value:
            self._reboot()

    def step(self, received: bytes, now_s: float) -> bytes:
        """Handle ``received`` at time ``now_s`` (any monotonic clock); returns what to send."""
        if self._zero_s is None:
            self._zero_s = now_s
        self._now_us = max(self._now_us, round((now_s - self._zero_s) * 1e6))
        out = b""
        for packet in self.decoder.feed(received):
            out += self._handle(packet, now_s)
        self.machine.step(self.encoder, now_s)
        out += self._due(now_s)
        return b"" if self._mute else out

    def _reading(self, true: int) -> int:
        return true - round(self._unseen)

    def _reboot(self) -> None:
        self._unseen = float(self._true)
        self.machine.power_on()
        self._start()
        # A lane that only listens to events must not take the doors for closed.
        if not self.machine.interlock_closed:
            self._event(Kind.INTERLOCK, self.encoder, False)
        if self.machine.latched:
            self._report_estop()

    def _report_estop(self) -> None:
        self._event(Kind.ESTOP, self.encoder, self.machine.pressed, self.machine.latched)

    def _event(self, kind: Kind, *values: int | bool | str) -> None:
        if len(self._events) == MAX_EVENTS:
            self._sent = max(0, self._sent - 1)
        self._events.append(self._packet(kind, self._next_seq, self._now_us, *values))
        self._next_seq += 1

    def _packet(self, kind: Kind, seq: int, *values: int | bool | str) -> Packet:
        return Packet(kind, seq, self.boot, values, self.protocol, self.firmware)

    def _handle(self, packet: Packet, now_s: float) -> bytes:
        if packet.protocol != wire.PROTOCOL:
            # A welcome in our own protocol tells the other side which version it meets.
            return wire.encode(self._packet(Kind.WELCOME, packet.seq, self._oldest, NAME))
        if packet.kind == Kind.HELLO:
            self._sent, self._repeat_at = 0, now_s
            if packet.boot != self._lane:
                self._lane = packet.boot
                self.machine.drop_windows()
            self.machine.heard(now_s)
            return wire.encode(self._packet(Kind.WELCOME, packet.seq, self._oldest, NAME))
        if packet.kind in (Kind.ACK, Kind.HEARTBEAT) or packet.kind in wire.COMMANDS:
            self.machine.heard(now_s)
        if packet.kind == Kind.ACK:
            while packet.values[0] == self.boot and self._events and self._events[0].seq <= packet.seq:
                self._events.popleft()
                self._sent = max(0, self._sent - 1)
        if packet.kind in wire.COMMANDS:
            return self._command(packet)
        return b""

    def _command(self, packet: Packet) -> bytes:
        lane, last = self._last_command
        if packet.boot == lane and packet.seq < last:
            return b""  # A copy from the past: what came after it holds.
        if (packet.boot, packet.seq) != (lane, last):
            was_latched = self.machine.latched
            reason = self._carry_out(packet)
            self._last_command = (packet.boot, packet.seq)
            self._last_reply = wire.encode(self._packet(Kind.REPLY, packet.seq, not reason, reason))
            if was_latched and not self.machine.latched:
                self._report_estop()
        return self._last_reply

    def _carry_out(self, packet: Packet) -> str:
        values = [int(value) for value in packet.values]
        if packet.kind == Kind.CLEAR_LINE and values[0] != self.boot:
            return "window counts from before a restart"
        return self.machine.carry_out(Kind(packet.kind), values, self.encoder)

    @property
    def _oldest(self) -> int:
        return self._events[0].seq if self._events else self._next_seq

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
            state = self.machine
            values = (
                state.moving,
                state.clear_line,
                state.interlock_closed,
                state.pressed,
                state.latched,
                state.lights,
            )
            report = self._packet(Kind.ENCODER, self._next_seq - 1, self._now_us, self.encoder, *values, self._oldest)
            out += wire.encode(report)
        return out
