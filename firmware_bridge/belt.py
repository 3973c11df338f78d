"""Driver of the belt and interlock controller on its serial port."""

from __future__ import annotations

import logging
import secrets
import time
from collections import deque
from pathlib import Path
from types import TracebackType
from typing import Final

from firmware_bridge import belt_packets as wire
from firmware_bridge.belt_events import BeltEvent, EventOrder
from firmware_bridge.belt_packets import Kind, Light, Packet
from firmware_bridge.serial_link import LinkError, SerialLink

__all__ = [
    "BeltController",
    "BeltError",
    "BeltEvent",
    "BeltRefused",
    "BeltSilentError",
    "BeltVersionError",
    "Light",
    "LinkError",
]

_LOG = logging.getLogger(__name__)
#: A command is sent this often before the controller counts as dead, with this pause between.
ATTEMPTS: Final = 4
ANSWER_S: Final = 0.5
#: Reads per look at the port: a babbling device cannot hold the caller.
MAX_READS: Final = 16
#: This driver, in the packets it sends.
_DRIVER_VERSION: Final = (0, 2)


class BeltError(RuntimeError):
    """The belt controller does not answer as it should."""


class BeltSilentError(BeltError):
    """The controller was there and says nothing any more; the text says for how long."""


class BeltVersionError(BeltError):
    """Driver and controller speak different protocols; the text names both versions."""


class BeltRefused(BeltError):  # noqa: N818 - a refusal is not a fault
    """The controller refused a command; the text is its reason."""


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
        # Not 0: what the controller still answers to the program before this one shall match no command of ours.
        self._command_seq = secrets.randbits(31)
        self._order = EventOrder()
        self._heard_s = time.monotonic()
        self._replies: deque[Packet] = deque(maxlen=MAX_READS)
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
            self._order.forget()
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

    @property
    def silent_s(self) -> float:
        """Seconds since a packet of the controller was read; its encoder reports come every ENCODER_PERIOD_S."""
        return time.monotonic() - self._heard_s

    def poll(self) -> list[BeltEvent]:
        """Acknowledge the events returned last; return the new ones in order, each once. Never waits.

        :class:`BeltSilentError` when the controller has been mute for SILENCE_S: close it, and open it again later.
        """
        self._acknowledge()
        self._receive(0.0)
        if self.silent_s > wire.SILENCE_S:
            raise BeltSilentError(
                f"belt controller at {self._link.path} has said nothing for {self.silent_s:.1f} s, and should report "
                f"every {wire.ENCODER_PERIOD_S} s ({self.corrupt_packets} corrupt packets so far); does its firmware "
                "hang, or is the line disturbed? Power it off and on if it stays silent"
            )
        return self._order.hand_out()

    def start_belt(self) -> None:
        """Start the belt; :class:`BeltRefused` while the interlock is open or the emergency stop is in force."""
        self._command(Kind.START)

    def stop_belt(self) -> None:
        """Stop the belt."""
        self._command(Kind.STOP)

    def clear_line(self, encoder_from: int, encoder_to: int) -> None:
        """Energise the clear line while the encoder is in [from, to): one bag's passage of the diverter.

        :class:`BeltRefused` when the window is empty, past, longer than a bag, or touches another bag's window, while
        the interlock is open or the emergency stop in force, and when the controller has restarted since the last
        :meth:`poll`: the counts are those of its earlier life.
        """
        self._command(Kind.CLEAR_LINE, self._order.told_boot, encoder_from, encoder_to)

    def reset_estop(self) -> None:
        """Take back an emergency stop whose button is out again, and start nothing.

        :class:`BeltRefused` while the button is in.
        """
        self._command(Kind.RESET_ESTOP)

    def set_lights(self, red: bool, amber: bool, green: bool) -> None:
        """Lamps of the stack light; the controller itself shows red, and no green, when something is wrong."""
        self._command(Kind.SET_LIGHTS, Light.RED * red | Light.AMBER * amber | Light.GREEN * green)

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
        if kind is Kind.HELLO and self._decoder.old > 1:
            raise BeltVersionError(
                f"belt controller at {self._link.path} speaks protocol 1 (CRC-16); this driver needs protocol "
                f"{wire.PROTOCOL}: update the controller's firmware to {_dotted(wire.OLDEST_FIRMWARE)} or later"
            )
        raise BeltError(
            f"belt controller at {self._link.path} did not answer {kind.name} after {ATTEMPTS} attempts; "
            "is it powered, and is this its port?"
        )

    def _send(self, kind: Kind, seq: int, *values: int) -> None:
        self._link.write(wire.encode(Packet(kind, seq, self._boot, values, wire.PROTOCOL, _DRIVER_VERSION)))

    def _acknowledge(self) -> None:
        seq = self._order.acknowledge()
        if seq is not None:
            self._send(Kind.ACK, seq, self._order.boot)

    def _receive(self, timeout_s: float) -> None:
        for _ in range(MAX_READS):
            data = self._link.read(timeout_s)
            if not data:
                return
            timeout_s = 0.0
            for packet in self._decoder.feed(data):
                self._check_version(packet)
                self._heard_s = time.monotonic()
                self._take(packet)

    def _check_version(self, packet: Packet) -> None:
        if packet.protocol != wire.PROTOCOL or packet.firmware < wire.OLDEST_FIRMWARE:
            raise BeltVersionError(
                f"belt controller at {self._link.path}: firmware {_dotted(packet.firmware)} speaks "
                f"protocol {packet.protocol}; this driver needs protocol {wire.PROTOCOL} and firmware "
                f"{_dotted(wire.OLDEST_FIRMWARE)} or later; update the older of the two"
            )

    def _take(self, packet: Packet) -> None:
        kind = Kind(packet.kind)
        if kind is Kind.WELCOME and packet.seq == self._command_seq:
            self._order.begin(packet.boot, int(packet.values[0]))
        if kind in (Kind.WELCOME, Kind.REPLY):
            self._replies.append(packet)
        elif (kind in wire.EVENTS or kind is Kind.ENCODER) and self._order.take(packet):
            self._send(Kind.ACK, self._order.acknowledged, self._order.boot)


def _dotted(version: tuple[int, int]) -> str:
    return f"{version[0]}.{version[1]}"
