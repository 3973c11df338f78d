"""Our own check of DICOS files finds what other readers let pass: words, ranges, counts, contradictions."""

from __future__ import annotations

import copy
import io
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset

from edge.dicos import validate
from edge.dicos.common import DicosError
from edge.dicos.spool import export
from edge.dicos.validate import check, problems
from edge.messages import IATA, Candidate, Decision, DetectedObject, Fault, Verdict
from tests.edge.archive_bags import bag
from tests.edge.dicos_bags import archived
from tests.fuzz.mutations import MUTATIONS

BAG = bag(rows=16, columns=48)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Dataset]:
    folder = tmp_path_factory.mktemp("dicos")
    paths = export(archived(folder, BAG.verdict(seq=3)), folder / "dicos")
    return {path.stem.removeprefix("bag-0001-"): pydicom.dcmread(path) for path in paths}


share = st.floats(0, 1)
objects = st.builds(
    DetectedObject,
    box=st.tuples(st.integers(0, 9), st.integers(0, 9), st.integers(10, 16), st.integers(10, 48)),
    polygon=st.lists(st.tuples(st.floats(0, 16), st.floats(0, 48)), max_size=8).map(tuple),
    area_mm2=st.floats(0, 1e4),
    probability=share,
    category=st.sampled_from(["explosive", "benign", "opaque", "unknown"]),
    candidates=st.lists(
        st.builds(Candidate, material=st.text(max_size=20), probability=share, threat=st.booleans()), max_size=3
    ).map(tuple),
)


@st.composite
def verdicts(draw: st.DrawFn) -> Verdict:
    decision = draw(st.sampled_from(Decision))
    least = 1 if decision is Decision.ALARM else 0
    return Verdict(
        bag_id=BAG.bag_id,
        seq=draw(st.integers(1, 1 << 40)),
        t_ns=draw(st.integers(0, 4_000_000_000_000_000_000)),
        decision=decision,
        iata=IATA[decision],
        reason=draw(st.sampled_from(Fault)) if decision is Decision.UNKNOWN else None,
        bag_tag=draw(st.text(max_size=80)),
        bag_id_type=draw(st.sampled_from(["barcode", "rfid", "text"])),
        model_id=draw(st.text(max_size=70)),
        tip=draw(st.booleans()),
        latency_ms=draw(st.none() | st.floats(0, 1e6)),
        objects=tuple(draw(st.lists(objects, min_size=least, max_size=4))),
    )


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(verdict=verdicts())
def test_whatever_a_verdict_says_its_report_is_right_and_read_back(verdict: Verdict, tmp_path: Path) -> None:
    from edge.archive.reader import BagFile
    from edge.dicos.report import report

    path = tmp_path / "bag-0001.h5"
    if not path.exists():
        archived(tmp_path, None)
    with BagFile(path) as file:
        file.verdict = verdict
        made = report(file, verdict, 1)
    buffer = io.BytesIO()
    made.save_as(buffer, enforce_file_format=True)
    read = check(buffer.getvalue())
    assert read.AlarmDecision == verdict.decision.value
    assert len(read.ThreatSequence) == len(verdict.objects)


def threat(report: Dataset, number: int = 0) -> Dataset:
    item: Dataset = report.ThreatSequence[number]
    return item


#: What two readers accept and nobody should: name, file, change, what the check says.
WRONG: list[tuple[str, str, Callable[[Dataset], None], str]] = [
    ("no such decision", "report", lambda d: setattr(d, "AlarmDecision", "MAYBE"), "AlarmDecision = 'MAYBE'"),
    ("clear with a threat", "report", lambda d: setattr(d, "AlarmDecision", "CLEAR"), "CLEAR with 1 threats"),
    ("unknown without reason", "report", lambda d: setattr(d, "AlarmDecision", "UNKNOWN"), "AbortFlag = SUCCESS"),
    ("abort with alarm", "report", lambda d: setattr(d, "AbortFlag", "ABORT"), "AbortFlag = ABORT"),
    ("a reason for an alarm", "report", lambda d: setattr(d, "AbortReason", "TIMEOUT"), "AbortReason = 'TIMEOUT'"),
    ("too many objects", "report", lambda d: setattr(d, "NumberOfTotalObjects", 3), "NumberOfTotalObjects = 3"),
    ("too few threats", "report", lambda d: setattr(d, "NumberOfAlarmObjects", 0), "NumberOfAlarmObjects = 0"),
    ("no references", "report", lambda d: setattr(d, "ReferencedStudySequence", []), "ReferencedStudySequence"),
    ("a threat is gone", "report", lambda d: d.ThreatSequence.pop(), "there are 1 objects"),
    ("a number twice", "report", lambda d: setattr(threat(d, 1), "PotentialThreatObjectID", 1), "two objects"),
    ("short outline", "report",
     lambda d: setattr(threat(d).PTORepresentationSequence[0], "BoundingPolygon", [1.0] * 6), "BoundingPolygon"),
    ("empty box", "report",
     lambda d: setattr(threat(d).PTORepresentationSequence[0].ThreatROIVoxelSequence[0], "ThreatROIExtents",
                       [0.0, 1.0, 1.0]), "ThreatROIExtents"),
    ("probability above one", "report",
     lambda d: setattr(threat(d).ATDAssessmentSequence[0], "ATDAssessmentProbability", 1.5), "Probability = 1.5"),
    ("probability is no number", "report",
     lambda d: setattr(threat(d).ATDAssessmentSequence[0], "ATDAssessmentProbability", float("nan")), "nan"),
    ("no such flag", "report",
     lambda d: setattr(threat(d).ATDAssessmentSequence[0], "ATDAssessmentFlag", "PERHAPS"), "ATDAssessmentFlag"),
    ("no such category", "report",
     lambda d: setattr(threat(d).ATDAssessmentSequence[0], "ThreatCategory", "SOAP"), "ThreatCategory"),
    ("rows do not fit", "low", lambda d: setattr(d, "Rows", 17), "PixelData has"),
    ("another slope", "high", lambda d: setattr(d, "RescaleSlope", "2"), "RescaleSlope"),
    ("no energy", "low", lambda d: setattr(d, "ImageType", ["ORIGINAL", "PRIMARY", "WARM"]), "ImageType"),
    ("another class", "low", lambda d: setattr(d, "SOPClassUID", "1.2.840.10008.1.1"), "SOPClassUID"),
    ("no date", "low", lambda d: setattr(d, "ContentDate", ""), "ContentDate"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "change", "said"), [case[1:] for case in WRONG], ids=[case[0] for case in WRONG])
def test_what_other_readers_let_pass_is_found(
    files: dict[str, Dataset], name: str, change: Callable[[Dataset], Any], said: str
) -> None:
    assert problems(files[name]) == []
    wrong = copy.deepcopy(files[name])
    change(wrong)
    assert any(said in line for line in problems(wrong)), problems(wrong)


@pytest.mark.parametrize("name", ["low", "report"])
def test_no_element_that_the_check_names_may_be_missing(files: dict[str, Dataset], name: str) -> None:
    rules = validate._COMMON | (validate._IMAGE if name == "low" else validate._REPORT)
    for keyword in rules:
        less = copy.deepcopy(files[name])
        delattr(less, keyword)
        assert problems(less) == [f"{keyword} is missing"]


@pytest.mark.filterwarnings("ignore")  # pydicom warns about what it reads; here all of it is damaged
def test_damaged_files_are_refused_or_still_say_what_they_must(files: dict[str, Dataset]) -> None:
    buffer = io.BytesIO()
    files["report"].save_as(buffer)
    good, rng = buffer.getvalue(), random.Random(5)  # noqa: S311
    refused = 0
    for _ in range(100):
        data = bytearray(good)
        rng.choice(MUTATIONS)(rng, data)
        try:
            assert problems(check(bytes(data))) == []
        except DicosError:
            refused += 1
    assert refused > 10


def test_what_is_not_dicos_is_named(tmp_path: Path) -> None:
    with pytest.raises(DicosError, match="cannot be read as DICOS"):
        check(b"")
    with pytest.raises(DicosError, match="nowhere"):
        check(tmp_path / "nowhere.dcs")
