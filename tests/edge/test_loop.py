"""The loop that all services share: handlers, ticks, status, signals, the watchdog of systemd."""

from __future__ import annotations

import os
import signal
import socket
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import zmq

from edge import loop as module
from edge.bus import Bus
from edge.loop import Loop, notify, start
from edge.messages import LaneState, ServiceStatus


@pytest.fixture
def bus() -> Iterator[Bus]:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    with tempfile.TemporaryDirectory(prefix="dl-") as folder:
        made = Bus(Path(folder), "toy")
        yield made
        made.close()
    for number, handler in before.items():
        signal.signal(number, handler)


def test_handlers_run_when_there_is_something_and_status_tells_the_work(
    bus: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "STATUS_PERIOD_S", 0.0)
    status = bus.socket("status", zmq.PULL, bind=True)
    pull = bus.socket("slabs", zmq.PULL, bind=True)
    push = bus.socket("slabs", zmq.PUSH, bind=False)
    loop = Loop(bus, "states")
    taken: list[str] = []

    def take() -> None:
        taken.append(bus.receive(pull, LaneState)[1].detail)
        loop.worked()
        loop.count("taken")
        if taken == ["a"]:
            loop.off(pull)  # not heard any more
        loop.running = len(taken) < 2

    def tick() -> None:
        if taken == ["a"]:
            loop.on(pull, take)

    loop.on(pull, take)
    loop.every_tick(tick)
    for detail in ("a", "b"):
        bus.send(push, "state", LaneState(state="READY", detail=detail))
    loop.run()
    assert taken == ["a", "b"]
    reports = []
    while status.poll(500):
        reports.append(bus.receive(status, ServiceStatus)[1])
        if reports[-1].state == "stopping":
            break
    assert reports[0].state == "ready"
    assert reports[-1].counters == {"taken": 2}
    assert {report.unit for report in reports} == {"states"}
    assert any(report.rate_hz > 0 for report in reports)


def test_nobody_listening_to_the_status_stops_nothing(bus: Bus) -> None:
    loop = Loop(bus, "none")
    for _ in range(3000):
        loop.report("ready")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_end_the_loop(bus: Bus, number: signal.Signals) -> None:
    loop = Loop(bus, "none")
    loop.every_tick(lambda: os.kill(os.getpid(), number))
    loop.run()
    assert not loop.running


def test_a_plain_file_descriptor_can_be_watched(bus: Bus) -> None:
    loop = Loop(bus, "none")
    reader, writer = os.pipe()

    def read() -> None:
        assert os.read(reader, 10) == b"x"
        loop.off(reader)
        loop.running = False

    loop.on(reader, read)
    os.write(writer, b"x")
    loop.run()
    os.close(reader)
    os.close(writer)


def test_systemd_hears_of_ready_progress_and_end(bus: Bus, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(module, "STATUS_PERIOD_S", 0.0)
    path = Path(tempfile.mkdtemp(prefix="dl-")) / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind(str(path))
        server.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", str(path))
        loop = Loop(bus, "none")
        loop.count("found", 2)
        loop.count("lost", 0)
        loop.detail = "belt\nnot there"
        loop.every_tick(lambda: setattr(loop, "running", False))
        loop.run()
        assert [server.recv(500) for _ in range(3)] == [
            b"READY=1",
            b"WATCHDOG=1\nSTATUS=0.0 none/s, queue 0, lag 0 ms; found 2; belt not there",
            b"STOPPING=1",
        ]
    # A systemd that is gone is no reason to stop.
    notify("WATCHDOG=1")


def test_a_bad_configuration_ends_the_service_with_the_key_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "lane.toml"
    file.write_text("[belt]\nlead_air_mm = -1\n")
    monkeypatch.setattr(sys, "argv", ["toy", "--config", str(file)])
    assert start("toy", lambda config, bus: None) == 2
    assert "belt.lead_air_mm = -1" in caplog.text


def test_a_loop_that_hangs_in_a_handler_does_not_feed_the_watchdog(bus: Bus, monkeypatch: pytest.MonkeyPatch) -> None:
    """No thread, no timer: whoever hangs says nothing, and systemd ends it."""
    monkeypatch.setattr(module, "STATUS_PERIOD_S", 0.0)
    said: list[str] = []
    monkeypatch.setattr(module, "notify", said.append)
    loop = Loop(bus, "none")

    def hang() -> None:
        said.clear()
        signal.sigtimedwait([], 0.3)
        assert said == []
        loop.running = False

    loop.every_tick(hang)
    loop.run()
    assert [text.split("\n")[0] for text in said] == ["WATCHDOG=1", "STOPPING=1"]
