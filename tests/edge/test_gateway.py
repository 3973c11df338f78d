"""The gateway over real sockets: the feed passed on, a late joiner served, requests answered, refused and limited."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import msgpack
import numpy as np
import pytest
import zmq

from edge import wire
from edge.archive.reader import BagFile
from edge.config import load
from edge.gateway.answers import Answerer
from edge.messages import BagImage, BagNotice, FeedReply, FeedRequest, Hello, LaneState, ServiceStatus, Verdict
from edge.verdict.bags import new_bag
from edge.verdict.waiting import Row
from tests.edge.archive_bags import bag
from tests.edge.gateway_bench import GatewayBench
from tests.edge.test_archive_file import write
from tests.edge.verdict_scene import LIMITS, at, entry
from tests.ports import free_port

ROOT = Path(__file__).parents[2]


@pytest.fixture
def bench() -> Iterator[GatewayBench]:
    # More than any test asks for; the limit has a test of its own.
    made = GatewayBench(curve=False, requests_per_s=1000)
    yield made
    made.close()


@pytest.fixture
def limited() -> Iterator[GatewayBench]:
    made = GatewayBench()
    yield made
    made.close()


def test_what_the_lane_says_is_passed_on_as_it_is(bench: GatewayBench) -> None:
    bench.start()
    subscriber = bench.client(zmq.SUB)
    hello = bench.joined(subscriber)
    assert isinstance(hello, Hello)
    assert (hello.lane, hello.source) == ("lane-1", "gateway")
    bench.say("lane.state", LaneState(state="READY", dropped=2))
    bench.say("bag.start", BagNotice(bag_id="A", bag_tag="tag"))
    verdict = bench.verdict("A", 1)
    heard = [bench.hear(subscriber) for _ in range(3)]
    assert [topic for topic, _ in heard] == ["lane.state", "bag.start", "bag.verdict"]
    state = heard[0][1]
    assert isinstance(state, LaneState)
    assert (state.source, state.seq, state.dropped) == ("verdict", 1, 2)
    assert heard[2][1] == verdict
    # A newcomer is greeted, with what it may ask for.
    second = bench.client(zmq.SUB)
    later = bench.joined(second)
    assert isinstance(later, Hello)
    assert later.last_verdict_seq == 1
    assert later.seq > hello.seq


def test_a_late_joiner_asks_for_the_snapshot_and_then_the_gap(bench: GatewayBench) -> None:
    bench.start()
    written = [bench.verdict(f"B{seq}", seq) for seq in range(1, 6)]
    bench.say("bag.start", BagNotice(bag_id="C", bag_tag="tag"))
    bench.say("lane.state", LaneState(state="SCANNING"))
    assert bench.service is not None
    bench.until(lambda: bool(bench.service and bench.service.memory.known().state))
    client = bench.client(zmq.DEALER)
    snapshot = bench.ask(client, request_id="s", ask="snapshot")
    assert (snapshot.ok, snapshot.request_id, snapshot.last_seq, snapshot.source) == (True, "s", 5, "gateway")
    assert [notice.bag_id for notice in snapshot.bags] == ["C"]
    assert snapshot.hello is not None
    assert snapshot.hello.last_verdict_seq == 5
    assert snapshot.lane_state is not None
    assert snapshot.lane_state.state == "SCANNING"
    assert snapshot.calibration is not None
    assert snapshot.calibration.state == "UNCALIBRATED"
    got: list[Verdict] = []
    after, more = 0, True
    while more:
        page = bench.ask(client, ask="replay", after_seq=after, limit=2)
        assert len(page.verdicts) <= 2
        got += page.verdicts
        after, more = page.verdicts[-1].seq, page.more
    assert got == written
    middle = bench.ask(client, ask="replay", after_seq=1, until_seq=3)
    assert (middle.verdicts, middle.more, middle.last_seq) == ((*written[1:3],), False, 5)
    assert bench.ask(client, ask="replay", after_seq=5).verdicts == ()


def test_what_the_disk_refused_is_replayed_from_memory_and_a_hole_is_said(bench: GatewayBench) -> None:
    bench.start()
    first = bench.verdict("A", 1)
    second = bench.verdict("B", 2, written=False)
    client = bench.client(zmq.DEALER)
    bench.until(lambda: bool(bench.service and bench.service.memory.last_seq == 2))
    assert bench.ask(client, ask="replay").verdicts == (first, second)
    # The journal is gone altogether: what was heard is given, more than that is refused.
    bench.journal.close()
    (bench.state_dir / "journal.sqlite").write_bytes(b"not a journal" * 100)
    assert bench.ask(client, ask="replay").verdicts == (first, second)
    bench.verdict("D", 4, written=False)
    bench.until(lambda: bool(bench.service and bench.service.memory.last_seq == 4))
    assert bench.service is not None
    bench.service.memory._verdicts.popleft()
    refused = bench.ask(client, ask="replay")
    assert not refused.ok
    assert "journal" in refused.reason
    assert bench.ask(client, ask="replay", after_seq=3).verdicts[0].seq == 4


def test_a_gateway_that_was_away_while_the_disk_refused_gives_every_verdict_or_says_which_it_lacks(
    bench: GatewayBench,
) -> None:
    first = bench.verdict("A", 1)
    # Nobody hears this one: the gateway has just been killed. It waits on disk for the journal.
    second = bench.verdict("B", 2, spilled=True)
    bench.start()
    third = bench.verdict("C", 3, spilled=True)
    bench.until(lambda: bool(bench.service and bench.service.memory.last_seq == 3))
    client = bench.client(zmq.DEALER)
    assert bench.ask(client, ask="replay").verdicts == (first, second, third)
    page = bench.ask(client, ask="replay", limit=2)
    assert (page.verdicts, page.more) == ((first, second), True)
    assert bench.ask(client, ask="replay", after_seq=1, until_seq=2).verdicts == (second,)
    bench.spill.add(Row("bag", asdict(new_bag("D", entry("D", 4, 0), at(1).wall, LIMITS, at(1)).record)))
    snapshot = bench.ask(client, ask="snapshot")
    assert ([bag.bag_id for bag in snapshot.bags], snapshot.last_seq) == (["D"], 3)
    # The file was full for the next one, and nobody heard it: what follows is no answer to a question for it.
    bench.verdict("F", 5, written=False)
    bench.until(lambda: bool(bench.service and bench.service.memory.last_seq == 5))
    assert bench.ask(client, ask="replay").verdicts == (first, second, third)
    refused = bench.ask(client, ask="replay", after_seq=3)
    assert not refused.ok
    assert "verdict 4 is not in the journal" in refused.reason
    assert "after 4" in refused.reason
    assert bench.ask(client, ask="replay", after_seq=4).verdicts[0].seq == 5
    # The disk recovers; the journal has all of them.
    for seq, name in enumerate("BCEF", 2):
        bench.verdict(name, seq)
    assert [verdict.seq for verdict in bench.ask(client, ask="replay").verdicts] == [1, 2, 3, 4, 5]


def test_an_image_comes_from_the_archive(bench: GatewayBench) -> None:
    (bench.state_dir / "archive").mkdir()
    path = write(bench.state_dir / "archive", bag())
    bench.start()
    client = bench.client(zmq.REQ)
    client.send_multipart(
        [b"request", msgpack.packb({"schema_id": "feed-request/1", "ask": "image", "bag_id": path.stem})]
    )
    bench.until(lambda: bool(client.poll(0)))
    topic, message, arrays = wire.decode(client.recv_multipart(), BagImage)
    assert (topic, message.bag_id, message.preview) == ("bag.image", path.stem, False)
    assert message.channels[1] == "refraction_um [µm]"
    with BagFile(path) as file:
        assert file.geometry is not None
        assert message.pixel_mm == (file.geometry.row_pitch_um / 1e3, file.geometry.grid_um / 1e3)
        for index, name in enumerate(("transmission", "refraction_um", "dark_field_um2", "offset")):
            np.testing.assert_array_equal(arrays["image"][index, 1], file.channel(name, 1))
    missing = bench.ask(client, ask="image", bag_id="none", request_id="7")
    assert (missing.ok, missing.request_id) == (False, "7")
    assert "bag none: no image" in missing.reason
    path.write_bytes(path.read_bytes()[:4000])
    assert "cannot be read" in bench.ask(client, ask="image", bag_id=path.stem).reason


def test_what_is_no_request_is_refused_with_the_reason(bench: GatewayBench) -> None:
    bench.start()
    client = bench.client(zmq.REQ)
    wrong: list[tuple[bytes, object, str]] = [
        (b"hello", {}, "two frames"),
        (b"request", [], "not a map"),
        (b"request", {"schema_id": "feed-request/1", "ask": "everything"}, "ask"),
        (b"request", {"schema_id": "feed-request/1", "ask": "image", "bag_id": "../x"}, "bag_id"),
        (b"request", {"schema_id": "feed-request/1", "ask": "replay", "limit": 501}, "limit"),
        (b"request", {"schema_id": "device-command/1", "action": "status"}, "expected FeedRequest"),
    ]
    for topic, header, reason in wrong:
        client.send_multipart([topic, msgpack.packb(header)])
        reply = bench.answer(client)
        assert not reply.ok
        assert reason in reply.reason
    assert bench.counters()["unreadable_requests"] == len(wrong)


def test_a_flood_is_limited_told_once_and_the_feed_goes_on(limited: GatewayBench) -> None:
    bench = limited
    bench.keys.new_server()
    key = bench.allowed("noisy")
    bench.start()
    subscriber, client = bench.client(zmq.SUB, key), bench.client(zmq.DEALER, key)
    bench.joined(subscriber)
    for _ in range(300):
        client.send_multipart([b"request", b"garbage"])
    bench.say("bag.start", BagNotice(bag_id="A"))
    assert bench.hear(subscriber)[0] == "bag.start"
    bench.until(lambda: bench.counters().get("unreadable_requests") == 300)
    assert bench.counters()["requests_limited"] >= 270
    replies = [bench.answer(client)]
    while "too many requests" not in replies[-1].reason:
        replies.append(bench.answer(client))
    while client.poll(200):
        replies.append(bench.answer(client))
    assert len(replies) <= 30


def test_a_port_in_use_is_said_and_waited_for(bench: GatewayBench) -> None:
    other = bench.socket(zmq.PUB)
    port = other.bind_to_random_port("tcp://127.0.0.1")
    gateway = bench.config.gateway.model_copy(update={"feed": f"tcp://127.0.0.1:{port}", "requests": ""})
    bench.config = bench.config.model_copy(update={"gateway": gateway})
    bench.start(greeted=False)
    assert bench.service is not None
    bench.until(lambda: "in use" in (bench.service.loop.detail if bench.service else ""))
    assert "gateway.feed" in bench.service.loop.detail
    other.close(0)
    bench.until(lambda: bench.listeners()[0].socket is not None)
    bench.turn()
    assert bench.service.loop.detail == ""


def test_without_addresses_it_offers_nothing() -> None:
    for settings, detail in (({"enabled": False}, "gateway.enabled"), ({"feed": "", "requests": ""}, "no address")):
        bench = GatewayBench(**settings)
        try:
            bench.start(greeted=False)
            assert bench.service is not None
            assert detail in bench.service.loop.detail
        finally:
            bench.close()


def test_a_killed_gateway_disturbs_nobody_and_loses_nothing_for_a_client_that_asks(bench: GatewayBench) -> None:
    feed, requests = (free_port(socket.SOCK_STREAM) for _ in range(2))
    text = bench.config_file.read_text(encoding="utf-8")
    text = text.replace("127.0.0.1:*", f"127.0.0.1:{feed}", 1).replace("127.0.0.1:*", f"127.0.0.1:{requests}", 1)
    bench.config_file.write_text(text, encoding="utf-8")
    status = bench.bus.socket("status", zmq.PULL, bind=True)
    client = bench.socket(zmq.DEALER)
    left = bench.leaving(client)
    client.connect(f"tcp://127.0.0.1:{requests}")

    command = [sys.executable, "-m", "edge.gateway.main", "--config", str(bench.config_file)]
    process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)})
    try:
        bench.until(lambda: bool(status.poll(10)))
        assert wire.decode(status.recv_multipart(), ServiceStatus)[1].state == "ready"
        written = [bench.verdict("A", 1)]
        assert bench.ask(client, ask="replay").verdicts == (*written,)
    finally:
        process.kill()
        process.wait(20)
    written += [bench.verdict(f"B{seq}", seq) for seq in range(2, 5)]
    assert bench.feed.dropped == 0
    # What is asked before the client has seen that the gateway is gone goes with it.
    bench.until(lambda: bool(left.poll(0)))
    bench.config = load(bench.config_file)
    bench.start()
    assert bench.ask(client, ask="replay", after_seq=1).verdicts == (*written[1:],)


def test_what_a_client_does_not_read_stays_little_and_harms_nobody_else(
    limited: GatewayBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = limited
    # As large as images are.
    monkeypatch.setattr(Answerer, "_snapshot", lambda *_: FeedReply(ok=True, reason="x" * (3 << 20)))
    bench.keys.new_server()
    stuck, good = bench.allowed("stuck"), bench.allowed("good")
    bench.start()
    lazy = bench.client(zmq.DEALER, stuck, rcvhwm=1, rcvbuf=4096)
    for number in range(30):
        lazy.send_multipart(wire.encode("request", FeedRequest(ask="snapshot", request_id=str(number))))
    bench.until(lambda: bench.counters().get("requests_limited", 0) >= 20)
    assert bench.service is not None
    assert bench.service.requests is not None
    assert 1 <= bench.service.requests._load("stuck") <= 4
    assert bench.ask(bench.client(zmq.DEALER, good), ask="calibration").ok
