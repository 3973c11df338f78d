"""The feed over real sockets: sequence per topic, greeting, slow subscribers counted and nobody else harmed."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import zmq

from edge import wire
from edge.bus import Bus
from edge.fanout import HOLD_NS
from edge.messages import BagNotice, Hello, LaneState, Message
from edge.verdict.actions import Now
from edge.verdict.feed import Feed

PATIENCE_MS = 20_000
START = Now(1_800_000_000_000_000_000, 0)
RUNNING = Now(START.wall + HOLD_NS, HOLD_NS)


@pytest.fixture
def bus() -> Iterator[Bus]:
    folder = Path(tempfile.mkdtemp(prefix="dlf", dir="/tmp"))
    made = Bus(folder, "verdict")
    yield made
    made.close()
    shutil.rmtree(folder)


def hear(socket: zmq.Socket[bytes]) -> tuple[str, Message]:
    assert socket.poll(PATIENCE_MS), "nothing came"
    topic, message, _ = wire.decode_any(socket.recv_multipart())
    return topic, message


def joined(feed: Feed, number: int) -> None:
    """Wait until so many subscriptions have arrived."""
    for _ in range(number):
        assert feed.socket.poll(PATIENCE_MS)
        feed.socket.recv()


def notice(name: str, padding: int = 0) -> BagNotice:
    return BagNotice(bag_id=name, bag_tag="x" * padding)


def test_messages_wait_for_subscribers_of_a_predecessor_and_come_in_order(bus: Bus) -> None:
    feed = Feed(bus, START)
    sent: list[str] = []
    for name in "AB":
        feed.publish("bag.start", notice(name), START, lambda name=name: sent.append(name))  # type: ignore[misc]
    feed.publish("lane.state", LaneState(state="READY"), START)
    late = bus.subscriber("feed")
    joined(feed, 1)
    assert sent == []
    feed.flush(RUNNING)
    assert sent == ["A", "B"]
    heard = [hear(late) for _ in range(3)]
    assert [(topic, message.seq) for topic, message in heard] == [("bag.start", 1), ("bag.start", 2), ("lane.state", 1)]
    assert {message.boot_id for _, message in heard} == {bus.stamp.boot_id}


def test_a_newcomer_asks_for_a_greeting_by_subscribing(bus: Bus) -> None:
    feed = Feed(bus, START)
    assert not feed.greeted()
    for topics, wanted in ((("bag.verdict",), False), (("hello",), True), (("",), True)):
        subscriber = bus.subscriber("feed", *topics)
        assert feed.socket.poll(PATIENCE_MS)
        assert feed.greeted() is wanted
        if wanted:
            feed.publish("hello", Hello(lane="lane-1", last_verdict_seq=7), RUNNING)
            topic, message = hear(subscriber)
            assert topic == "hello"
            assert isinstance(message, Hello)
            assert message.last_verdict_seq == 7


def test_a_stuck_subscriber_is_counted_and_nobody_else_misses_anything(bus: Bus) -> None:
    feed = Feed(bus, START)
    # Small buffers, so that little is needed to fill them. A queue of ten would not do: ZeroMQ learns a millisecond
    # late what a subscriber has taken, and a fast one takes ten messages in that time.
    feed.socket.setsockopt(zmq.SNDHWM, 100)
    feed.socket.setsockopt(zmq.SNDBUF, 4096)
    feed.socket.bind("tcp://127.0.0.1:*")
    address = feed.socket.getsockopt_string(zmq.LAST_ENDPOINT)
    stuck, good = bus.context.socket(zmq.SUB), bus.context.socket(zmq.SUB)
    try:
        for socket, queue in ((stuck, 1), (good, 1000)):
            socket.setsockopt(zmq.RCVHWM, queue)
            socket.setsockopt(zmq.RCVBUF, 4096)
            socket.connect(address)
            socket.subscribe("bag")
        joined(feed, 2)
        for number in range(1, 201):
            feed.publish("bag.start", notice("A", padding=20_000), RUNNING)
            assert hear(good)[1].seq == number
        assert feed.dropped >= 1
        assert feed.sent == 200
        seen = []
        while stuck.poll(300):
            seen.append(hear(stuck)[1].seq)
        assert len(seen) < 200
        # It sees by the sequence what it missed, and is served again once it reads.
        until = time.monotonic() + PATIENCE_MS / 1e3
        while seen[-1] <= 200 and time.monotonic() < until:
            feed.publish("bag.start", notice("A"), RUNNING)
            while stuck.poll(50):
                seen.append(hear(stuck)[1].seq)
        assert seen[-1] > 200
        assert seen == sorted(set(seen))
    finally:
        stuck.close(0)
        good.close(0)
