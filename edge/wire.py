"""Messages to frames and back: ``[topic, msgpack map, raw array, ...]``, decoded defensively."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import msgpack
import numpy as np
import numpy.typing as npt
from pydantic import TypeAdapter, ValidationError

from edge.messages import AnyMessage, Arrays, Message

_ANY: TypeAdapter[Message] = TypeAdapter(AnyMessage)
M = TypeVar("M", bound=Message)

#: dtypes that may cross the wire.
DTYPES = frozenset({"<f4", "<u2", "|u1", "<f8", "<i4", "<u4"})
MAX_HEADER_BYTES = 4 << 20
MAX_ARRAY_BYTES = 1 << 30


class WireError(ValueError):
    """A received message is not one of ours; the text says which part and why."""


def encode(
    topic: str, message: Message, arrays: Mapping[str, npt.NDArray[np.generic]] | None = None
) -> list[bytes | memoryview]:
    """Frames of ``message`` with its arrays; ValueError when the arrays are not the declared ones."""
    arrays = arrays or {}
    if tuple(arrays) != message.ARRAYS:
        raise ValueError(f"{type(message).__name__} carries arrays {message.ARRAYS}, got {tuple(arrays)}")
    header = message.model_dump(mode="json")
    described: list[dict[str, Any]] = []
    frames: list[bytes | memoryview] = []
    for name, array in arrays.items():
        contiguous = np.ascontiguousarray(array)
        if contiguous.dtype.str not in DTYPES:
            raise ValueError(f"{name}: dtype {contiguous.dtype} does not cross the wire; use one of {sorted(DTYPES)}")
        described.append({"name": name, "dtype": contiguous.dtype.str, "shape": list(contiguous.shape)})
        frames.append(contiguous.data.cast("B") if contiguous.size else b"")
    if described:
        header["arrays"] = described
    return [topic.encode(), msgpack.packb(header, use_bin_type=True), *frames]


def decode(frames: Sequence[bytes | memoryview], expect: type[M]) -> tuple[str, M, Arrays]:
    """Topic, message and read-only arrays of ``frames``; :class:`WireError` on anything unexpected."""
    topic, message, arrays = decode_any(frames)
    if not isinstance(message, expect):
        raise WireError(f"expected {expect.__name__}, got {type(message).__name__}")
    return topic, message, arrays


def decode_any(frames: Sequence[bytes | memoryview]) -> tuple[str, Message, Arrays]:
    """Like :func:`decode` for any message of :data:`edge.messages.AnyMessage`."""
    if len(frames) < 2:
        raise WireError(f"message has {len(frames)} frame(s); topic and header are needed")
    if len(frames[1]) > MAX_HEADER_BYTES:
        raise WireError(f"header of {len(frames[1])} bytes is larger than {MAX_HEADER_BYTES}")
    try:
        topic = bytes(frames[0]).decode("ascii")
        header = msgpack.unpackb(frames[1], raw=False, strict_map_key=True)
        if not isinstance(header, dict):
            raise WireError(f"header is a {type(header).__name__}, not a map")
        described = header.pop("arrays", [])
        message = _ANY.validate_python(header)
    except WireError:
        raise
    except ValidationError as error:
        first = error.errors()[0]
        raise WireError(f"header field {'.'.join(map(str, first['loc']))}: {first['msg']}") from error
    except (ValueError, TypeError, RecursionError, msgpack.exceptions.UnpackException) as error:
        raise WireError(f"header cannot be read: {error}") from error
    arrays = _arrays(described, frames[2:])
    if tuple(arrays) != message.ARRAYS:
        raise WireError(f"{type(message).__name__} needs arrays {message.ARRAYS}, got {tuple(arrays)}")
    return topic, message, arrays


def _arrays(described: Any, frames: Sequence[bytes | memoryview]) -> Arrays:
    if not isinstance(described, list) or len(described) != len(frames):
        raise WireError(f"{len(frames)} array frame(s), but the header describes {described!r:.80}")
    arrays: Arrays = {}
    for entry, frame in zip(described, frames, strict=True):
        try:
            name, dtype, shape = entry["name"], entry["dtype"], entry["shape"]
            if not isinstance(name, str) or dtype not in DTYPES or not isinstance(shape, list):
                raise WireError(f"array description {entry!r:.80} is not allowed")
            # Exactly int: True is one too, and no size.
            if not all(type(n) is int and 0 <= n <= 1 << 24 for n in shape) or len(shape) > 5:
                raise WireError(f"array {name}: shape {shape!r:.80} is not allowed")
        except (TypeError, KeyError) as error:
            raise WireError(f"array description {entry!r:.80} is not a map with name, dtype and shape") from error
        size = math.prod(shape) * np.dtype(dtype).itemsize
        if size != len(frame) or size > MAX_ARRAY_BYTES:
            raise WireError(f"array {name}: {len(frame)} bytes, but {dtype} {shape} needs {size}")
        array = np.frombuffer(frame, dtype=dtype).reshape(shape)
        array.flags.writeable = False
        arrays[name] = array
    return arrays
