"""Threat Detection Report about one verdict."""

from __future__ import annotations

from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileDataset
from pydicom.sequence import Sequence

from edge.archive.reader import BagFile
from edge.dicos import terms
from edge.dicos.common import MANUFACTURER, Bag, Moment, bag_of, begun_ns, new_dataset, text, uid
from edge.messages import Decision, DetectedObject, Verdict
from firmware_bridge.scanner import BINS

_LONGEST_LT = 10_240


def report(file: BagFile, verdict: Verdict, number: int) -> FileDataset:
    """Report ``number`` of an archived bag, about its final verdict or a supplement to it.

    It refers to the bag's images by their UIDs, also when nothing was retrieved: then the abort reason says so.
    """
    bag = bag_of(file)
    why = f" ({verdict.reason.value})" if verdict.reason else ""
    late = "" if verdict.final else f", supplement to {verdict.supersedes}"
    about = f"{verdict.decision.value}{why}{late}{', TIP' if verdict.tip else ''}"
    content_ns = verdict.t_ns or begun_ns(file)
    made = new_dataset(file, terms.TDR_CLASS, bag.report_uid(verdict.seq), number, content_ns, about)
    made.ReferencedStudySequence = _images(bag)
    made.FrameOfReferenceUID = uid(bag.lane, bag.bag_id, "frame")
    made.PositionReferenceIndicator = ""
    made.TDRType = "MACHINE"
    # Maker, version, then parameters as -name=value.
    made.ThreatDetectionAlgorithmAndVersion = [
        MANUFACTURER,
        text(f"{verdict.model_id} {verdict.model_version}") or "none",
        f"-threshold={verdict.threshold:.6g}",
    ]
    made.AlarmDecision = verdict.decision.value
    made.AlarmDecisionTime = Moment.of(content_ns).both
    made.AbortFlag = terms.ABORT_FLAGS[verdict.reason is not None]
    if verdict.reason is not None:
        made.AbortReason = terms.ABORT_REASON[verdict.reason]
    made.TotalProcessingTime = float(verdict.latency_ms or 0.0)
    made.AdditionalScreeningPerformed = "NO"
    # Objects are given in pixels of the full images.
    made.add(DataElement(terms.SCALE_TAG, "FD", 1.0))
    flags = _flags(verdict)
    made.ThreatSequence = Sequence(
        _threat(bag, index + 1, found, flag, verdict)
        for index, (found, flag) in enumerate(zip(verdict.objects, flags, strict=True))
    )
    made.NumberOfTotalObjects = len(flags)
    made.NumberOfAlarmObjects = sum(flag in terms.ALARM_FLAGS for flag in flags)
    return made


def _flags(verdict: Verdict) -> list[str]:
    """Assessment of each object; an ALARM has at least one threat, a CLEAR has none."""
    words = {"explosive": terms.THREAT, "benign": terms.NO_THREAT}
    flags = [words.get(found.category, terms.UNDECIDED) for found in verdict.objects]
    if verdict.decision is Decision.CLEAR:
        return [terms.NO_THREAT if flag in terms.ALARM_FLAGS else flag for flag in flags]
    if verdict.decision is Decision.ALARM and flags and terms.THREAT not in flags:
        likeliest = max(range(len(flags)), key=lambda index: verdict.objects[index].probability)
        flags[likeliest] = terms.THREAT
    return flags


def _images(bag: Bag) -> Sequence:
    made = []
    for name in BINS:
        item = Dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = terms.DX_CLASS, bag.image_uid(name)
        made.append(item)
    return Sequence(made)


def _threat(bag: Bag, number: int, found: DetectedObject, flag: str, verdict: Verdict) -> Dataset:
    made = Dataset()
    made.PotentialThreatObjectID = number
    made.PTORepresentationSequence = Sequence([_region(bag, found)])
    made.ATDAssessmentSequence = Sequence([_assessment(found, flag)])
    begun = Moment.of(verdict.scan_stop_t_ns or verdict.t_ns).both
    made.add(DataElement(terms.OBJECT_START_TAG, "DT", begun))
    made.add(DataElement(terms.OBJECT_END_TAG, "DT", Moment.of(max(verdict.t_ns, verdict.scan_stop_t_ns)).both))
    made.add(DataElement(terms.OBJECT_MS_TAG, "FL", float(verdict.inference_ms)))
    return made


def _region(bag: Bag, found: DetectedObject) -> Dataset:
    """Box and outline in pixels of the images: x along the belt, y down, z of no extent."""
    row0, column0, row1, column1 = found.box
    outline = found.polygon
    if len(outline) < 3:
        outline = ((row0, column0), (row0, column1), (row1, column1), (row1, column0))
    voxels = Dataset()
    voxels.ThreatROIBase = [float(column0), float(row0), 0.0]
    voxels.ThreatROIExtents = [float(column1 - column0), float(row1 - row0), 1.0]
    voxels.ThreatROIBitmap = b""
    made = Dataset()
    made.ReferencedInstanceSequence = _images(bag)
    made.ThreatROIVoxelSequence = Sequence([voxels])
    made.BoundingPolygon = [value for row, column in outline for value in (float(column), float(row), 0.0)]
    return made


def _assessment(found: DetectedObject, flag: str) -> Dataset:
    category, ability = terms.CATEGORY[found.category]
    likely = ", ".join(f"{item.material} {item.probability:.2f}" for item in found.candidates)
    made = Dataset()
    made.ThreatCategory = category
    made.ThreatCategoryDescription = text(likely or found.category, _LONGEST_LT)
    made.ATDAbilityAssessment = ability
    made.ATDAssessmentFlag = flag
    made.ATDAssessmentProbability = float(found.probability)
    return made
