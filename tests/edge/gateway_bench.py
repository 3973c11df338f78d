"""The gateway's service in the test's own process, turned by hand, with a lane and clients that the test plays."""

from __future__ import annotations

import logging
import shutil
import signal
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import zmq

from edge import wire
from edge.bus import Bus
from edge.config import Config, dump
from edge.gateway.listener import Listener
from edge.gateway.main import Service
from edge.messages import Fault, FeedReply, FeedRequest, Hello, Message, Verdict
from edge.security import key_file
from edge.security.key_file import Key
from edge.security.keys import FOLDER, KeyStore
from edge.verdict.actions import Now
from edge.verdict.bags import new_bag, verdict_on
from edge.verdict.feed import Feed
from edge.verdict.journal import FILE_NAME, Journal
from edge.verdict.policy import unknown
from edge.verdict.spill import Spill
from edge.verdict.waiting import Row
from tests.edge.verdict_scene import LIMITS, at, entry

PATIENCE_S = 30.0
LOCAL = "tcp://127.0.0.1:*"
#: Long after the feed's hold.
LATER = Now(1_800_000_000_000_000_000, 1 << 60)


class GatewayBench:
    """``start`` the service when keys and journal are as the test wants them."""

    def __init__(self, **settings: Any) -> None:
        self.state_dir = Path(tempfile.mkdtemp(prefix="dlg", dir="/tmp"))
        table = {"feed": LOCAL, "requests": LOCAL} | settings
        self.config = Config.model_validate({"lane": {"state_dir": str(self.state_dir)}, "gateway": table})
        self.config_file = self.state_dir / "lane.toml"
        self.config_file.write_text(dump(self.config), encoding="utf-8")
        self.keys = KeyStore(self.state_dir / FOLDER)
        self.bus = Bus(self.config.run_dir, "verdict")
        self.feed = Feed(self.bus, Now(0, 0))
        self.spill = Spill([self.state_dir])
        self._outside = zmq.Context()
        self._clients: list[zmq.Socket[bytes]] = []
        self.service: Service | None = None
        self._own_bus: Bus | None = None
        self._journal: Journal | None = None
        self._signals = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

    # ---- the lane ------------------------------------------------------------------------------------------

    def say(self, topic: str, message: Message) -> None:
        """On the lane's own feed."""
        self.feed.publish(topic, message, LATER)

    def verdict(self, bag: str, seq: int, *, written: bool = True, spilled: bool = False) -> Verdict:
        """Journal and publish a verdict about ``bag``; ``written`` False: the disk refuses. ``spilled``: it waits."""
        judged = new_bag(bag, entry(bag, seq, 0), at(1).wall, LIMITS, at(1))
        verdict = verdict_on(judged, unknown(Fault.TIMEOUT, "late"), None, at(2))
        verdict = verdict.model_copy(update={"seq": seq, "boot_id": "b", "source": "verdict"})
        if spilled:
            self.spill.take()
            self.spill.add(Row("bag", asdict(judged.record)))
            self.spill.add(Row("verdict", verdict.model_dump(mode="json")))
        elif written:
            self.journal.add_bag(judged.record)
            self.journal.add_verdict(verdict)
        self.say("bag.verdict", verdict)
        return verdict

    @property
    def journal(self) -> Journal:
        if self._journal is None:
            self._journal = Journal(self.state_dir / FILE_NAME)
        return self._journal

    # ---- the service ---------------------------------------------------------------------------------------

    def start(self, *, greeted: bool = True) -> None:
        """Make the service and turn it until it listens and has been greeted by the lane."""
        logging.getLogger("gateway").setLevel(logging.INFO)
        self._own_bus = Bus(self.config.run_dir, "gateway")
        self.service = Service(self.config, self._own_bus)
        if greeted:
            self.until(lambda: all(listener.socket is not None for listener in self.listeners()))
            self.until(self._greeted)

    def _greeted(self) -> bool:
        if self.feed.greeted():
            self.say("hello", Hello(lane="lane-1", software="darklane test", last_verdict_seq=0))
        assert self.service is not None
        return self.service.memory.hello is not None

    def turn(self) -> None:
        """One round of the service's loop."""
        assert self.service is not None
        loop = self.service.loop
        for source, _ in loop._poller.poll(10):
            handler = loop._handlers.get(source)
            if handler is not None:
                handler()
        for tick in loop._ticks:
            tick()

    def until(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            if self.service is not None:
                self.turn()
            else:
                # Somebody else's turn, and he needs the processor.
                time.sleep(0.005)
            assert time.monotonic() < deadline, f"nothing came; {self.counters()}"

    def listeners(self) -> list[Listener]:
        assert self.service is not None
        assert self.service.publisher is not None
        found = [self.service.publisher.listener, self.service.requests.listener if self.service.requests else None]
        return [listener for listener in found if listener is not None]

    def address(self, key: str) -> str:
        return next(listener.address for listener in self.listeners() if listener.key == key)

    def counters(self) -> dict[str, int]:
        return self.service.loop.counters if self.service else {}

    # ---- clients -------------------------------------------------------------------------------------------

    def allowed(self, name: str) -> Key:
        """A new key that the box allows."""
        key = key_file.new_key(name)
        self.keys.allow(name, key.public)
        return key

    def socket(self, kind: int) -> zmq.Socket[bytes]:
        """A socket of another computer's, not connected yet."""
        made = self._outside.socket(kind)
        made.linger = 0
        self._clients.append(made)
        return made

    def leaving(self, client: zmq.Socket[bytes]) -> zmq.Socket[bytes]:
        """Can be read once ``client``, which is not connected yet, has lost its connection."""
        made = client.get_monitor_socket(zmq.EVENT_DISCONNECTED)
        self._clients.append(made)
        return made

    def client(
        self, kind: int, key: Key | None = None, server: bytes | None = None, **options: int
    ) -> zmq.Socket[bytes]:
        """A socket of somebody else; ``server``: the public key that it believes the box to have."""
        made = self.socket(kind)
        for name, value in options.items():
            setattr(made, name, value)
        if key is not None:
            made.curve_publickey, made.curve_secretkey = key.public, key.secret
            made.curve_serverkey = server or self.keys.server().public
        made.connect(self.address("feed" if kind == zmq.SUB else "requests"))
        if kind == zmq.SUB:
            made.subscribe("")
        return made

    def hear(self, client: zmq.Socket[bytes], *, greeting: bool = False) -> tuple[str, Message]:
        """Its next message that is a greeting, or that is none."""
        while True:
            self.until(lambda: bool(client.poll(0)))
            topic, message, _ = wire.decode_any(client.recv_multipart())
            if (topic == "hello") == greeting:
                return topic, message

    def joined(self, client: zmq.Socket[bytes]) -> Message:
        """Wait until it hears the gateway's greeting; returns that."""
        return self.hear(client, greeting=True)[1]

    def ask(self, client: zmq.Socket[bytes], **request: Any) -> FeedReply:
        client.send_multipart(wire.encode("request", FeedRequest.model_validate(request)))
        return self.answer(client)

    def answer(self, client: zmq.Socket[bytes]) -> FeedReply:
        _, reply = self.hear(client)
        assert isinstance(reply, FeedReply)
        return reply

    def stop(self) -> None:
        """End the service as its loop would."""
        if self.service is not None and self._own_bus is not None:
            self.service.loop.running = False
            self.service.run()
            self._own_bus.close()
            self.service = None

    def close(self) -> None:
        self.stop()
        for client in self._clients:
            client.close(0)
        self._outside.term()
        if self._journal is not None:
            self._journal.close()
        self.bus.close()
        for number, handler in self._signals.items():
            signal.signal(number, handler)
        shutil.rmtree(self.state_dir)
