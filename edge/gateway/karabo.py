"""The karabo-bridge endpoint: what laboratory programs read with ``karabo_bridge.Client``, version 0.7.

One multipart message is one bag: source ``<lane>/verdict`` with the fields of the verdict, and ``<lane>/image`` with
the preview when there is one. A message is pairs of frames: a msgpack header and a msgpack map for each source, then a
header and the raw bytes for each of its arrays. The train id is the verdict's sequence.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Mapping
from typing import Any

import msgpack
import numpy as np
import numpy.typing as npt
import zmq

from edge.messages import BagImage, Verdict

#: What a REQ client sends.
NEXT = b"next"
#: Messages kept for REQ clients; one that is slower than so many bags misses some, and sees it by the train id.
KEPT = 16
#: Verdicts remembered, to know repeats.
REMEMBERED = 1000
#: REQ clients remembered, and waiting at once.
MAX_CLIENTS = 256
#: Previews that wait for their verdict.
MAX_IMAGES = 16
#: Outgoing messages queued for one client. The protocol asks for 2 at least.
QUEUE = 4
#: A request is the word "next".
MAX_REQUEST_BYTES = 64

Image = tuple[BagImage, npt.NDArray[np.float32]]


def encode(lane: str, verdict: Verdict, image: Image | None) -> list[bytes]:
    """Frames of one bag."""
    source = f"{lane}/verdict"
    fields = verdict.model_dump(mode="json")
    frames = _source(source, fields, verdict.t_ns, verdict.seq)
    if image is not None:
        header, pixels = image
        source = f"{lane}/image"
        described = header.model_dump(mode="json")
        frames += _source(source, described, verdict.t_ns, verdict.seq)
        frames += _array(source, "image", pixels)
    return frames


def _source(source: str, fields: Mapping[str, Any], t_ns: int, train: int) -> list[bytes]:
    seconds, rest = divmod(t_ns, 1_000_000_000)
    metadata = {
        "source": source,
        "timestamp": t_ns / 1e9,
        "timestamp.sec": str(seconds),
        # Attoseconds.
        "timestamp.frac": f"{rest * 1_000_000_000:018d}",
        "timestamp.tid": train,
    }
    header = {"source": source, "content": "msgpack", "metadata": metadata}
    return [msgpack.packb(header), msgpack.packb(dict(fields))]


def _array(source: str, path: str, array: npt.NDArray[np.float32]) -> list[bytes]:
    header = {"source": source, "content": "array", "path": path, "dtype": str(array.dtype), "shape": list(array.shape)}
    return [msgpack.packb(header), array.tobytes()]


class KaraboBridge:
    """Answers ``next`` on ``replies`` (ROUTER) and publishes on ``publisher`` (PUB); both may be missing.

    The answering socket is a ROUTER, so that one client that waits for the next bag holds up no other: each gets
    every bag in its turn. A request of a new client is answered with the newest bag at once.
    """

    def __init__(self, lane: str) -> None:
        self.replies: zmq.Socket[bytes] | None = None
        self.publisher: zmq.Socket[bytes] | None = None
        self.sent = 0
        #: Messages and requests that were left out: a queue was full, or the request was not ``next``.
        self.dropped = 0
        self._lane = lane
        self._images: OrderedDict[str, Image] = OrderedDict()
        self._kept: deque[tuple[int, list[bytes]]] = deque(maxlen=KEPT)
        self._done: deque[tuple[str, bool, str, int]] = deque(maxlen=REMEMBERED)
        self._number = 0
        #: By identity: number of the newest message that this client got.
        self._clients: OrderedDict[bytes, int] = OrderedDict()
        self._waiting: OrderedDict[bytes, list[bytes]] = OrderedDict()

    def image(self, header: BagImage, pixels: npt.NDArray[np.float32]) -> None:
        """Keep the preview of a bag until its verdict comes."""
        self._images[header.bag_id] = header, pixels
        if len(self._images) > MAX_IMAGES:
            self._images.popitem(last=False)

    def verdict(self, verdict: Verdict) -> None:
        """Send one bag to whoever waits; a verdict that comes again after a restart is left out."""
        name = (verdict.bag_id, verdict.final, verdict.boot_id, verdict.t_ns)
        if name in self._done:
            return
        self._done.append(name)
        image = self._images.pop(verdict.bag_id, None) if verdict.final else None
        frames = encode(self._lane, verdict, image)
        self._number += 1
        self._kept.append((self._number, frames))
        if self.publisher is not None:
            self._send(self.publisher, frames)
        waiting, self._waiting = self._waiting, OrderedDict()
        for identity, envelope in waiting.items():
            self._answer(identity, envelope)

    def serve(self, limit: int = 100) -> None:
        """Read at most ``limit`` requests; answer those that can be answered."""
        if self.replies is None:
            return
        for _ in range(limit):
            try:
                identity, *frames = self.replies.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            # A REQ socket puts an empty frame before its request, and wants it before the answer.
            envelope = [b""] if frames[:1] == [b""] else []
            if frames[len(envelope) :] != [NEXT]:
                self.dropped += 1
                continue
            self._answer(identity, envelope)

    def _answer(self, identity: bytes, envelope: list[bytes]) -> None:
        had = self._clients.pop(identity, self._number - 1)
        found = next(((number, frames) for number, frames in self._kept if number > had), None)
        self._clients[identity] = had if found is None else found[0]
        if len(self._clients) > MAX_CLIENTS:
            self._clients.popitem(last=False)
        if found is not None and self.replies is not None:
            self._send(self.replies, [identity, *envelope, *found[1]])
            return
        self._waiting[identity] = envelope
        if len(self._waiting) > MAX_CLIENTS:
            self._waiting.popitem(last=False)
            self.dropped += 1

    def _send(self, socket: zmq.Socket[bytes], frames: list[bytes]) -> None:
        try:
            socket.send_multipart(frames, zmq.NOBLOCK)
            self.sent += 1
        except zmq.ZMQError:
            self.dropped += 1
