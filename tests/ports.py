"""Free ports for tests."""

from __future__ import annotations

import socket


def free_port(kind: socket.SocketKind = socket.SOCK_DGRAM) -> int:
    """A UDP or TCP port of loopback that nobody uses now.

    Not asked for with a ZeroMQ socket: that is closed a while later, and takes the handshake of who connects meanwhile.
    After a handshake of kinds that do not fit ZeroMQ never tries again.
    """
    with socket.socket(socket.AF_INET, kind) as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])
