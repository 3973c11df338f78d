"""What every service's ``main.py`` shares: arguments, signals, logging, status, watchdog."""

from __future__ import annotations

import argparse
import logging
import math
import os
import signal
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import FrameType

import zmq

from edge import logs, wire
from edge.bus import Bus
from edge.config import Config, ConfigError, load
from edge.messages import ServiceStatus
from edge.metrics import sheet

STATUS_PERIOD_S = 1.0


class Loop:
    """Poll sockets, call handlers, tick; ends on SIGTERM or SIGINT.

    Status goes to the supervisor without ever blocking, and the systemd watchdog is fed from the progress
    of this loop only.
    """

    def __init__(self, bus: Bus, unit: str) -> None:
        self.bus = bus
        self.log = logging.getLogger(bus.stamp.source)
        self.running = True
        self.counters: dict[str, int] = {}
        #: Shown in the metrics only.
        self.gauges: dict[str, sheet.Gauge] = {}
        self.histograms: dict[str, sheet.Histogram] = {}
        self.queue = 0
        self.lag_ms = 0.0
        self.detail = ""
        self._unit = unit
        self._work = 0
        self._poller = zmq.Poller()
        self._handlers: dict[int | zmq.Socket[bytes], Callable[[], None]] = {}
        self._ticks: list[Callable[[], None]] = []
        self._status = bus.socket("status", zmq.PUSH, bind=False)
        self._last_status = time.monotonic()
        self._parent = os.getppid()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self.running = False

    def on(self, source: zmq.Socket[bytes] | int, handler: Callable[[], None]) -> None:
        """Call ``handler`` when ``source`` (socket or file descriptor) can be read."""
        self._poller.register(source, zmq.POLLIN)
        self._handlers[source] = handler

    def off(self, source: zmq.Socket[bytes] | int) -> None:
        """Stop watching ``source``."""
        self._poller.unregister(source)
        del self._handlers[source]

    def every_tick(self, tick: Callable[[], None]) -> None:
        """Call ``tick`` at least ten times a second."""
        self._ticks.append(tick)

    def count(self, name: str, amount: int = 1) -> None:
        """Add to a counter shown in the status."""
        self.counters[name] = self.counters.get(name, 0) + amount

    def gauge(self, name: str, value: float, keep_s: float = math.inf) -> None:
        """Show a value in the metrics, for ``keep_s``: one that is older says nothing about now."""
        self.gauges[name] = sheet.Gauge(value, time.monotonic() + keep_s)

    def worked(self, amount: int = 1) -> None:
        """Report units of work done; their rate is shown in the status."""
        self._work += amount

    def run(self) -> None:
        """Run until stopped."""
        self.report("ready")
        notify("READY=1")
        while self.running:
            for source, _ in self._poller.poll(100):
                handler = self._handlers.get(source)
                if handler is not None:
                    handler()
            for tick in self._ticks:
                tick()
            if time.monotonic() - self._last_status >= STATUS_PERIOD_S:
                # A supervisor that was killed cannot stop its services; they must not outlive it.
                self.running = self.running and os.getppid() == self._parent
                status = self.report("ready")
                notify(f"WATCHDOG=1\nSTATUS={status_text(status)}")
        self.report("stopping")
        notify("STOPPING=1")

    def report(self, state: str) -> ServiceStatus:
        """Send one status message, dropped when the supervisor is not there; returns it."""
        now = time.monotonic()
        elapsed, self._last_status = max(now - self._last_status, 1e-3), now
        status = ServiceStatus.model_validate(
            {
                "state": state,
                "rate_hz": self._work / elapsed,
                "unit": self._unit,
                "queue": self.queue,
                "lag_ms": self.lag_ms,
                "counters": dict(self.counters),
                "detail": self.detail,
            }
        )
        self._work = 0
        with suppress(zmq.Again):
            self._status.send_multipart(wire.encode("status", self.bus.stamp(status)), flags=zmq.NOBLOCK)
        self._write_metrics(status)
        return status

    def _write_metrics(self, status: ServiceStatus) -> None:
        path = self.bus.metrics
        if path is None:
            return
        # Where there is no room, the metrics go stale: absent, as they should be.
        with suppress(OSError):
            if status.state == "stopping":
                path.unlink(missing_ok=True)
            else:
                page = sheet.Sheet(self.bus.stamp.source, status, self.gauges, self.histograms)
                sheet.write(path, sheet.render(page))


def status_text(status: ServiceStatus) -> str:
    """One line for ``systemctl status``."""
    text = f"{status.rate_hz:.1f} {status.unit}/s, queue {status.queue}, lag {status.lag_ms:.0f} ms"
    counters = ", ".join(f"{name} {count}" for name, count in status.counters.items() if count)
    return "; ".join(part.replace("\n", " ") for part in (text, counters, status.detail) if part)


def notify(state: str) -> None:
    """Tell systemd ``state`` (sd_notify); nothing happens without NOTIFY_SOCKET."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock, suppress(OSError):
        sock.connect("\0" + address[1:] if address.startswith("@") else address)
        sock.sendall(state.encode())


def start(name: str, body: Callable[[Config, Bus], None]) -> int:
    """Entry point of a service: read ``--config``, set up logging and the bus, run ``body``."""
    parser = argparse.ArgumentParser(prog=f"python -m edge.{name}.main", description=f"Darklane {name} service")
    parser.add_argument("--config", type=Path, help="TOML file of the lane; default: all defaults")
    arguments = parser.parse_args()
    logs.set_up(name)
    try:
        config = load(arguments.config)
    except ConfigError as error:
        logging.getLogger(name).error("%s", error)
        return 2
    bus = Bus(config.run_dir, name)
    bus.metrics = sheet.path_of(config.run_dir, name) if config.metrics.enabled else None
    try:
        body(config, bus)
    finally:
        bus.close()
    return 0
