"""A packet filter in the kernel, before spead2: no packet may claim a heap larger than any frame.

spead2 reserves the memory that the first packet of a heap claims, up to 2^48 bytes; when there is not so much, its
thread ends and the stream stands still for good. One damaged or foreign datagram would stop the readout. So the socket
gets a classic BPF program (Linux, ``socket(7)`` SO_ATTACH_FILTER; needs no privilege, costs the readout nothing) that
lets only SPEAD-64-48 packets with sane heap lengths pass. What it drops shows among the socket's kernel drops.
"""

from __future__ import annotations

import ctypes
import logging
import socket
import struct
import sys
from typing import Final

_LOG = logging.getLogger(__name__)
#: Longest heap, bytes: a detector of 16 times the rows could still say that it is the wrong one.
MAX_HEAP_BYTES: Final = 16 << 20
#: Most items in a packet; a frame with all its descriptors has 22.
MAX_ITEMS: Final = 64

_SO_ATTACH_FILTER: Final = 26
#: On a UDP socket a filter sees the UDP header first.
_UDP_HEADER: Final = 8
#: SPEAD magic, version 4, item ids of 2 bytes, addresses of 6.
_SPEAD: Final = 0x53040206
#: Item id of the heap length, immediate.
_HEAP_LENGTH: Final = 0x8002
# Operations: load word or half-word at a place, take A to X and X to A, compare with a constant, return.
_LD_W, _LD_H, _TAX, _TXA, _JEQ, _JGT, _RET = 0x20, 0x28, 0x07, 0x87, 0x15, 0x25, 0x06
_DROP: Final = (_RET, 0, 0, 0)
_PASS: Final = (_RET, 0, 0, 0xFFFFFFFF)

Instruction = tuple[int, int, int, int]


def program(max_heap_bytes: int) -> list[Instruction]:
    """The filter: (operation, jump if true, jump if false, constant) each. Reading past the packet's end drops it."""
    spead = _UDP_HEADER
    code: list[Instruction] = [
        (_LD_W, 0, 0, spead),
        (_JEQ, 1, 0, _SPEAD),
        _DROP,
        (_LD_H, 0, 0, spead + 6),
        (_JGT, 0, 1, MAX_ITEMS),
        _DROP,
        (_TAX, 0, 0, 0),
    ]
    for item in range(MAX_ITEMS):
        place = spead + 8 + 8 * item
        code += [
            (_TXA, 0, 0, 0),
            (_JGT, 1, 0, item),  # is there such an item?
            _PASS,
            (_LD_H, 0, 0, place),
            (_JEQ, 0, 6, _HEAP_LENGTH),
            (_LD_H, 0, 0, place + 2),
            (_JEQ, 1, 0, 0),
            _DROP,
            (_LD_W, 0, 0, place + 4),
            (_JGT, 0, 1, max_heap_bytes),
            _DROP,
        ]
    return [*code, _PASS]


def attach(sock: socket.socket, max_heap_bytes: int = MAX_HEAP_BYTES) -> bool:
    """Put the filter on ``sock``; False, and a warning, where the system has no such thing."""
    if sys.platform != "linux":
        return False
    code = program(max_heap_bytes)
    packed = b"".join(struct.pack("=HBBI", *instruction) for instruction in code)
    memory = ctypes.create_string_buffer(packed, len(packed))
    try:
        sock.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("@HP", len(code), ctypes.addressof(memory)))
    except OSError as error:
        _LOG.warning("detector stream: no packet filter (%s); a malformed packet can stop the readout", error)
        return False
    return True
