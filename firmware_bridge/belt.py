"""Driver of the belt and interlock controller on its serial port."""

from __future__ import annotations

import logging
import secrets
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Literal

from firmware_bridge import belt_packets as wire
from firmware_bridge.belt_packets import Kind, Packet
from firmware_bridge.serial_link import LinkError, SerialLink

__all__ = ["BeltController", "BeltError", "BeltEvent", "BeltRefused", "BeltVersionError", "LinkError"]

_LOG = logging.getLogger(__name__)
EventKind = Literal["bag_entry", "bag_exit", "interlock", "encoder"]
#: A command is sent this often before the controller counts as dead, with this pause between.
ATTEMPTS: Final = 4
ANSWER_S: Final = 0.5
#: Reads per look at the port: a babbling device cannot hold the caller.
MAX_READS: Final = 16
#: This driver, in the packets it sends.
_DRIVER_VERSION: Final = (0, 1)


class BeltError(RuntimeError):
    """The belt controller does not answer as it should."""


class BeltVersionError(BeltError):
    """Driver and controller speak different protocols; the text names both versions."""


class BeltRefused(BeltError):  # noqa: N818 - a refusal is not a fault
    """The controller refused a command; the text is its reason."""


@dataclass(frozen=True)
class BeltEvent:
    """Something that happened at the belt.

    ``seq`` counts bag and interlock events without a gap within one ``boot`` of the controller; an encoder report has
    the seq of the last event before it. ``closed``: interlock events and encoder reports. ``moving``, ``clear_line``:
    encoder reports only.
    """

    kind: EventKind
    seq: int
    encoder: int
    boot: int
    tag: str = ""
    closed: bool | None = None
    moving: bool | None = None
    clear_line: bool | None = None


class BeltController:
    """The belt controller at ``path``. Opening it checks the versions of both sides.

    Events are acknowledged by the *next* :meth:`poll` after the one that returned them (or by :meth:`close`): a
    program that dies while it handles an event gets it again when it comes back. After a restart events may
    therefore repeat, with the same ``boot`` and ``seq``.
    """

    def __init__(self, path: Path) -> None:
        self._link = SerialLink(path, "belt controller")
        self._decoder = wire.Decoder()
        self._boot = secrets.randbits(32)
        self._command_seq = 0
        self._controller_boot = 0
        self._expected: int | None = None
        self._handed_out: int | None = None
        self._acknowledged = 0
        self._events: deque[BeltEvent] = deque()
        self._replies: deque[Packet] = deque()
        self.firmware = (0, 0)
        self.name = ""
        try:
            welcome = self._ask(Kind.HELLO)
            self.firmware, self.name = welcome.firmware, str(welcome.values[1])
        except BaseException:
            self._link.close()
            raise
        _LOG.info("belt controller at %s: %s, firmware %d.%d", path, self.name, *self.firmware)

    def __enter__(self) -> BeltController:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self._handed_out = None
        self.close()

    def close(self) -> None:
        """Acknowledge what :meth:`poll` returned last, and give the port back."""
        try:
            self._acknowledge()
        except LinkError as error:
            _LOG.info("while closing: %s", error)
        finally:
            self._link.close()

    def fileno(self) -> int:
        """Readable when :meth:`poll` has something to look at."""
        return self._link.fileno()

    @property
    def corrupt_packets(self) -> int:
        """Packets that failed a check; the controller repeats what mattered."""
        return self._decoder.corrupt

    def poll(self) -> list[BeltEvent]:
        """Acknowledge the events returned last; return the new ones in order, each once. Never waits."""
        self._acknowledge()
        self._receive(0.0)
        events = list(self._events)
        self._events.clear()
        numbered = [event.seq for event in events if event.kind != "encoder"]
        self._handed_out = numbered[-1] if numbered else None
        return events

    def start_belt(self) -> None:
        """Start the belt; :class:`BeltRefused` while the interlock is open."""
        self._command(Kind.START)

    def stop_belt(self) -> None:
        """Stop the belt."""
        self._command(Kind.STOP)

    def clear_line(self, encoder_from: int, encoder_to: int) -> None:
        """Energise the clear line while the encoder is in [from, to): one bag's passage of the diverter.

        :class:`BeltRefused` when the window is empty, past, longer than a bag, or touches another bag's window.
        """
        self._command(Kind.CLEAR_LINE, encoder_from, encoder_to)

    def heartbeat(self) -> None:
        """Tell the controller that the lane lives; send it at least twice per HEARTBEAT_TIMEOUT_S."""
        self._send(Kind.HEARTBEAT, 0)

    def _command(self, kind: Kind, *values: int) -> None:
        accepted, reason = self._ask(kind, *values).values
        if not accepted:
            raise BeltRefused(f"belt controller refused {kind.name} {values or ''}: {reason}")

    def _ask(self, kind: Kind, *values: int) -> Packet:
        """Send a command until it is answered; a repeated command keeps its seq and is carried out once."""
        self._command_seq += 1
        for _ in range(ATTEMPTS):
            self._send(kind, self._command_seq, *values)
            deadline = time.monotonic() + ANSWER_S
            while (left := deadline - time.monotonic()) > 0:
                self._receive(left)
                while self._replies:
                    reply = self._replies.popleft()
                    if reply.seq == self._command_seq:
                        return reply
        raise BeltError(
            f"belt controller at {self._link.path} did not answer {kind.name} after {ATTEMPTS} attempts; "
            "is it powered, and is this its port?"
        )

    def _send(self, kind: Kind, seq: int, *values: int) -> None:
        self._link.write(wire.encode(Packet(kind, seq, self._boot, values, wire.PROTOCOL, _DRIVER_VERSION)))

    def _acknowledge(self) -> None:
        if self._handed_out is not None:
            self._acknowledged = self._handed_out
            self._handed_out = None
            self._send(Kind.ACK, self._acknowledged, self._controller_boot)

    def _receive(self, timeout_s: float) -> None:
        for _ in range(MAX_READS):
            data = self._link.read(timeout_s)
            if not data:
                return
            timeout_s = 0.0
            for packet in self._decoder.feed(data):
                self._check_version(packet)
                self._take(packet)

    def _check_version(self, packet: Packet) -> None:
        if packet.protocol != wire.PROTOCOL or packet.firmware < wire.OLDEST_FIRMWARE:
            raise BeltVersionError(
                f"belt controller at {self._link.path}: firmware {packet.firmware[0]}.{packet.firmware[1]} speaks "
                f"protocol {packet.protocol}; this driver needs protocol {wire.PROTOCOL} and firmware "
                f"{wire.OLDEST_FIRMWARE[0]}.{wire.OLDEST_FIRMWARE[1]} or later; update the older of the two"
            )

    def _take(self, packet: Packet) -> None:
        kind = Kind(packet.kind)
        if kind is Kind.WELCOME:
            # The controller says where its events begin that nobody has acknowledged.
            self._controller_boot, self._expected = packet.boot, int(packet.values[0])
        if kind in (Kind.WELCOME, Kind.REPLY):
            self._replies.append(packet)
        if self._expected is None or not (kind in wire.EVENTS or kind is Kind.ENCODER):
            return
        if packet.boot != self._controller_boot:
            _LOG.warning("belt controller restarted: its encoder and its events begin again")
            self._controller_boot, self._expected, self._handed_out, self._acknowledged = packet.boot, 1, None, 0
        if kind is Kind.ENCODER:
            self._events.append(_event(kind, packet))
            self._skip_dropped(int(packet.values[4]))
        elif packet.seq == self._expected:
            self._events.append(_event(kind, packet))
            self._expected += 1
        elif packet.seq <= self._acknowledged:
            # Repeated although handled: the acknowledgement got lost on the line.
            self._send(Kind.ACK, self._acknowledged, self._controller_boot)

        # A later seq means that a packet got lost on the line; the controller repeats all from the missing one.

    def _skip_dropped(self, oldest: int) -> None:
        """The controller keeps a bounded number of events: what is older than ``oldest`` will not come any more."""
        if self._expected is not None and oldest > self._expected:
            _LOG.error(
                "belt controller: events %d to %d are lost; nobody took them in time", self._expected, oldest - 1
            )
            self._expected = oldest


def _event(kind: Kind, packet: Packet) -> BeltEvent:
    encoder = int(packet.values[0])
    if kind is Kind.BAG_ENTRY:
        return BeltEvent("bag_entry", packet.seq, encoder, packet.boot, tag=str(packet.values[1]))
    if kind is Kind.BAG_EXIT:
        return BeltEvent("bag_exit", packet.seq, encoder, packet.boot)
    if kind is Kind.INTERLOCK:
        return BeltEvent("interlock", packet.seq, encoder, packet.boot, closed=bool(packet.values[1]))
    return BeltEvent(
        "encoder",
        packet.seq,
        encoder,
        packet.boot,
        moving=bool(packet.values[1]),
        clear_line=bool(packet.values[2]),
        closed=bool(packet.values[3]),
    )
