"""The device's end of a TCP connection: one lane at a time, the newest one."""

from __future__ import annotations

import socket
from collections.abc import Callable


class TcpPort:
    """Listens on ``host:port``. ``connected`` is called when a lane connects, before its bytes are read.

    Raises OSError naming the address when it cannot listen. ``port`` 0: the system chooses, see :attr:`port`.
    """

    def __init__(self, host: str, port: int, connected: Callable[[], None]) -> None:
        self._connected = connected
        self._peer: socket.socket | None = None
        self._backlog = b""
        try:
            self._listener = socket.create_server((host, port), family=_family(host), backlog=4)
        except OSError as error:
            raise OSError(
                error.errno, f"cannot listen on {host}:{port} ({error.strerror}); is another emulated scanner running?"
            ) from error
        self._listener.setblocking(False)
        self.port: int = self._listener.getsockname()[1]

    @property
    def fds(self) -> tuple[int, ...]:
        """What to wait on."""
        peer = () if self._peer is None else (self._peer.fileno(),)
        return (self._listener.fileno(), *peer)

    def read(self) -> bytes:
        """What the lane has sent, b'' when nothing; takes new connections first."""
        self._accept()
        if self._peer is None:
            return b""
        try:
            data = self._peer.recv(4096)
        except BlockingIOError:
            return b""
        except OSError:
            data = b""
        if not data:
            self._hang_up()
        return data

    def write(self, data: bytes) -> None:
        """Send as much as the line takes and keep the rest; lost when nobody is connected."""
        if self._peer is None:
            return
        self._backlog += data
        if not self._backlog:
            return
        try:
            self._backlog = self._backlog[self._peer.send(self._backlog) :]
        except BlockingIOError:
            return
        except OSError:
            self._hang_up()

    def close(self) -> None:
        """Close the connection and the port."""
        self._hang_up()
        self._listener.close()

    def _accept(self) -> None:
        try:
            peer, _ = self._listener.accept()
        except (BlockingIOError, ConnectionError):
            return
        self._hang_up()
        peer.setblocking(False)
        self._peer = peer
        self._connected()

    def _hang_up(self) -> None:
        self._backlog = b""
        if self._peer is not None:
            self._peer.close()
            self._peer = None


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET
