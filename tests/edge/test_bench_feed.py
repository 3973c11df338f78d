"""``darklane bench feed`` in small: every part works, and its figures make sense. Nobody compares times here."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from edge.bench import feed, feed_crowd
from edge.commands import bench_feed
from edge.commands.bench import app


def test_the_feeds_socket_with_keys_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "RATE_HZ", 1000.0)
    feed.make_keys(tmp_path / "keys")
    found = feed.latency("feed", tmp_path / "keys", 20)
    assert found["received"] == 20
    assert 0 < found["median_ms"] <= found["p99_ms"]


def test_the_report_sets_figures_beside_each_other(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    ages = {"received": 1, "median_ms": 2.0, "p99_ms": 3.0}
    monkeypatch.setattr(feed, "throughput", lambda kind, keys, number: 100.0 if kind == "bare" else 90.0)
    monkeypatch.setattr(feed, "latency", lambda kind, keys, number: ages)
    row = feed_crowd.compared([2.0, 4.0], [1.0, 2.0])
    both = {"decided": row, "published": row}
    monkeypatch.setattr(feed_crowd, "hostile", lambda curve, number, rounds: dict.fromkeys(("alone", "hostile"), both))
    done = CliRunner().invoke(app, ["feed", "--json", str(tmp_path / "figures.json")])
    assert done.exit_code == 0, done.output
    assert "0.90" in done.output
    assert row["ratio"] == 2.0
    assert 1.0 <= row["ratio_from"] <= 2.0 <= row["ratio_to"] <= 4.0
    assert bench_feed.KINDS == ("bare", "feed")
    assert (tmp_path / "figures.json").is_file()
