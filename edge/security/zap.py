"""ZAP (ZeroMQ RFC 27): ZeroMQ asks here about every client that has shown a CURVE key; our loop answers.

Admitted is only: version 1.0, exactly our domain, mechanism CURVE, and a key that is allowed now.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import zmq

from edge.security.key_file import KEY_BYTES
from edge.security.keys import Admitted
from edge.security.refusals import Refusals

ENDPOINT: Final = "inproc://zeromq.zap.01"
DOMAIN: Final = "darklane"
_VERSION: Final = b"1.0"
#: Requests answered per call, so that a crowd of strangers does not keep the loop from its work.
PER_CALL: Final = 100
MAX_FIELD_BYTES: Final = 255


class ZapError(ValueError):
    """A request that is not one of RFC 27."""


@dataclass(frozen=True)
class ZapRequest:
    """What ZeroMQ tells about a client."""

    request_id: bytes
    domain: str
    address: str
    mechanism: str
    credentials: tuple[bytes, ...]


@dataclass(frozen=True)
class Answer:
    """``user``: the name of an admitted client, else empty. ``reason``: word of the counter of a refusal."""

    user: str = ""
    reason: str = ""
    detail: str = ""


def decode(frames: Sequence[bytes]) -> ZapRequest:
    """The request in ``frames`` (without the envelope); :class:`ZapError` on anything else."""
    if len(frames) < 6:
        raise ZapError(f"{len(frames)} frames")
    version, request_id, domain, address, identity, mechanism, *credentials = frames
    if version != _VERSION:
        raise ZapError(f"version {version[:20]!r}")
    if any(len(field) > MAX_FIELD_BYTES for field in (request_id, domain, address, identity, mechanism)):
        raise ZapError("a field is too long")
    try:
        texts = [field.decode("ascii") for field in (domain, address, mechanism)]
    except UnicodeDecodeError as error:
        raise ZapError("a field is not ASCII") from error
    return ZapRequest(request_id, texts[0], texts[1], texts[2], tuple(credentials))


def judge(request: ZapRequest, known: Admitted) -> Answer:
    """Whether this client may come in."""
    if request.domain != DOMAIN:
        return Answer(reason="wrong_domain", detail=f"key of domain {request.domain!r:.40}, not {DOMAIN!r}")
    if request.mechanism != "CURVE":
        return Answer(reason="wrong_mechanism", detail=f"mechanism {request.mechanism!r:.40}, not CURVE")
    if len(request.credentials) != 1 or len(request.credentials[0]) != KEY_BYTES:
        return Answer(reason="malformed", detail="no CURVE key in its credentials")
    key = request.credentials[0]
    if key in known.allowed:
        return Answer(user=known.allowed[key])
    if key in known.revoked:
        return Answer(reason="revoked_key", detail=f"the revoked key of {known.revoked[key]}")
    return Answer(reason="unknown_key", detail="a key that nobody allowed")


class ZapHandler:
    """The socket. It must be bound before any socket that relies on it."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], refusals: Refusals, log: logging.Logger) -> None:
        self.known = Admitted()
        self._refusals = refusals
        self._log = log
        self.socket = context.socket(zmq.ROUTER)
        self.socket.linger = 0
        self.socket.bind(ENDPOINT)

    def answer(self) -> None:
        """Answer what waits."""
        for _ in range(PER_CALL):
            try:
                frames = self.socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            self._one(frames)

    def _one(self, frames: list[bytes]) -> None:
        envelope, body = frames[:2], frames[2:]
        try:
            request = decode(body)
        except ZapError as error:
            self._refusals("malformed", "", f"unreadable ZAP request ({error})")
            request_id = body[1] if len(body) > 1 else b""
            self._send([*envelope, _VERSION, request_id, b"400", b"malformed", b"", b""])
            return
        answer = judge(request, self.known)
        if answer.user:
            self._log.info("%s connects from %s", answer.user, request.address)
            self._send([*envelope, _VERSION, request.request_id, b"200", b"", answer.user.encode(), b""])
        else:
            self._refusals(answer.reason, request.address, answer.detail)
            self._send([*envelope, _VERSION, request.request_id, b"400", b"refused", b"", b""])

    def _send(self, frames: list[bytes]) -> None:
        try:
            self.socket.send_multipart(frames, zmq.NOBLOCK)
        except zmq.ZMQError as error:
            # The client hung up meanwhile: there is nobody to tell.
            self._log.debug("ZAP answer not sent: %s", error)

    def close(self) -> None:
        """Close the socket; nobody is admitted from then on."""
        self.socket.close(0)
