"""A service's metrics as text, and the file that it puts them in. Reads what the loop counts; counts nothing itself."""

from __future__ import annotations

import os
import time
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from edge.messages import ServiceStatus
from edge.metrics import table

FOLDER: Final = "metrics"
SUFFIX: Final = ".prom"
#: First line of a file: when it was written by CLOCK_MONOTONIC, which all processes share and nobody steps, ns.
STAMP: Final = "# written at "


@dataclass
class Histogram:
    """How many values lie at or below each bound; the last count is of those above all."""

    bounds: tuple[float, ...]
    counts: list[int] = field(default_factory=list)
    total: float = 0.0

    def add(self, value: float) -> None:
        """Count one value."""
        self.counts = self.counts or [0] * (len(self.bounds) + 1)
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def buckets(self) -> list[tuple[str, float]]:
        """Cumulative counts by upper bound."""
        names = [*(str(bound) for bound in self.bounds), "+Inf"]
        counts = self.counts or [0] * len(names)
        return [(name, float(sum(counts[: place + 1]))) for place, name in enumerate(names)]


@dataclass(frozen=True)
class Gauge:
    """One value and until when it is worth showing, s of the monotonic clock."""

    value: float
    until_s: float = float("inf")


class Sheet(Collector):
    """What one status and the loop's gauges and histograms say."""

    def __init__(
        self, service: str, status: ServiceStatus, gauges: Mapping[str, Gauge], histograms: Mapping[str, Histogram]
    ) -> None:
        self._service, self._status = service, status
        self._gauges, self._histograms = gauges, histograms

    def collect(self) -> Iterator[Metric]:
        """One family per metric that has a value."""
        for metric, value, unit in zip(
            table.COMMON,
            (self._status.rate_hz, float(self._status.queue), self._status.lag_ms / 1e3),
            (self._status.unit, "", ""),
            strict=True,
        ):
            gauge = GaugeMetricFamily(metric.name, metric.help, labels=_labels(metric))
            gauge.add_metric(self._values(metric, unit), value)
            yield gauge
        now_s = time.monotonic()
        families: dict[str, CounterMetricFamily | GaugeMetricFamily] = {}
        for key, count in self._status.counters.items():
            if (self._service, key) not in table.SUMS:
                metric, label = table.find(self._service, key)
                counter = CounterMetricFamily(metric.name, metric.help, labels=_labels(metric))
                families.setdefault(metric.name, counter).add_metric(self._values(metric, label), count)
        for key, shown in self._gauges.items():
            if now_s <= shown.until_s:
                metric, label = table.find(self._service, key)
                gauge = GaugeMetricFamily(metric.name, metric.help, labels=_labels(metric))
                families.setdefault(metric.name, gauge).add_metric(self._values(metric, label), shown.value)
        yield from families.values()
        for key, histogram in self._histograms.items():
            metric, label = table.find(self._service, key)
            shape = HistogramMetricFamily(metric.name, metric.help, labels=_labels(metric))
            shape.add_metric(self._values(metric, label), histogram.buckets(), histogram.total)
            yield shape

    def _values(self, metric: table.Metric, label: str) -> list[str]:
        return [self._service, label] if metric.label else [self._service]


def _labels(metric: table.Metric) -> list[str]:
    return ["service", metric.label] if metric.label else ["service"]


def render(collector: Collector) -> str:
    """Prometheus text of what ``collector`` yields."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(collector)
    return generate_latest(registry).decode()


def path_of(run_dir: Path, service: str) -> Path:
    """Where ``service`` puts its metrics."""
    return run_dir / FOLDER / f"{service}{SUFFIX}"


def write(path: Path, text: str) -> None:
    """Put a stamped ``text`` into ``path``: a reader sees the old one or the new one. OSError when it cannot be."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    part = path.with_suffix(f".{os.getpid()}")
    part.write_text(f"{STAMP}{time.monotonic_ns()}\n{text}", encoding="utf-8")
    part.replace(path)


def read(path: Path, now_ns: int, fresh_ns: int) -> str:
    """The text in ``path``; empty when it is not there, not whole, or older than ``fresh_ns``."""
    try:
        stamp, _, text = path.read_text(encoding="utf-8").partition("\n")
        age_ns = now_ns - int(stamp.removeprefix(STAMP))
    except (OSError, ValueError):
        return ""
    # A stamp of the future is of another boot.
    return text if 0 <= age_ns <= fresh_ns else ""
