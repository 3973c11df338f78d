"""Sockets of a feed client: addresses, keys, options, and frames to messages."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import zmq
import zmq.auth

from edge import topics, wire
from edge.client.items import Picture
from edge.messages import BagImage, FeedReply, FeedRequest, Message

TOPICS = (topics.HELLO, topics.LANE_STATE, topics.BAG_START, topics.BAG_VERDICT, topics.BAG_END)
#: Messages that may wait in one socket; the same as the publisher's queue.
QUEUE = 10_000
#: The largest image: 2048 rows, 20 m of belt is far beyond it.
MAX_MESSAGE_BYTES = 1 << 28
#: ZeroMQ's own heartbeat finds a connection that was cut without a goodbye.
PING_MS, LOST_MS = 1000, 3000
RECONNECT_MS, RECONNECT_MAX_MS = 100, 1000
_Z85_CHARACTERS = 40


class KeyFileError(ValueError):
    """A key file cannot be used; the message names it and says what to do."""


@dataclass(frozen=True, repr=False)
class Keys:
    """CURVE keys in Z85: the lane's public key, and both keys of this client."""

    server: bytes
    public: bytes
    secret: bytes

    @classmethod
    def load(cls, server_file: Path, own_file: Path) -> Keys:
        """Read the lane's public key and this client's own key pair; :class:`KeyFileError` names a bad file."""
        public, secret = _certificate(own_file)
        if secret is None:
            raise KeyFileError(f"{own_file}: holds no secret key; give the client's own .key_secret file")
        return cls(_certificate(server_file)[0], public, secret)


def _certificate(path: Path) -> tuple[bytes, bytes | None]:
    try:
        public, secret = zmq.auth.load_certificate(path)
    except (OSError, ValueError) as error:
        raise KeyFileError(f"{path}: not a readable key file ({error}); `darklane keys` makes them") from error
    for key in (public, secret):
        if key is not None and len(key) != _Z85_CHARACTERS:
            raise KeyFileError(f"{path}: a key has {len(key)} characters, not {_Z85_CHARACTERS}; make a new one")
    return public, secret


def subscriber(
    context: zmq.Context[zmq.Socket[bytes]], address: str, wanted: tuple[str, ...], keys: Keys | None
) -> zmq.Socket[bytes]:
    """SUB socket connected to the feed at ``address``; ValueError names a bad address."""
    made = _socket(context, zmq.SUB, keys)
    for topic in wanted:
        made.subscribe(topic)
    return _connect(made, address)


def requester(context: zmq.Context[zmq.Socket[bytes]], address: str, keys: Keys | None) -> zmq.Socket[bytes]:
    """DEALER socket connected to the request endpoint; it queues nothing for a gateway that is away."""
    made = _socket(context, zmq.DEALER, keys)
    made.immediate = True
    return _connect(made, address)


def _socket(context: zmq.Context[zmq.Socket[bytes]], kind: int, keys: Keys | None) -> zmq.Socket[bytes]:
    made: zmq.Socket[bytes] = context.socket(kind)
    made.linger = 0
    made.set_hwm(QUEUE)
    for option, value in (
        (zmq.MAXMSGSIZE, MAX_MESSAGE_BYTES),
        (zmq.HEARTBEAT_IVL, PING_MS),
        (zmq.HEARTBEAT_TIMEOUT, LOST_MS),
        (zmq.RECONNECT_IVL, RECONNECT_MS),
        (zmq.RECONNECT_IVL_MAX, RECONNECT_MAX_MS),
    ):
        made.setsockopt(option, value)
    if keys is not None:
        made.curve_serverkey, made.curve_publickey, made.curve_secretkey = keys.server, keys.public, keys.secret
    return made


def _connect(made: zmq.Socket[bytes], address: str) -> zmq.Socket[bytes]:
    try:
        made.connect(address)
    except zmq.ZMQError as error:
        made.close(0)
        raise ValueError(f"{address!r}: not an address ({error}); give one like tcp://lane-1:7150") from error
    return made


def encode_request(request: FeedRequest) -> list[bytes | memoryview]:
    """Frames of one request."""
    return wire.encode(topics.REQUEST, request)


def decode(frames: list[bytes]) -> tuple[str, Message | Picture]:
    """Topic and message of ``frames``, a BagImage with its array; :class:`edge.wire.WireError` on anything else."""
    topic, message, arrays = wire.decode_any(frames)
    if not isinstance(message, BagImage):
        return topic, message
    image = arrays["image"]
    expected = (len(message.channels), image.shape[1] if image.ndim == 4 else 0, message.rows, message.columns)
    if image.dtype.str != "<f4" or image.shape != expected:
        raise wire.WireError(f"bag image is {image.dtype} {image.shape}, its header says <f4 {expected}")
    return topic, Picture(message, image.astype(np.float32, copy=False))


def decode_reply(frames: list[bytes]) -> FeedReply | Picture:
    """The answer to a request; :class:`edge.wire.WireError` when it is none."""
    _, message = decode(frames[1:] if frames and not frames[0] else frames)
    if not isinstance(message, (FeedReply, Picture)):
        raise wire.WireError(f"a {type(message).__name__} is no answer to a request")
    return message
