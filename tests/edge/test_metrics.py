"""Metrics: from a service's loop, through its file, over real HTTP, as Prometheus' own parser reads them."""

from __future__ import annotations

import ast
import logging
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import zmq
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

import edge
from edge.bus import Bus
from edge.config import Config
from edge.loop import Loop
from edge.messages import LaneState, ServiceStatus
from edge.metrics import server, sheet, table
from edge.metrics.server import MetricsServer
from edge.security import key_file
from edge.services import SERVICES
from edge.verdict.actions import Now
from edge.verdict.calibration_state import CalibrationState
from edge.verdict.numbers import Numbers
from edge.verdict.recorder import Recorder
from tests.edge.feed_gateway import verdict
from tests.edge.gateway_bench import GatewayBench

PAGE = Path(__file__).parents[2] / "docs/reference/metrics.md"
PATIENCE_S = 20.0
FRESH_NS = 600_000_000_000


class Box:
    """A run directory with loops of services in it, and the server."""

    def __init__(self, run_dir: Path) -> None:
        self.run_dir = run_dir
        self.server = MetricsServer(run_dir, 0, logging.getLogger("test"))

    def get(self, path: str = "/metrics") -> str:
        assert self.server.bound.wait(PATIENCE_S)
        address = f"http://127.0.0.1:{self.server.port}{path}"
        with urllib.request.urlopen(address, timeout=PATIENCE_S) as answer:
            assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
            text: str = answer.read().decode()
        return text

    def samples(self, path: str = "/metrics") -> list[Sample]:
        return [sample for family in text_string_to_metric_families(self.get(path)) for sample in family.samples]

    def value(self, name: str, **labels: str) -> float | None:
        found = [s.value for s in self.samples() if s.name == name and s.labels.items() >= labels.items()]
        assert len(found) <= 1
        return found[0] if found else None


@pytest.fixture
def box(monkeypatch: pytest.MonkeyPatch) -> Iterator[Box]:
    # A machine may stall longer than a sheet is fresh.
    monkeypatch.setattr(server, "FRESH_NS", FRESH_NS)
    monkeypatch.setattr(server._Handler, "timeout", 0.3)
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    with tempfile.TemporaryDirectory(prefix="dl-") as folder:
        made = Box(Path(folder))
        with made.server:
            yield made
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def verdicts(box: Box) -> Iterator[Loop]:
    bus = Bus(box.run_dir, "verdict")
    bus.metrics = sheet.path_of(box.run_dir, "verdict")
    yield Loop(bus, "bags")
    bus.close()


def test_what_the_loop_counts_is_read_over_http(box: Box, verdicts: Loop) -> None:
    numbers = Numbers(verdicts)
    drift = {"mask_shift_um": -1.5}
    numbers.verdict(verdict(1, latency_ms=150.0))
    numbers.verdict(
        verdict(2, decision="CLEAR", iata="CLR", reason=None, latency_ms=400.0, drift=drift, air_scale=(0.9, 1.1))
    )
    numbers.verdict(verdict(3, final=False))
    verdicts.queue, verdicts.lag_ms = 3, 250.0
    verdicts.report("ready")
    assert box.value("darklane_verdicts_total", decision="clear", service="verdict") == 1
    assert box.value("darklane_verdicts_total", decision="unknown") == 1
    assert box.value("darklane_unknown_total", reason="Timeout") == 1
    assert box.value("darklane_supplements_total") == 1
    assert box.value("darklane_queue", service="verdict") == 3
    assert box.value("darklane_lag_seconds") == 0.25
    assert box.value("darklane_air_scale", bin="high") == 1.1
    assert box.value("darklane_drift_mask_shift_micrometres") == -1.5
    counts = {s.labels["le"]: s.value for s in box.samples() if s.name == "darklane_verdict_latency_seconds_bucket"}
    assert (counts["0.1"], counts["0.2"], counts["0.5"], counts["+Inf"]) == (0, 1, 2, 2)
    assert box.value("darklane_verdict_latency_seconds_sum") == pytest.approx(0.55)
    verdicts.count("alarm", 4)
    verdicts.report("ready")
    assert box.value("darklane_verdicts_total", decision="alarm") == 4


def test_journal_lane_and_calibration(box: Box, verdicts: Loop, tmp_path: Path) -> None:
    numbers = Numbers(verdicts)
    recorder = Recorder(tmp_path / "journal.sqlite", "boot")
    calibration = CalibrationState(Config.model_validate({"lane": {"state_dir": str(tmp_path)}}))
    state, now = LaneState(state="DEGRADED"), Now(1, 1)
    for fault in ("", "disk full", "disk full", "", "read-only"):
        recorder.fault = fault
        numbers.tick(state, recorder, calibration, now)
    verdicts.report("ready")
    assert box.value("darklane_journal_faults_total") == 2
    assert box.value("darklane_journal_fault") == 1
    assert box.value("darklane_lane_state", state="DEGRADED") == 1
    assert box.value("darklane_lane_state", state="READY") == 0
    assert box.value("darklane_calibration_state", state="UNCALIBRATED") == 1
    assert box.value("darklane_calibration_age_seconds") is None
    recorder.close()


@pytest.fixture
def bench() -> Iterator[GatewayBench]:
    made = GatewayBench(requests_per_s=0.01)
    made.keys.new_server()
    yield made
    made.close()


def test_strangers_and_the_impatient_at_the_gateway(box: Box, bench: GatewayBench) -> None:
    friend = bench.allowed("friend")
    bench.start()
    assert bench.service is not None
    bench.client(zmq.SUB, key_file.new_key("stranger"))
    asking = bench.client(zmq.DEALER, friend)
    assert [bench.ask(asking, ask="snapshot").ok for _ in range(2)] == [True, False]
    bench.until(lambda: bench.counters().get("refused_unknown_key", 0) > 0)
    bench.service.bus.metrics = sheet.path_of(box.run_dir, "gateway")
    bench.service.loop.report("ready")
    assert (
        box.value("darklane_handshakes_refused_total", reason="unknown_key") == bench.counters()["refused_unknown_key"]
    )
    assert box.value("darklane_requests_total") == bench.counters()["requests"]
    assert box.value("darklane_requests_limited_total") == bench.counters()["requests_limited"] > 0
    assert box.value("darklane_feed_dropped_total", service="gateway") == 0


def test_the_gateway_serves_them_where_the_configuration_says(tmp_path: Path) -> None:
    """As a process, with nothing but its configuration: it serves its own until it ends."""
    with tempfile.TemporaryDirectory(prefix="dl-") as folder, (tmp_path / "log").open("wb") as stderr:
        file = Path(folder) / "lane.toml"
        file.write_text(f"[lane]\nstate_dir = '{folder}'\n[metrics]\nenabled = true\nport = 0\n")
        command = [sys.executable, "-m", "edge.gateway.main", "--config", str(file)]
        with subprocess.Popen(command, stderr=stderr) as process:
            deadline = time.monotonic() + PATIENCE_S
            while not (found := re.search(r"metrics on http://127.0.0.1:(\d+)/", (tmp_path / "log").read_text())):
                assert time.monotonic() < deadline
                time.sleep(0.05)
            text = ""
            while 'darklane_up{service="gateway"} 1.0' not in text:
                assert time.monotonic() < deadline
                with urllib.request.urlopen(f"http://127.0.0.1:{found[1]}/metrics", timeout=PATIENCE_S) as answer:
                    text = answer.read().decode()
            process.terminate()
            assert process.wait(PATIENCE_S) == 0
        assert not sheet.path_of(Path(folder) / "run", "gateway").exists()


def test_what_is_stale_is_absent_and_not_zero(box: Box, verdicts: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    verdicts.count("clear")
    verdicts.gauge("calibration_age_s", 5.0)
    verdicts.gauge("drift_mask_shift_um", 1.0, keep_s=-1.0)
    verdicts.report("ready")
    assert box.value("darklane_calibration_age_seconds") == 5.0
    assert box.value("darklane_drift_mask_shift_micrometres") is None
    assert box.value("darklane_up", service="verdict") == 1
    assert box.value("darklane_up", service="readout") == 0
    # The loop hangs: its file stays as it is.
    later = time.monotonic_ns() + FRESH_NS + 1
    monkeypatch.setattr(time, "monotonic_ns", lambda: later)
    assert {s.labels["service"]: s.value for s in box.samples()} == {s.name: 0 for s in SERVICES}
    with pytest.raises(urllib.error.HTTPError, match="404"):
        box.get("/metrics/verdict")


def test_a_service_that_ends_takes_its_metrics_with_it(box: Box, verdicts: Loop) -> None:
    verdicts.report("ready")
    assert "darklane_queue" in box.get("/metrics/verdict")
    verdicts.report("stopping")
    assert box.value("darklane_up", service="verdict") == 0
    for path in ("/", "/metrics/verdict", "/metrics/nobody", "/metrics/../lane.toml"):
        with pytest.raises(urllib.error.HTTPError, match="404") as refused:
            box.get(path)
        refused.value.close()


def test_a_disk_without_room_stops_no_loop(box: Box, verdicts: Loop) -> None:
    (box.run_dir / sheet.FOLDER).write_text("in the way of the folder")
    verdicts.report("ready")
    assert box.value("darklane_up", service="verdict") == 0


@settings(max_examples=30)
@given(st.binary(max_size=80))
def test_a_file_that_is_not_whole_is_no_metric(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.prom"
        path.write_bytes(content)
        assert sheet.read(path, 1 << 62, FRESH_NS) == ""
        path.write_bytes(sheet.STAMP.encode() + b"5000\nabc 1\n")
        assert [sheet.read(path, now, 100) for now in (4999, 5000, 5100, 5101)] == ["", "abc 1\n", "abc 1\n", ""]


def test_a_silent_visitor_does_not_keep_others_out(box: Box, verdicts: Loop) -> None:
    verdicts.report("ready")
    assert box.server.bound.wait(PATIENCE_S)
    with (
        socket.create_connection(("127.0.0.1", box.server.port)),
        socket.create_connection(("127.0.0.1", box.server.port)) as rude,
    ):
        rude.sendall(b"\xff\x00 nonsense\r\n\r\n")
        assert "darklane_up" in box.get()


def test_a_port_in_use_is_said_and_stops_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with MetricsServer(tmp_path, port, logging.getLogger("test")) as refused:
            deadline = time.monotonic() + PATIENCE_S
            while not caplog.records and time.monotonic() < deadline:
                time.sleep(0.01)
            assert not refused.bound.is_set()
    assert f"metrics.port = {port}" in caplog.text


def test_every_word_of_the_loops_has_a_metric() -> None:
    """Literal counters of the services, as they stand in the source."""
    root = Path(edge.__file__).parent
    unknown = []
    for service in SERVICES:
        for path in sorted((root / service.name).glob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute | ast.Name)):
                    continue
                name = node.func.attr if isinstance(node.func, ast.Attribute) else node.func.id
                if name in ("count", "_count", "gauge") and node.args and isinstance(node.args[0], ast.Constant):
                    key = node.args[0].value
                    if not isinstance(key, str):
                        continue
                    if (service.name, key) not in table.SUMS and table.find(service.name, key)[0] is table.OTHER:
                        unknown.append(f"{service.name}: {key}")
    assert unknown == []


def test_a_counter_without_a_row_is_shown_all_the_same(box: Box, verdicts: Loop) -> None:
    verdicts.count("surprise", 2)
    verdicts.report("ready")
    assert box.value("darklane_other_total", what="surprise") == 2


def test_names_are_unique_and_no_key_is_claimed_twice() -> None:
    names = [metric.name for metric in (table.UP, *table.COMMON, *table.METRICS, table.OTHER)]
    assert len(names) == len(set(names))
    known = {service.name for service in SERVICES}
    for service in known:
        for metric in table.METRICS:
            assert set(metric.services) <= known
            if not metric.services or service in metric.services:
                assert all(table.find(service, key)[0] is metric for key in metric.keys)


def test_the_page_is_the_table() -> None:
    assert PAGE.read_text(encoding="utf-8") == table.markdown(), "run python -m edge.metrics.table"


def test_every_row_of_the_table_can_be_read_by_prometheus() -> None:
    for service in SERVICES:
        own = [m for m in table.METRICS if not m.services or service.name in m.services]
        counters = {
            key + ("x" if m.label and key[-1] in "._" else ""): 1 for m in own if m.kind == "counter" for key in m.keys
        }
        gauges = {key + ("x" if m.label else ""): sheet.Gauge(1.0) for m in own if m.kind == "gauge" for key in m.keys}
        tallies = {key: sheet.Histogram((1.0,)) for m in own if m.kind == "histogram" for key in m.keys}
        text = sheet.render(sheet.Sheet(service.name, ServiceStatus(counters=counters), gauges, tallies))
        read = {family.name: family for family in text_string_to_metric_families(text)}
        assert set(read) == {m.name for m in (*table.COMMON, *own)}
        for metric in (*table.COMMON, *own):
            assert (read[metric.name].type, read[metric.name].documentation) == (metric.kind, metric.help)
            assert all(s.labels["service"] == service.name for s in read[metric.name].samples)
            assert all(set(s.labels) - {"le"} == {"service", metric.label} - {""} for s in read[metric.name].samples)
