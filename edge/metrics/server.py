"""Serves the metrics that the services wrote, over HTTP on loopback. Runs in a thread of the gateway."""

from __future__ import annotations

import logging
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Final
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from edge.metrics import sheet, table
from edge.services import SERVICES

HOST: Final = "127.0.0.1"
#: Prometheus' text format; the library's name for it is not the same in all its versions.
CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
#: Five status periods: what is older says nothing about now, ns.
FRESH_NS: Final = 5_000_000_000
#: Whoever connects and then says nothing is cut off, so that the next one is served, s.
PATIENCE_S: Final = 2.0
RETRY_S: Final = 5.0
LOOK_S: Final = 0.2


class Lane(Collector):
    """The fresh sheets of all services as one, and who has none."""

    def __init__(self, run_dir: Path) -> None:
        self._run_dir = run_dir

    def text(self, service: str) -> str:
        """The sheet of one service; empty when it is gone or hangs."""
        return sheet.read(sheet.path_of(self._run_dir, service), time.monotonic_ns(), FRESH_NS)

    def collect(self) -> Iterator[Metric]:
        """Families of the same name are one, as the format wants it."""
        up = GaugeMetricFamily(table.UP.name, table.UP.help, labels=["service"])
        families: dict[str, Metric] = {}
        for service in SERVICES:
            text = self.text(service.name)
            up.add_metric([service.name], float(bool(text)))
            for family in text_string_to_metric_families(text):
                families.setdefault(family.name, Metric(family.name, family.documentation, family.type))
                families[family.name].samples += family.samples
        yield up
        yield from families.values()


class _Handler(WSGIRequestHandler):
    timeout = PATIENCE_S

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: a line per scrape says nothing."""


class _Server(WSGIServer):
    def server_bind(self) -> None:
        # The library would ask a name server who we are.
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = HOST, self.server_address[1]
        self.setup_environ()

    def handle_error(self, request: object, client_address: object) -> None:
        # Somebody who hung up in the middle.
        logging.getLogger("gateway").debug("metrics: a request failed", exc_info=True)


class MetricsServer:
    """Answers one request after the other until closed. A port in use is tried again: no lane waits for it."""

    def __init__(self, run_dir: Path, port: int, log: logging.Logger) -> None:
        """``port`` 0: any free one."""
        self.port = 0
        self.bound = threading.Event()
        self._lane, self._wanted, self._log = Lane(run_dir), port, log
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="metrics", daemon=True)

    def __enter__(self) -> MetricsServer:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join(PATIENCE_S + 1.0)

    def _run(self) -> None:
        told = ""
        while not self._ended.is_set():
            try:
                server = _Server((HOST, self._wanted), _Handler)
            except OSError as error:
                if str(error) != told:
                    told = str(error)
                    self._log.error("metrics.port = %d: %s; trying again", self._wanted, error)
                self._ended.wait(RETRY_S)
                continue
            with server:
                server.set_app(self._answer)
                server.timeout = LOOK_S
                self.port = server.server_port
                self._log.info("metrics on http://%s:%d/metrics", HOST, self.port)
                self.bound.set()
                while not self._ended.is_set():
                    server.handle_request()

    def _answer(self, environ: dict[str, Any], start: Callable[..., Any]) -> list[bytes]:
        path = str(environ.get("PATH_INFO", ""))
        known = {f"/metrics/{service.name}": service.name for service in SERVICES}
        if path == "/metrics":
            text = sheet.render(self._lane)
        elif path in known:
            text = self._lane.text(known[path])
        else:
            text = ""
        if environ.get("REQUEST_METHOD") != "GET" or not text:
            start("404 Not Found", [("Content-Type", "text/plain")])
            return [b"nothing here; there are /metrics and /metrics/NAME of each service that runs\n"]
        start("200 OK", [("Content-Type", CONTENT_TYPE)])
        return [text.encode()]
