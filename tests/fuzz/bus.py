"""Messages between the services: any frames, and any header with any array."""

from __future__ import annotations

import json
from contextlib import suppress

import msgpack
import numpy as np

from edge import messages, wire
from tests.fuzz.portions import Portions

INSTRUMENT = ("edge.wire",)
_COMMAND = messages.DeviceCommand(action="status")
_EVENT = messages.DeviceEvent(kind=messages.DeviceEventKind.ENCODER, encoder=5, event_t_ns=1)


def _array(dtype: str, *shape: int) -> dict[str, object]:
    return {"name": "images", "dtype": dtype, "shape": list(shape)}


def _header(message: messages.Message, *arrays: object) -> bytes:
    header = message.model_dump(mode="json")
    return json.dumps(header | {"arrays": list(arrays)} if arrays else header).encode() + b"\n"


def _frames(*frames: bytes) -> bytes:
    return b"\0" + b"".join(len(frame).to_bytes(2, "big") + frame for frame in frames)


SEEDS = (
    _frames(*(bytes(frame) for frame in wire.encode("command", _COMMAND))),
    _frames(b"event", b"\x81\xa4kind\xc7\x05\x01time!", b"abc"),
    b"\1" + _header(_COMMAND),
    b"\1" + _header(_EVENT),
    b"\1" + _header(messages.CommandReply(ok=True)),
    b"\2" + _header(_COMMAND, _array("<f4", 2, 2)) + bytes(16),
    b"\2" + _header(_COMMAND, _array("|u1", 0, 5)),
    b"\2" + _header(_COMMAND, _array("<u2", 1, 1, 1, 1, 1)) + bytes(2),
)


def one_input(data: bytes) -> None:
    """Frames with their lengths before them, or a header as JSON and (for 2) what is left as its one array."""
    how, script = data[:1], Portions(data[1:])
    if not how or how[0] % 3 == 0:
        frames = []
        while script:
            frames.append(script.take(int.from_bytes(script.take(2), "big")))
    else:
        text, _, array = script.rest().partition(b"\n")
        try:
            header = msgpack.packb(json.loads(text))
        except (ValueError, RecursionError, OverflowError):
            return  # not something that anybody could send
        frames = [b"topic", header] if how[0] % 3 == 1 else [b"topic", header, array]
    _decode(frames)
    if how and how[0] % 3 == 2:
        header = msgpack.unpackb(frames[1], strict_map_key=False)
        with suppress(wire.WireError):
            # No message of ours has one array; its description is read all the same.
            described = header.get("arrays", []) if isinstance(header, dict) else []
            assert not any(array.flags.writeable for array in wire._arrays(described, frames[2:]).values())


def _decode(frames: list[bytes]) -> None:
    """What is accepted must come out of another round as it is."""
    with suppress(wire.WireError):
        topic, message, arrays = wire.decode_any(frames)
        again_topic, again, again_arrays = wire.decode_any(wire.encode(topic, message, arrays))
        assert (again_topic, again.model_dump_json()) == (topic, message.model_dump_json())
        assert all(np.array_equal(again_arrays[name], arrays[name], equal_nan=True) for name in arrays)
