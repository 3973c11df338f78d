"""What the gateway does with images: previews onto the feed, and the karabo-bridge sockets."""

from __future__ import annotations

import zmq

from edge import topics, wire
from edge.config import Config
from edge.gateway.karabo import QUEUE, KaraboBridge
from edge.gateway.listener import Listener
from edge.gateway.preview import Previews
from edge.gateway.publisher import Publisher
from edge.loop import Loop
from edge.messages import ImageSlab, Verdict
from edge.security.guard import Guard
from edge.security.refusals import Refusals

#: Image slabs taken in one go, so that verdicts are looked at in between.
BATCH = 4


class Pictures:
    """Follows the image tap while somebody may want to see its images."""

    def __init__(
        self, loop: Loop, config: Config, security: tuple[Guard | None, Refusals], publisher: Publisher
    ) -> None:
        settings = config.gateway
        self._loop, self._publisher = loop, publisher
        self._previews = Previews()
        self._published = 0
        self.bridge = KaraboBridge(config.lane.name)
        self.listeners: list[Listener] = []
        for key, kind, ready in (
            ("karabo", zmq.ROUTER, self._replies_ready),
            ("karabo_pub", zmq.PUB, self._publisher_ready),
        ):
            address = getattr(settings, key)
            if address:
                read = self._asked if kind == zmq.ROUTER else _nothing
                self.listeners.append(Listener(loop, kind, (key, address), security, read, ready))
        if settings.feed or self.listeners:
            self._tap = loop.bus.subscriber("image-tap")
            loop.on(self._tap, self._on_images)

    def verdict(self, verdict: Verdict) -> None:
        """The feed carried this verdict."""
        if self.listeners:
            self.bridge.verdict(verdict)

    def tick(self, now_s: float) -> None:
        """Bind what is not bound; ``now_s``: a monotonic clock."""
        for listener in self.listeners:
            listener.tick(now_s)
            if listener.socket is None:
                self._gone(listener)
        counters = self._loop.counters
        counters["previews"], counters["preview_drops"] = self._published, self._previews.dropped
        counters["karabo_sent"], counters["karabo_drops"] = self.bridge.sent, self.bridge.dropped

    def close(self) -> None:
        """Close the karabo-bridge sockets."""
        for listener in self.listeners:
            listener.close()

    def _gone(self, listener: Listener) -> None:
        if listener.key == "karabo":
            self.bridge.replies = None
        else:
            self.bridge.publisher = None

    def _replies_ready(self, socket: zmq.Socket[bytes]) -> None:
        socket.set_hwm(QUEUE)
        self.bridge.replies = socket

    def _publisher_ready(self, socket: zmq.Socket[bytes]) -> None:
        socket.set_hwm(QUEUE)
        self.bridge.publisher = socket

    def _asked(self, socket: zmq.Socket[bytes]) -> None:
        self.bridge.serve()

    def _on_images(self) -> None:
        for _ in range(BATCH):
            if not self._tap.poll(0):
                return
            try:
                _, slab, arrays = self._loop.bus.receive(self._tap, ImageSlab)
            except wire.WireError as error:
                self._loop.count("unreadable")
                self._loop.log.error("unreadable image slab is not shown: %s", error)
                continue
            made = self._previews.add(slab, arrays)
            if made is None:
                continue
            header, image = made
            self._published += 1
            stamped = self._loop.bus.stamp(header).model_copy(update={"seq": self._published})
            self._publisher.send(wire.encode(topics.BAG_IMAGE, stamped, {"image": image}))
            if self.listeners:
                self.bridge.image(stamped, image)


def _nothing(socket: zmq.Socket[bytes]) -> None:
    """A PUB socket has nothing to read."""
