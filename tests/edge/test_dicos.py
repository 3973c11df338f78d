"""DICOS files of archived bags: pydicom and ``pydicos`` read them, and what they say is what the bag's file says."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest

from edge.archive.derived import Derived
from edge.archive.reader import BagFile
from edge.dicos import terms
from edge.dicos.common import DicosError, text, uid
from edge.dicos.image import AIR, UNKNOWN
from edge.dicos.spool import export
from edge.dicos.validate import check
from edge.messages import Decision, Fault, Verdict
from tests.edge.archive_bags import bag, config
from tests.edge.dicos_bags import archived

T_NS = 1_700_000_012_345_678_000
BAG = bag(rows=16, columns=48)


def verdict(decision: Decision = Decision.ALARM, **changes: Any) -> Verdict:
    return BAG.verdict(decision, **{"seq": 4, "t_ns": T_NS, **changes})


def written(folder: Path, *verdicts: Verdict, **how: Any) -> dict[str, Path]:
    """DICOS files of one bag by the last part of their name."""
    paths = export(archived(folder, *(verdicts or (None,)), **how), folder / "dicos")
    return {path.stem.removeprefix("bag-0001-"): path for path in paths}


def test_an_image_per_bin_and_a_report_per_verdict(tmp_path: Path) -> None:
    late = verdict(Decision.ALARM, seq=9, final=False, supersedes=4)
    files = written(tmp_path, verdict(Decision.UNKNOWN), late)
    assert list(files) == ["low", "high", "report", "report-9"]
    read = {name: check(path) for name, path in files.items()}
    with BagFile(tmp_path / "bag-0001.h5") as source:
        for index, name in enumerate(("low", "high")):
            image = read[name]
            stored = image.pixel_array
            transmission = source.channel("transmission", index)
            assert np.isnan(transmission).any() == (stored == UNKNOWN).any()
            np.testing.assert_allclose(stored[stored > 0] / AIR, transmission[stored > 0], atol=0.51 / AIR)
            assert image.ImageType[2] == terms.ENERGY[name]
            assert [float(value) for value in image.ImagerPixelSpacing] == pytest.approx([0.307802, 0.3])
    reports = [read["report"], read["report-9"]]
    assert [report.AlarmDecision for report in reports] == ["UNKNOWN", "ALARM"]
    assert [report.InstanceNumber for report in reports] == [1, 2]
    assert (reports[0].AbortFlag, reports[0].AbortReason) == ("ABORT", "TIMEOUT")
    assert reports[1].SeriesDescription == "ALARM, supplement to 4"
    assert len({file.StudyInstanceUID for file in read.values()}) == 1
    assert len({file.SOPInstanceUID for file in read.values()}) == 4
    referenced = [item.ReferencedSOPInstanceUID for item in reports[1].ReferencedStudySequence]
    assert referenced == [read["low"].SOPInstanceUID, read["high"].SOPInstanceUID]


def test_objects_become_threats_with_box_outline_and_material(tmp_path: Path) -> None:
    report = check(written(tmp_path, verdict())["report"])
    assert (report.NumberOfTotalObjects, report.NumberOfAlarmObjects) == (2, 1)
    first, second = report.ThreatSequence
    row0, column0, row1, column1 = verdict().objects[0].box
    voxels = first.PTORepresentationSequence[0].ThreatROIVoxelSequence[0]
    assert list(voxels.ThreatROIBase) == [column0, row0, 0]
    assert list(voxels.ThreatROIExtents) == [column1 - column0, row1 - row0, 1]
    judged = first.ATDAssessmentSequence[0]
    assert (judged.ThreatCategory, judged.ATDAssessmentFlag) == ("EXPLOSIVE", "THREAT")
    assert judged.ATDAssessmentProbability == pytest.approx(0.97)
    assert judged.ThreatCategoryDescription == "C4 0.93"
    assert second.ATDAssessmentSequence[0].ATDAssessmentFlag == "NO_THREAT"
    assert len(second.PTORepresentationSequence[0].BoundingPolygon) == 9
    assert report.AlarmDecisionTime == "20231114221332.345678+0000"


def test_identity_of_the_bag_and_what_is_simulated(tmp_path: Path) -> None:
    long = "x" * 200 + "\\"
    files = written(tmp_path, verdict(bag_tag=long, bag_id_type="rfid", tip=True), emulator={})
    report = check(files["report"])
    assert report.PatientID == text(long)
    assert len(report.PatientID) == 64
    assert "\\" not in report.PatientID
    assert report.TypeOfPatientID == "RFID"
    assert report.OtherPatientIDsSequence[0].PatientID == "bag-0001"
    assert report.ScanType == "NON_OPERATIONAL"
    assert report.SeriesDescription == "simulated: ALARM, TIP"


def test_without_images_there_is_a_report_and_without_verdict_there_are_images(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    assert list(written(tmp_path / "a", verdict(Decision.UNKNOWN), images=False)) == ["report"]
    (tmp_path / "b").mkdir()
    assert list(written(tmp_path / "b")) == ["low", "high"]


def test_what_is_there_is_not_written_again_also_when_it_was_sent(tmp_path: Path) -> None:
    source = archived(tmp_path, verdict())
    folder = tmp_path / "dicos"
    first = export(source, folder)
    (folder / "sent").mkdir()
    first[0].replace(folder / "sent" / first[0].name)
    assert export(source, folder) == []


def test_a_bag_that_cannot_be_read_and_a_folder_that_cannot_be_written_are_named(tmp_path: Path) -> None:
    with pytest.raises(DicosError, match="no such file"):
        export(tmp_path / "none.h5", tmp_path / "dicos")
    source = archived(tmp_path, verdict())
    (tmp_path / "dicos").write_text("in the way")
    with pytest.raises(DicosError, match="no DICOS files written"):
        export(source, tmp_path / "dicos")
    assert not list(tmp_path.glob("**/*.part"))


def test_the_archive_makes_them_where_they_are_wanted_and_goes_on_without(tmp_path: Path) -> None:
    source = archived(tmp_path, verdict())
    counted: dict[str, int] = {}

    def count(name: str, amount: int) -> None:
        counted[name] = counted.get(name, 0) + amount

    for enabled in (False, True, True):
        lane = config(tmp_path, archive={"sheets": False}, dicos={"enabled": enabled, "folder": "out"})
        Derived(lane, logging.getLogger("archive"), count).write(source)
    assert counted == {"dicos_files": 3}
    assert len(list((tmp_path / "out").iterdir())) == 3
    Derived(lane, logging.getLogger("archive"), count).write(tmp_path / "none.h5")
    assert counted["failed_dicos"] == 1


def test_names_give_the_same_uids_always() -> None:
    assert uid("lane", "bag") == uid("lane", "bag") != uid("lane", "bag2")
    assert uid("lane").startswith("2.25.")


@pytest.mark.parametrize("fault", Fault)
def test_every_reason_has_a_word_of_the_standard(fault: Fault, tmp_path: Path) -> None:
    unknown = verdict(Decision.UNKNOWN, reason=fault)
    report = check(written(tmp_path, unknown, images=False)["report"])
    assert report.AbortReason in terms.ABORT_REASONS
    assert fault.value in report.SeriesDescription


@pytest.mark.parametrize("decision", Decision)
def test_pydicos_opens_every_file_and_reads_the_same(decision: Decision, tmp_path: Path) -> None:
    pydicos = pytest.importorskip("pydicos", reason="extra judges: pydicos, x86 only")
    files = written(tmp_path, verdict(decision), emulator={})
    for name in ("low", "high"):
        pixels = pydicos.dcsread(files[name]).get_data()
        assert np.array_equal(pixels, pydicom.dcmread(files[name]).pixel_array)
    report = pydicos.dcsread(files["report"]).get_data()
    words = {Decision.ALARM: "enumAlarm", Decision.CLEAR: "enumClear", Decision.UNKNOWN: "enumUnknownAlarmDecision"}
    assert report["AlarmDecision"].name == words[decision]
    assert report["ScanType"].name == "enumNonOperational"
    assert report["OOIID"] == "T-0001"
    assert report["TDRType"].name == "enumMachine"
    assert report["ATR"]["parameters"] == {"threshold": "0.5"}
    assert [item["ID"] for item in report["PTOs"]] == ([1, 2] if decision is Decision.ALARM else [])
    for item, found in zip(report["PTOs"], verdict(decision).objects, strict=True):
        row0, column0, row1, column1 = found.box
        assert item["Base"] == {"x": column0, "y": row0, "z": 0}
        assert item["Extent"] == {"x": column1 - column0, "y": row1 - row0, "z": 1}
        assert item["Assessment"]["probability"] == pytest.approx(found.probability)
