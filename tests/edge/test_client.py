"""The feed client over real sockets, plain and with CURVE: late, cut off, silent lanes, garbage."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import zmq
import zmq.auth

from edge.client import AsyncFeedClient, FeedClient, KeyFileError, Keys, Silence, ask, tracker
from edge.client.items import Item
from edge.messages import FeedReply, FeedRequest, Verdict
from tests.edge.feed_gateway import Gateway

SERVER = zmq.curve_keypair()
CLIENT = zmq.curve_keypair()
KEYS = Keys(SERVER[0], *CLIENT)
#: A client that needs longer hangs, s. (Rounds are no measure: where a heartbeat waits, one takes no time.)
PATIENCE_S = 60.0


@pytest.fixture(params=["plain", "curve"])
def lane(request: pytest.FixtureRequest) -> Iterator[tuple[Gateway, Keys | None]]:
    secure = request.param == "curve"
    gateway = Gateway(SERVER if secure else None)
    yield gateway, KEYS if secure else None
    gateway.close()


def follow(gateway: Gateway, clients: list[FeedClient], got: list[list[Item]], done: Callable[[], bool]) -> None:
    """Let gateway and clients take turns until ``done``."""
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        if done():
            return
        gateway.serve()
        for client, items in zip(clients, got, strict=True):
            item = client.next(0.01)
            while item is not None:
                items.append(item)
                item = client.next(0.0)
    raise AssertionError("the clients did not come so far")


def seqs(items: list[Item]) -> list[int]:
    return [item.seq for item in items if isinstance(item, Verdict)]


def test_late_joiner_and_cut_off_client_end_with_the_sequence_of_one_that_never_left(
    lane: tuple[Gateway, Keys | None],
) -> None:
    gateway, keys = lane

    def client(after: int) -> FeedClient:
        return FeedClient(gateway.feed_address, gateway.request_address, keys=keys, after=after)

    got: list[list[Item]] = [[], []]
    with client(0) as steady, client(0) as early:
        both = [steady, early]
        follow(gateway, both, got, lambda: len(gateway.asked) >= 2)
        for seq in range(1, 6):
            gateway.decide(seq)
        follow(gateway, both, got, lambda: [seqs(items) for items in got] == [[1, 2, 3, 4, 5]] * 2)
        # One is cut off: its sockets are gone while verdicts are given. What it had is all that it knows.
        early.close()
        for seq in range(6, 40):
            gateway.decide(seq)
            if seq % 10 == 0:
                follow(gateway, [steady], got[:1], lambda seq=seq: seqs(got[0])[-1:] == [seq])  # type: ignore[misc]
        with client(early.last_seq or 0) as back, client(0) as late:
            got.append([])
            trio = [steady, back, late]
            follow(gateway, trio, got, lambda: all(seqs(items)[-1:] == [39] for items in got))
            gateway.decide(40)
            follow(gateway, trio, got, lambda: all(seqs(items)[-1:] == [40] for items in got))
    assert [seqs(items) for items in got] == [list(range(1, 41))] * 3


def test_a_network_that_was_away_leaves_no_gap(lane: tuple[Gateway, Keys | None]) -> None:
    gateway, keys = lane
    got: list[list[Item]] = [[]]
    with FeedClient(gateway.feed_address, gateway.request_address, keys=keys, after=0) as client:
        gateway.decide(1)
        follow(gateway, [client], got, lambda: seqs(got[0]) == [1])
        gateway.cut()
        for seq in range(2, 60):
            gateway.journal.append(gateway.journal[0].model_copy(update={"seq": seq, "bag_id": f"B{seq}"}))
        assert client.next(0.05) is None
        gateway.restore()
        follow(gateway, [client], got, lambda: client.last_seq == 1 and bool(gateway.feed.poll(0)))
        gateway.decide(60)
        follow(gateway, [client], got, lambda: seqs(got[0])[-1:] == [60])
    assert seqs(got[0]) == list(range(1, 61))


def test_silence_is_an_item_and_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracker, "MISSED_HEARTBEATS", 0.5)
    gateway = Gateway()
    gateway.lane = gateway.lane.model_copy(update={"state": "SCANNING"})
    try:
        with FeedClient(gateway.feed_address, gateway.request_address, after=0) as client:
            gateway.serve()
            got: list[Item] = []
            while not any(isinstance(item, Silence) for item in got):
                item = client.next(20.0)
                assert item is not None, "nothing was said about the silence"
                got.append(item)
            silence = len(got)
            follow(gateway, [client], [got], lambda: len(got) > silence)
    finally:
        gateway.close()


def test_unreadable_messages_are_counted_and_a_lost_verdict_is_asked_for() -> None:
    gateway = Gateway()
    try:
        with FeedClient(gateway.feed_address, gateway.request_address, after=0) as client:
            got: list[list[Item]] = [[]]
            gateway.joined(5)
            for frames in ([b"bag.verdict"], [b"bag.verdict", b"\xc1"], [b"lane.state", b"\x80"]):
                gateway.feed.send_multipart(frames)
            gateway.decide(1, say=False)
            gateway.decide(2)
            follow(gateway, [client], got, lambda: seqs(got[0]) == [1, 2])
            assert client.unreadable == 3
    finally:
        gateway.close()


def test_the_asyncio_client_gives_the_same(lane: tuple[Gateway, Keys | None]) -> None:
    gateway, keys = lane
    for seq in (1, 2, 3):
        gateway.decide(seq)

    async def read() -> list[int]:
        got: list[Item] = []
        async with AsyncFeedClient(gateway.feed_address, gateway.request_address, keys=keys, after=0) as client:
            until = time.monotonic() + PATIENCE_S
            while time.monotonic() < until:
                gateway.serve()
                item = await client.next(0.01)
                if item is not None:
                    got.append(item)
                if seqs(got) == [1, 2, 3]:
                    gateway.decide(4)
                if seqs(got)[-1:] == [4]:
                    break
            assert client.last_seq == 4
        return seqs(got)

    assert asyncio.run(read()) == [1, 2, 3, 4]


def test_async_iteration_waits_for_items() -> None:
    gateway = Gateway()

    async def first() -> Item:
        async with AsyncFeedClient(gateway.feed_address) as client:
            gateway.joined(5)
            asyncio.get_running_loop().call_later(0.05, gateway.serve)
            async for item in client:
                return item
        raise AssertionError

    try:
        assert asyncio.run(first()) == gateway.lane
    finally:
        gateway.close()


def test_one_question_gets_its_answer_or_a_timeout(lane: tuple[Gateway, Keys | None]) -> None:
    gateway, keys = lane
    gateway.decide(1)
    answers: list[object] = []
    request = FeedRequest(ask="replay")
    asking = threading.Thread(
        target=lambda: answers.append(ask(gateway.request_address, request, keys=keys, timeout_s=30.0))
    )
    asking.start()
    assert gateway.router.poll(20_000)
    gateway.serve()
    asking.join()
    (reply,) = answers
    assert isinstance(reply, FeedReply)
    assert [v.seq for v in reply.verdicts] == [1]
    gateway.cut()
    with pytest.raises(TimeoutError, match="replay"):
        ask(gateway.request_address, request, keys=keys, timeout_s=0.05)


def test_a_stranger_hears_nothing_and_learns_that_it_is_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracker, "MISSED_HEARTBEATS", 0.5)
    gateway = Gateway(SERVER)
    try:
        with FeedClient(gateway.feed_address, keys=Keys(zmq.curve_keypair()[0], *CLIENT)) as client:
            item = None
            while item is None:
                gateway.serve()
                item = client.next(0.1)
            assert isinstance(item, Silence)
    finally:
        gateway.close()


def test_bad_addresses_and_key_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="'nowhere'"):
        FeedClient("nowhere")
    public, secret = zmq.auth.create_certificates(tmp_path, "me")
    keys = Keys.load(Path(public), Path(secret))
    assert len(keys.server) == len(keys.secret) == 40
    with pytest.raises(KeyFileError, match="holds no secret key"):
        Keys.load(Path(public), Path(public))
    with pytest.raises(KeyFileError, match="darklane keys"):
        Keys.load(tmp_path / "none", Path(secret))


def test_the_library_needs_nothing_of_the_lane_but_its_messages() -> None:
    code = "import sys, edge.client; print(*sorted(name for name in sys.modules if name.startswith('edge.')))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    others = {".".join(name.split(".")[:2]) for name in done.stdout.split()}
    assert others == {"edge.client", "edge.messages", "edge.topics", "edge.wire"}
