"""Linux ways to keep a receiver thread on time, each tried, and said plainly when not permitted."""

from __future__ import annotations

import logging
import os
import socket
from pathlib import Path
from typing import Final

_LOG = logging.getLogger(__name__)
#: <asm-generic/socket.h>; Python's socket module does not name it. Needs CAP_NET_ADMIN.
SO_RCVBUFFORCE: Final = 33
MIB: Final = 1 << 20


def threads() -> set[int]:
    """Kernel ids of this process's threads."""
    return {int(entry.name) for entry in Path("/proc/self/task").iterdir()}


def make_fifo(thread_ids: set[int], priority: int) -> bool:
    """Give threads SCHED_FIFO ``priority``; False, with the reason and the remedy in the log, when not permitted."""
    try:
        for thread_id in thread_ids:
            os.sched_setscheduler(thread_id, os.SCHED_FIFO, os.sched_param(priority))
    except (PermissionError, ValueError) as error:
        _LOG.warning(
            "receiver thread runs at normal priority (SCHED_FIFO %d refused: %s); under load packets will be lost. "
            "Set CPUSchedulingPolicy=fifo in the unit, or 'ulimit -r', or fifo_priority = 0 to silence this",
            priority,
            error.strerror if isinstance(error, PermissionError) else error,
        )
        return False
    return bool(thread_ids)


def grow_receive_buffer(sock: socket.socket, size: int) -> int:
    """Ask for ``size`` bytes of kernel receive buffer, by force where permitted; returns what the kernel gave.

    The kernel doubles the number for its own bookkeeping; the value returned is the half of what it reports.
    """
    granted = sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) // 2
    # Asking again without the right to force it would shrink a buffer that a .socket unit made large.
    if granted < size:
        try:
            sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, size)
        except PermissionError:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size)
        granted = sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) // 2
    if granted < size:
        _LOG.warning(
            "receive buffer is %.1f MiB instead of %.1f: set net.core.rmem_max=%d, or ReceiveBuffer= in a .socket unit",
            granted / MIB,
            size / MIB,
            size,
        )
    return granted


def udp_drops(sock: socket.socket) -> int:
    """Packets that the kernel dropped for want of buffer on this UDP socket, from /proc/self/net."""
    inode = str(os.fstat(sock.fileno()).st_ino)
    # Not /proc/net: a service with ProcSubset=pid does not see that link.
    table = Path("/proc/self/net") / ("udp6" if sock.family == socket.AF_INET6 else "udp")
    try:
        lines = table.read_text(encoding="ascii").splitlines()[1:]
    except OSError:
        return 0
    # sl local rem st tx:rx tr:when retrnsmt uid timeout inode ref pointer drops
    for line in lines:
        field = line.split()
        if len(field) >= 13 and field[9] == inode:
            return int(field[12])
    return 0
