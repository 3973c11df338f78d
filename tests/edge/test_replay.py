"""``darklane replay`` against scripted services on the real bus, with the real archive."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from calibration.bundle import Bundle
from edge.archive import replay_lane
from edge.archive.hdf5 import BagWriter
from edge.archive.provenance import describe
from edge.archive.reader import BagFile
from edge.archive.replay_settings import replay_config
from edge.commands.replay import replay
from edge.messages import Decision
from edge.services import Service, service
from kernels.types import IlluminationCurves, OffsetPrior
from tests.edge.archive_bags import BAG, bag, config

TOY = Service("verdict", "tests.edge.toy_lane", (), (), 5.0, "scripted lane")
CLI = typer.Typer()
CLI.command()(replay)


def bundle(folder: Path, rows: int) -> str:
    """Id of an active calibration bundle in ``folder``."""
    ones = np.ones((2, rows, 4), np.float32)
    curves = IlluminationCurves(ones, ones, ones, ones[..., 0])
    made = Bundle(
        curves=curves,
        curves_paper=curves,
        flat=np.ones((2, rows, 128), np.float32),
        good_pixels=np.ones((2, rows, 128), np.uint8),
        prior=OffsetPrior(np.zeros((2, 5)), np.ones(2)),
        working_point_um=-5.0,
        scanner_json=config(folder).scanner.model_dump_json(),
        created_ns=1_700_000_000_000_000_000,
        software="test",
    )
    made.save(folder)
    return made.id


@pytest.fixture
def lane(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """State directory of the lane that scanned the bags; replays run on the scripted services."""
    monkeypatch.setattr(replay_lane, "SERVICES", ("verdict", "archive"))
    monkeypatch.setattr(replay_lane, "service", lambda name: TOY if name == "verdict" else service(name))
    return tmp_path / "lane"


def archived(lane: Path, decision: Decision, *, calibration_id: str, torn: bool = False) -> Path:
    made = bag(rows=16, columns=40)
    writer = BagWriter(lane / "archive" / f"{BAG}.h5", BAG, describe(config(lane, emulator={"seed": 1})))
    sent = list(made.raw_slabs(16))[: 2 if torn else None]
    for slab, arrays in sent:
        writer.add_sums(slab.model_copy(update={"calibration_id": calibration_id}), arrays)
    return writer.finish(made.verdict(decision), [])


def run(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(CLI, [str(argument) for argument in arguments])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.output


def test_the_same_decision(lane: Path, tmp_path: Path) -> None:
    path = archived(lane, Decision.ALARM, calibration_id=bundle(lane / "calibration", 16))
    again = tmp_path / "again"
    result = CliRunner().invoke(CLI, [str(path), "--json", "--state-dir", str(again)])
    assert result.exit_code == 0, result.output
    seen = json.loads(result.stdout)
    assert seen["same_decision"]
    assert seen["archived"]["decision"] == seen["replayed"]["decision"] == "ALARM"
    assert seen["replayed"]["bag_tag"] == "T-0001"
    assert Path(seen["sheet"]).is_file()
    with BagFile(path) as before, BagFile(Path(seen["archive_file"])) as after:
        assert after.attributes["provenance"] == before.attributes["provenance"]
        assert after.lane["lane"]["name"] == "test-lane"
        for (slab, arrays), (copy, copied) in zip(before.slabs(), after.slabs(), strict=True):
            assert copy.index == slab.index
            np.testing.assert_array_equal(copied["phase_sums"], arrays["phase_sums"])


def test_another_decision(lane: Path, tmp_path: Path) -> None:
    path = archived(lane, Decision.CLEAR, calibration_id=bundle(lane / "calibration", 16))
    code, output = run(path, "--state-dir", tmp_path / "again")
    assert code == 1
    assert "the decision differs" in output
    assert "CLEAR" in output
    assert "ALARM" in output


def test_a_torn_bag_without_calibration_is_unknown_again(lane: Path, tmp_path: Path) -> None:
    path = archived(lane, Decision.UNKNOWN, calibration_id="", torn=True)
    code, output = run(path, "--state-dir", tmp_path / "again")
    assert code == 0, output
    assert "IncompleteScan" in output


def test_what_cannot_be_replayed_is_said(lane: Path, tmp_path: Path) -> None:
    def fails(match: str, *arguments: object) -> None:
        code, output = run(*arguments)
        assert code == 2
        assert match in " ".join(output.split()), output

    fails("no such file", tmp_path / "nothing.h5")
    text = tmp_path / "text.h5"
    text.write_text("text")
    fails("not a readable HDF5 file", text)
    path = archived(lane, Decision.ALARM, calibration_id="cal-0123456789abcdef")
    fails("--calibration", path, "--state-dir", tmp_path / "one")
    other = bundle(tmp_path / "other", 16)
    fails("pixel mask", path, "--state-dir", tmp_path / "two", "--calibration", tmp_path / "other" / f"{other}.h5")
    fails("not an empty folder", path, "--state-dir", lane)
    bare = BagWriter(tmp_path / "bare.h5", "bare", describe(config(lane))).finish(None, [])
    fails("no raw phase sums", bare, "--state-dir", tmp_path / "three")


def test_calibration_age_is_judged_as_on_the_day_of_the_scan(lane: Path, tmp_path: Path) -> None:
    path = archived(lane, Decision.ALARM, calibration_id="cal-0123456789abcdef")
    with BagFile(path) as file:
        settings = replay_config(file, tmp_path / "s", tmp_path / "r")
        scanned_h = file.slab_headers[0].first_frame_t_ns / 3.6e12
    now_h = time.time_ns() / 3.6e12
    assert settings.calibration.max_age_h == pytest.approx(24.0 + now_h - scanned_h, abs=0.1)
    assert settings.verdict.deadline_s >= 60.0
    assert settings.emulator == {"seed": 1}
    assert settings.scanner == config(lane).scanner
