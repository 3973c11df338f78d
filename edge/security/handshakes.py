"""Watches the handshakes of one socket: those that fail before ZAP is asked are seen only by its monitor."""

from __future__ import annotations

import os
import socket
from typing import Final

import zmq
from zmq.utils.monitor import parse_monitor_message

from edge.security.refusals import Refusals

_EVENTS: Final = (
    zmq.EVENT_ACCEPTED
    | zmq.EVENT_HANDSHAKE_SUCCEEDED
    | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
    | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
    | zmq.EVENT_HANDSHAKE_FAILED_AUTH
    | zmq.EVENT_DISCONNECTED
)
#: Error codes of ZeroMQ (zmq.h) that have a plain meaning here: word of the counter, words for people.
_CODES: Final = {
    0x11000001: ("wrong_server_key", "it has not the key of this box"),
    0x11000002: ("no_key", "no CURVE: plain text, or another mechanism"),
}
PER_CALL: Final = 200


class Handshakes:
    """Reads the monitor of ``watched``. ZeroMQ gives no addresses: they are looked up while the connection lives."""

    def __init__(self, watched: zmq.Socket[bytes], refusals: Refusals) -> None:
        self._watched = watched
        self._refusals = refusals
        self._succeeded = 0
        self._failed = False
        #: By file descriptor: address, and how many handshakes had succeeded when it came.
        self._peers: dict[int, tuple[str, int]] = {}
        self._pending: tuple[str, str] | None = None
        address = f"inproc://handshakes-{id(watched)}"
        watched.monitor(address, _EVENTS)
        self.socket = watched.context.socket(zmq.PAIR)
        self.socket.linger = 0
        # ZeroMQ's own thread must never wait for us.
        self.socket.rcvhwm = 0
        self.socket.connect(address)

    def read(self) -> None:
        """Take what happened, a bounded number of events."""
        for _ in range(PER_CALL):
            try:
                event = parse_monitor_message(self.socket.recv_multipart(zmq.NOBLOCK))
            except zmq.Again:
                return
            self._happened(int(event["event"]), int(event["value"]))

    def _happened(self, event: int, value: int) -> None:
        """ZeroMQ's one network thread says "failed", and next "disconnected" with the descriptor."""
        if event == zmq.EVENT_ACCEPTED:
            self._peers[value] = (_address(value), self._succeeded)
        elif event == zmq.EVENT_HANDSHAKE_SUCCEEDED:
            self._succeeded += 1
        elif event == zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL:
            code = value & 0xFFFFFFFF
            self._pending = _CODES.get(code, ("protocol", f"not the CURVE protocol (code {code:#x})"))
        elif event == zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL:
            self._pending = ("gave_up", f"it ended the handshake, or took too long ({os.strerror(value)})")
        elif event == zmq.EVENT_HANDSHAKE_FAILED_AUTH:
            # Counted where it was decided.
            self._failed = True
        elif event == zmq.EVENT_DISCONNECTED:
            self._gone(value)

    def _gone(self, descriptor: int) -> None:
        address, before = self._peers.pop(descriptor, ("", -1))
        if self._pending is not None:
            self._refusals(self._pending[0], address, self._pending[1])
        elif not self._failed and before == self._succeeded:
            # No handshake succeeded since it came, and none failed: it never spoke ZeroMQ's protocol.
            self._refusals("not_zeromq", address, "it does not speak ZeroMQ's protocol")
        self._pending, self._failed = None, False

    def close(self) -> None:
        """Stop watching."""
        self._watched.disable_monitor()
        self.socket.close(0)


def _address(descriptor: int) -> str:
    """Of the peer behind a descriptor of ZeroMQ's; empty when the connection has ended meanwhile."""
    try:
        with socket.socket(fileno=os.dup(descriptor)) as copy:
            peer = copy.getpeername()
            return str(peer[0])
    except (OSError, IndexError, TypeError):
        return ""
