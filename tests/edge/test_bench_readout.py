"""darklane bench readout: real packets from its sender, every frame accounted for. No speed is judged."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from edge.bench.sender import HEADERS, WIRE_BYTES_PER_S, WIRE_OVERHEAD, line
from edge.commands import app
from firmware_bridge import detector_format as fmt


@pytest.mark.parametrize(("mtu", "rate_hz"), [(1500, 111.0), (9000, 117.8)])
def test_rate_of_a_full_link(mtu: int, rate_hz: float) -> None:
    """1 GbE carries 125 MB/s, headers and gaps of every packet included."""
    frame = line(2048, mtu)
    assert frame.frame_bytes > fmt.counts_bytes(2048)
    assert frame.frame_bytes <= frame.packets * (mtu - HEADERS)
    assert frame.rate_hz * (frame.frame_bytes + frame.packets * WIRE_OVERHEAD) == pytest.approx(WIRE_BYTES_PER_S)
    assert frame.rate_hz == pytest.approx(rate_hz, abs=0.05)


def test_both_receivers_account_for_every_frame(tmp_path: Path) -> None:
    file = tmp_path / "bench.json"
    options = ["--seconds", "1", "--rows", "512", "--mtu", "9000", "--priority", "0", "--buffer-mib", "4"]
    result = CliRunner().invoke(app, ["bench", "readout", *options, "--json", str(file)])
    figures = json.loads(file.read_text(encoding="utf-8"))
    assert [run["receiver"] for run in figures["runs"]] == ["darklane", "plain"]
    for run in figures["runs"]:
        assert run["sent_frames"] == round(run["line_hz"])
        assert run["received_frames"] + run["lost_frames"] == run["sent_frames"]
        assert run["received_frames"] > 0
        assert not run["fifo"]
        assert run["receiver_cpu"] >= 0 < run["sender_cpu"]
    # A busy machine may lose frames at normal priority; then the command says so.
    assert result.exit_code == (1 if figures["runs"][0]["lost_frames"] else 0), result.output
    assert re.search(r"9000 +\S +darklane", result.output)


@pytest.mark.parametrize(("option", "value"), [("--receiver", "radio"), ("--mtu", "100"), ("--mtu", "65000")])
def test_wrong_options_are_named(option: str, value: str) -> None:
    result = CliRunner().invoke(app, ["bench", "readout", option, value])
    assert result.exit_code == 2
    assert f"{option} {value}" in result.output
