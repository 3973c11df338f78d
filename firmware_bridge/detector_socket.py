"""The UDP socket of the detector stream: bound here, or bound by systemd and passed on."""

from __future__ import annotations

import os
import socket
from typing import Final

#: First descriptor that a service manager passes (sd_listen_fds(3)).
FIRST_PASSED_FD: Final = 3
#: More small packets than any buffer holds: a stream that does not pause must not keep the driver here for ever.
MAX_BACKLOG: Final = 200_000


def bound_socket(host: str, port: int) -> socket.socket:
    """A new UDP socket on ``host:port``; ValueError says why it cannot be had."""
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
    try:
        sock.bind((host, port))
    except OSError as error:
        sock.close()
        raise ValueError(
            f"cannot listen on {host}:{port} ({error.strerror or error}); is another readout running?"
        ) from error
    return sock


def passed_socket(name: str) -> socket.socket | None:
    """The socket called ``name`` (``FileDescriptorName=``) that systemd opened for this process; None without one.

    The protocol of sd_listen_fds(3): descriptors from 3 on, their number in LISTEN_FDS, for the process LISTEN_PID.
    """
    if os.environ.get("LISTEN_PID") != str(os.getpid()):
        return None
    names = os.environ.get("LISTEN_FDNAMES", "").split(":")
    count = os.environ.get("LISTEN_FDS", "")
    if name not in names or not count.isascii() or not count.isdigit() or names.index(name) >= int(count):
        return None
    descriptor = FIRST_PASSED_FD + names.index(name)
    os.set_inheritable(descriptor, False)
    return socket.socket(fileno=descriptor)


def checked(passed: socket.socket, port: int) -> socket.socket:
    """``passed`` when it is UDP on ``port`` (0: on any port); otherwise ValueError, and it is closed."""
    if passed.type != socket.SOCK_DGRAM or passed.family not in (socket.AF_INET, socket.AF_INET6):
        kind = f"{passed.family.name} {passed.type.name}"
        passed.close()
        raise ValueError(f"darklane-readout.socket passed a {kind} socket; it must be UDP (ListenDatagram=)")
    bound = passed.getsockname()[1]
    if port not in (0, bound):
        passed.close()
        raise ValueError(
            f"darklane-readout.socket listens on port {bound}, the configuration says [detector] port = {port}; "
            "make ListenDatagram= and the configuration the same"
        )
    return passed


def drop_backlog(sock: socket.socket) -> int:
    """Throw away what waits in ``sock``; returns how many packets that were.

    For a socket whose buffer ran over while nobody read it: what it holds ends in a gap, and is old.
    """
    # One byte of each is enough; the kernel throws the rest of a packet away.
    byte = bytearray(1)
    sock.setblocking(False)
    try:
        for dropped in range(MAX_BACKLOG):
            try:
                sock.recv_into(byte)
            except BlockingIOError:
                return dropped
    finally:
        sock.setblocking(True)
    return MAX_BACKLOG
