"""The emulated scanner as a process: commands to its detector and its tube, and faults that are played."""

import json
import socket
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from firmware_bridge.belt import BeltController
from firmware_bridge.detector import DetectorStream
from firmware_bridge.detector_control import DetectorControl
from firmware_bridge.tube import XRayTube
from tests.firmware_bridge.scanner_process import NO_BAGS, ROWS, Launch, falls_silent, frames_of, launcher, refused


@pytest.fixture
def launch(tmp_path: Path) -> Launch:
    return launcher(tmp_path)


def test_the_detector_does_what_its_command_port_is_told(launch: Launch) -> None:
    with launch([]) as scanner, DetectorControl("127.0.0.1", scanner.control) as control:
        first = frames_of(scanner.stream, 5)
        assert first[-1].exposure_ns == round(1e9 / 150)
        control.stop()
        falls_silent(scanner.stream)
        assert not control.status().streaming
        with DetectorStream("127.0.0.1", 0, ROWS, buffer_mib=8, fifo_priority=0) as other:
            settings = replace(control.status().settings, port=other.port, packet_bytes=1472, exposure_ns=3_333_333)
            control.configure(settings)
            control.start()
            later = frames_of(other, 40)
            assert scanner.stream.receive(0.0) == []
            assert later[-1].number > first[-1].number + 10, "the numbers went on"
            assert later[-1].exposure_ns == 3_333_333
            assert np.mean(later[-1].counts) == pytest.approx(0.5 * np.mean(first[-1].counts), rel=0.05)
            assert other.stats.lost_frames == 0


def test_without_x_rays_there_are_no_counts(launch: Launch) -> None:
    with launch([]) as scanner, XRayTube(scanner.folder / "dev" / "tube") as tube:
        # The driver has taken down the beam that it found on.
        assert tube.status().state != "on"
        for _ in range(5):
            frames_of(scanner.stream, 5)
        assert frames_of(scanner.stream, 5)[-1].counts.max() == 0


def test_a_scenario_is_played_and_written_down(launch: Launch) -> None:
    items = [{"kind": "empty", "seed": 1, "tag": "one"}, {"kind": "empty", "seed": 2, "tag": "two"}]
    with launch(items, "--faults", "packet-burst,clock-jump") as scanner:
        with BeltController(scanner.folder / "dev" / "belt") as belt:
            belt.start_belt()
            seen = scanner.run_to_end(belt)
        lines = [json.loads(line) for line in (scanner.folder / "faults.jsonl").read_text().splitlines()]
    assert [(line["scenario"], line["fault"], line["state"], line["first_bag"]) for line in lines] == [
        ("packet-burst", "packet_loss", "begin", 1),
        ("packet-burst", "packet_loss", "end", 1),
        ("clock-jump", "clock_jump", "begin", 2),
        ("clock-jump", "clock_jump", "end", 2),
    ]
    burst, jump = (lines[0]["t_ns"], lines[1]["t_ns"]), (lines[2]["t_ns"], lines[3]["t_ns"])
    hour = 3_600_000_000_000
    ahead = [f for f in seen.frames if f.t_ns > jump[1] + hour // 2]
    assert 0.3e9 < ahead[-1].t_ns - ahead[0].t_ns < 0.7e9
    assert jump[0] - 0.2e9 < ahead[0].t_ns - hour < jump[0] + 0.2e9
    missing = [b for a, b in zip(seen.frames, seen.frames[1:], strict=False) if b.number != a.number + 1]
    assert missing
    assert all(burst[0] - 0.2e9 < frame.t_ns < burst[1] + 0.3e9 for frame in missing)


def test_a_busy_command_port_and_unknown_faults_are_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as busy:
        (tmp_path / "lane.toml").write_text(f"[detector_control]\nport = {busy.getsockname()[1]}\n")
        code, said = refused(tmp_path, NO_BAGS, "--config", str(tmp_path / "lane.toml"))
    assert code == 2
    assert "cannot listen on 127.0.0.1" in said
    assert "is another emulated scanner running?" in said
    code, said = refused(tmp_path, NO_BAGS, "--faults", "meteorite")
    assert code == 2
    assert "'meteorite' are not shipped" in said
    assert "belt-unplugged" in said
