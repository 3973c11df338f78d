"""Strangers at the gateway's sockets: all refused, all counted, and nobody who may come in is harmed."""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterator
from contextlib import suppress

import pytest
import zmq

from edge.gateway import listener
from edge.messages import BagNotice, Message
from edge.security import key_file
from edge.security.key_file import Key
from edge.security.keys import KeyStore
from edge.security.zap import DOMAIN
from tests.edge.gateway_bench import GatewayBench


@pytest.fixture
def bench() -> Iterator[GatewayBench]:
    made = GatewayBench()
    made.keys.new_server()
    yield made
    made.close()


def refused(bench: GatewayBench, *reasons: str) -> None:
    """Wait until somebody was refused for one of these reasons."""
    bench.until(lambda: any(bench.counters().get(f"refused_{reason}", 0) for reason in reasons))
    assert bench.counters()["refused"] == sum(
        count for name, count in bench.counters().items() if name.startswith("refused_")
    )


def send(client: zmq.Socket[bytes]) -> None:
    """A request, if it has anybody to send it to."""
    with suppress(zmq.Again):
        client.send_multipart([b"request", b"\x80"], zmq.NOBLOCK)


def known(bench: GatewayBench) -> list[str]:
    """Names that the service admits now."""
    assert bench.service is not None
    assert bench.service.guard is not None
    return list(bench.service.guard.zap.known.allowed.values())


def hears_nothing(client: zmq.Socket[bytes]) -> bool:
    return client.poll(0) == 0


@pytest.mark.parametrize("kind", [zmq.SUB, zmq.DEALER], ids=["feed", "requests"])
def test_strangers_are_refused_and_counted(bench: GatewayBench, kind: int, caplog: pytest.LogCaptureFixture) -> None:
    good, gone = bench.allowed("good"), bench.allowed("gone")
    bench.keys.revoke("gone")
    # Allowed, but by another box: its key is right in another domain.
    elsewhere, foreign = KeyStore(bench.state_dir / "other" / "keys"), key_file.new_key("good")
    elsewhere.new_server()
    elsewhere.allow("good", foreign.public)
    bench.start()
    caplog.set_level(logging.WARNING)
    # Without CURVE both sides see that they do not fit; whoever hangs up first gives the reason.
    strangers: list[tuple[tuple[str, ...], Key | None, bytes | None]] = [
        (("no_key", "gave_up"), None, None),
        (("unknown_key",), key_file.new_key("good"), None),
        (("unknown_key",), foreign, None),
        (("wrong_server_key",), good, elsewhere.server().public),
        (("wrong_server_key",), foreign, elsewhere.server().public),
        (("revoked_key",), gone, None),
    ]
    clients = []
    for reasons, key, server in strangers:
        bench.counters().clear()
        client = bench.client(kind, key, server)
        if kind == zmq.DEALER:
            send(client)
        refused(bench, *reasons)
        clients.append(client)
    # Neither is anything but ZeroMQ let in.
    host, port = bench.address("feed" if kind == zmq.SUB else "requests").removeprefix("tcp://").split(":")
    bench.counters().clear()
    with socket.create_connection((host, int(port))) as web:
        web.sendall(b"GET / HTTP/1.0\r\n\r\n")
        bench.until(lambda: bench.counters().get("refused_not_zeromq", 0) == 1)
    friend = bench.client(kind, good)
    if kind == zmq.SUB:
        bench.joined(friend)
        bench.say("bag.start", BagNotice(bag_id="A"))
        assert bench.hear(friend)[0] == "bag.start"
    else:
        assert bench.ask(friend, ask="snapshot").ok
    assert all(hears_nothing(client) for client in clients)
    assert bench.counters().get("requests", 0) == (kind == zmq.DEALER)
    said = [record.getMessage() for record in caplog.records]
    assert any("refused 127.0.0.1: the revoked key of gone" in line for line in said)
    assert any("a key that nobody allowed" in line for line in said)


def test_a_key_revoked_while_connected_is_cut_off_and_nobody_else_misses_anything(bench: GatewayBench) -> None:
    good, bad = bench.allowed("good"), bench.allowed("bad")
    bench.start()
    friend, enemy = bench.client(zmq.SUB, good), bench.client(zmq.SUB, bad)
    asking, talking = bench.client(zmq.DEALER, good), bench.client(zmq.DEALER, bad)
    for client in (friend, enemy):
        bench.joined(client)
    assert bench.ask(talking, ask="snapshot").ok
    bench.say("bag.start", BagNotice(bag_id="A"))
    for client in (friend, enemy):
        assert bench.hear(client)[0] == "bag.start"
    bench.keys.revoke("bad")
    refused(bench, "revoked_key")
    bench.say("bag.start", BagNotice(bag_id="B"))
    bench.say("bag.start", BagNotice(bag_id="C"))
    heard: list[Message] = [bench.hear(friend)[1] for _ in range(2)]
    assert [message.seq for message in heard] == [2, 3]
    assert bench.ask(asking, ask="snapshot").ok
    send(talking)
    while enemy.poll(0):
        assert enemy.recv_multipart()[0] == b"hello"
    assert hears_nothing(talking)
    # Allowed again, it may connect again.
    bench.keys.allow("bad", bad.public)
    bench.until(lambda: "bad" in known(bench))
    bench.joined(bench.client(zmq.SUB, bad))


def test_a_socket_of_another_domain_is_not_served(bench: GatewayBench) -> None:
    """The handler answers for every socket of its context; for a domain that is not ours it says no."""
    key = bench.allowed("good")
    bench.start()
    assert bench.service is not None
    server = bench.keys.server()
    other = bench.service.bus.context.socket(zmq.ROUTER)
    try:
        other.curve_server, other.zap_domain = 1, f"{DOMAIN}2".encode()
        other.curve_publickey, other.curve_secretkey = server.public, server.secret
        port = other.bind_to_random_port("tcp://127.0.0.1")
        client = bench.socket(zmq.DEALER)
        client.curve_publickey, client.curve_secretkey, client.curve_serverkey = key.public, key.secret, server.public
        client.connect(f"tcp://127.0.0.1:{port}")
        client.send(b"hello")
        refused(bench, "wrong_domain")
        assert not other.poll(0)
    finally:
        other.close(0)


def test_without_an_answer_of_ours_nobody_comes_in(bench: GatewayBench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "HANDSHAKE_MS", 300)
    key = bench.allowed("good")
    bench.start()
    assert bench.service is not None
    assert bench.service.guard is not None
    bench.service.loop.off(bench.service.guard.zap.socket)
    bench.service.guard.close()
    send(bench.client(zmq.DEALER, key))
    refused(bench, "gave_up")
    assert bench.counters().get("unreadable_requests", 0) == 0


def test_without_a_safe_key_of_the_box_nothing_is_offered(bench: GatewayBench) -> None:
    bench.keys.secret_file.chmod(0o640)
    bench.start(greeted=False)
    assert bench.service is not None
    loop = bench.service.loop
    bench.until(lambda: "lets others read the secret" in loop.detail)
    bench.keys.secret_file.unlink()
    bench.until(lambda: "darklane keys new" in loop.detail)
    assert all(listener.socket is None for listener in bench.listeners())
    bench.keys.new_server()
    bench.until(lambda: all(listener.socket is not None for listener in bench.listeners()))


def test_a_damaged_key_file_admits_nobody_and_is_said(bench: GatewayBench, caplog: pytest.LogCaptureFixture) -> None:
    key = bench.allowed("good")
    file = bench.keys.clients / "good.key"
    whole = file.read_bytes()
    file.write_bytes(whole.replace(b"good", b"gold"))
    bench.start()
    bench.client(zmq.SUB, key)
    refused(bench, "unknown_key")
    assert "good.key: damaged" in caplog.text
    file.write_bytes(whole)
    bench.until(lambda: known(bench) == ["good"])
    bench.joined(bench.client(zmq.SUB, key))
