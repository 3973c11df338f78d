"""What a DICOS file of ours must say: words, ranges, counts, and that its parts agree. Other readers let much pass."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pydicom
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue

from edge.dicos import terms
from edge.dicos.common import DicosError

#: A larger file is not read: the largest image of a bag is 270 MB.
MAX_BYTES = 512 << 20
_UID_CHARACTERS = frozenset("0123456789.")

Rule = Callable[[Any], bool]


def _one_of(words: frozenset[str] | tuple[str, ...]) -> Rule:
    return lambda value: isinstance(value, str) and value in words


def _named(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _count(value: Any) -> bool:
    return isinstance(value, int) and 0 <= value <= 0xFFFF


def _amount(value: Any) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value) and value >= 0


def _share(value: Any) -> bool:
    return _amount(value) and value <= 1


def _is_uid(value: Any) -> bool:
    parts = str(value).split(".")
    # A component has no leading zero, as the standard says.
    return 2 < len(str(value)) <= 64 and all(part and set(part) <= _UID_CHARACTERS for part in parts) and not any(
        part.startswith("0") and part != "0" for part in parts
    )  # fmt: skip


def _time(*forms: str) -> Rule:
    def rule(value: Any) -> bool:
        for form in forms:
            try:
                datetime.strptime(str(value), form)
            except ValueError:
                continue
            return True
        return False

    return rule


def _numbers(length: int, least: float = -math.inf) -> Rule:
    def rule(value: Any) -> bool:
        if not isinstance(value, (MultiValue, list)) or len(value) != length:
            return False
        return all(math.isfinite(float(number)) and float(number) >= least for number in value)

    return rule


_date, _clock, _moment = _time("%Y%m%d"), _time("%H%M%S.%f", "%H%M%S"), _time("%Y%m%d%H%M%S.%f%z")
_COMMON: dict[str, Rule] = {
    "SOPInstanceUID": _is_uid,
    "StudyInstanceUID": _is_uid,
    "SeriesInstanceUID": _is_uid,
    **{f"{what}Date": _date for what in ("InstanceCreation", "Content", "Study", "Series")},
    **{f"{what}Time": _clock for what in ("InstanceCreation", "Content", "Study", "Series")},
    "DateOfLastCalibration": _date,
    "TimeOfLastCalibration": _clock,
    "PatientID": _named,
    "IssuerOfPatientID": _named,
    "TypeOfPatientID": _one_of(terms.ID_TYPES),
    "OOIType": _one_of(terms.OOI_TYPES),
    "ScanType": _one_of(terms.SCAN_TYPES),
    "DICOSVersion": _one_of((terms.VERSION,)),
    "AcquisitionStatus": _one_of(("SUCCESSFUL", "INCOMPLETE")),
    "Manufacturer": _named,
    "DeviceSerialNumber": _named,
    "SoftwareVersions": _named,
}
_IMAGE: dict[str, Rule] = {
    "Modality": _one_of((terms.MODALITY[terms.DX_CLASS],)),
    "ImageType": lambda value: list(value)[:2] == ["ORIGINAL", "PRIMARY"] and list(value)[2] in terms.ENERGY.values(),
    "PresentationIntentType": _one_of(("FOR PROCESSING",)),
    "PhotometricInterpretation": _one_of(("MONOCHROME2",)),
    "SamplesPerPixel": lambda value: value == 1,
    "Rows": lambda value: _count(value) and value > 0,
    "Columns": lambda value: _count(value) and value > 0,
    "BitsAllocated": lambda value: value == 16,
    "BitsStored": lambda value: value == 16,
    "HighBit": lambda value: value == 15,
    "PixelRepresentation": lambda value: value == 0,
    "KVP": lambda value: 0 < float(value) < 1000,
    "XRayTubeCurrentInuA": lambda value: 0 < float(value) < 1e6,
    "ImagerPixelSpacing": _numbers(2, least=1e-6),
    "RescaleIntercept": lambda value: float(value) == 0,
    "RescaleSlope": lambda value: float(value) == 1,
    "PixelData": lambda value: isinstance(value, bytes),
}
_REPORT: dict[str, Rule] = {
    "Modality": _one_of((terms.MODALITY[terms.TDR_CLASS],)),
    "FrameOfReferenceUID": _is_uid,
    "TDRType": _one_of(terms.TDR_TYPES),
    "AlarmDecision": _one_of(terms.ALARM_DECISIONS),
    "AlarmDecisionTime": _moment,
    "AbortFlag": _one_of(terms.ABORT_FLAGS),
    "TotalProcessingTime": _amount,
    "ImageScaleRepresentation": lambda value: float(value) == 1,
    "ThreatDetectionAlgorithmAndVersion": lambda value: isinstance(value, MultiValue) and all(map(_named, value)),
    "NumberOfTotalObjects": _count,
    "NumberOfAlarmObjects": _count,
    "ThreatSequence": lambda value: True,
    "ReferencedStudySequence": lambda value: len(value) > 0,
}
_ASSESSMENT: dict[str, Rule] = {
    "ThreatCategory": _one_of(terms.THREAT_CATEGORIES),
    "ThreatCategoryDescription": _named,
    "ATDAbilityAssessment": _one_of(terms.ABILITIES),
    "ATDAssessmentFlag": _one_of(terms.ASSESSMENT_FLAGS),
    "ATDAssessmentProbability": _share,
}


def problems(file: Dataset) -> list[str]:
    """What is wrong with a data set, one line for each; nothing for a good one."""
    sop_class = str(file.get("SOPClassUID", ""))
    if sop_class not in terms.MODALITY:
        return [f"SOPClassUID = {sop_class!r}: neither a DX image nor a Threat Detection Report"]
    found = list(_broken(file, _COMMON | (_IMAGE if sop_class == terms.DX_CLASS else _REPORT)))
    if not found:
        found += _image_parts(file) if sop_class == terms.DX_CLASS else _report_parts(file)
    return found


def check(source: Path | bytes, name: str = "") -> Dataset:
    """Read a file or its bytes; :class:`DicosError` with everything that is wrong with it."""
    name = name or (str(source) if isinstance(source, Path) else "data")
    try:
        size = source.stat().st_size if isinstance(source, Path) else len(source)
        if size > MAX_BYTES:
            raise DicosError(f"{name}: {size} bytes are more than {MAX_BYTES}; not a file of a bag")
        read = pydicom.dcmread(source if isinstance(source, Path) else io.BytesIO(source))
        wrong = problems(read)
    except DicosError:
        raise
    except Exception as error:
        # pydicom parses elements when they are looked at, and has no error type of its own for damaged ones.
        raise DicosError(f"{name}: cannot be read as DICOS ({type(error).__name__}: {error})") from error
    if wrong:
        raise DicosError(f"{name}: " + "; ".join(wrong))
    return read


def _broken(file: Dataset, rules: dict[str, Rule], where: str = "") -> Iterator[str]:
    for keyword, rule in rules.items():
        if keyword not in file:
            yield f"{where}{keyword} is missing"
            continue
        value = file[keyword].value
        try:
            good = value is not None and rule(value)
        except (TypeError, ValueError, IndexError, OverflowError):
            good = False
        if not good:
            yield f"{where}{keyword} = {value!r:.60} is not allowed"


def _image_parts(file: Dataset) -> Iterator[str]:
    expected = file.Rows * file.Columns * 2
    if len(file.PixelData) != expected + expected % 2:
        yield f"PixelData has {len(file.PixelData)} bytes, {file.Rows} × {file.Columns} pixels need {expected}"


def _references(items: Any, where: str) -> Iterator[str]:
    for item in items:
        rules: dict[str, Rule] = {
            "ReferencedSOPClassUID": _one_of((terms.DX_CLASS,)),
            "ReferencedSOPInstanceUID": _is_uid,
        }
        yield from _broken(item, rules, where)


def _report_parts(file: Dataset) -> Iterator[str]:
    yield from _references(file.ReferencedStudySequence, "ReferencedStudySequence: ")
    flags = []
    numbers = set()
    for index, item in enumerate(file.ThreatSequence):
        where = f"object {index + 1}: "
        wrong = list(_object(item, where))
        yield from wrong
        if not wrong:
            flags.append(str(item.ATDAssessmentSequence[0].ATDAssessmentFlag))
            numbers.add(item.PotentialThreatObjectID)
    if len(numbers) != len(flags):
        yield "two objects have one PotentialThreatObjectID"
    if file.NumberOfTotalObjects != len(file.ThreatSequence):
        yield f"NumberOfTotalObjects = {file.NumberOfTotalObjects}, but there are {len(file.ThreatSequence)} objects"
    alarms = sum(flag in terms.ALARM_FLAGS for flag in flags)
    if file.NumberOfAlarmObjects != alarms:
        yield f"NumberOfAlarmObjects = {file.NumberOfAlarmObjects}, but {alarms} objects are threats"
    yield from _decision(file, alarms)


def _decision(file: Dataset, alarms: int) -> Iterator[str]:
    decision = file.AlarmDecision
    if (decision == "ALARM" and not alarms) or (decision == "CLEAR" and alarms):
        yield f"AlarmDecision = {decision} with {alarms} threats"
    if (file.AbortFlag == "ABORT") != (decision == "UNKNOWN"):
        yield f"AbortFlag = {file.AbortFlag} with AlarmDecision = {decision}"
    reason = file.get("AbortReason")
    if (reason is None) != (decision != "UNKNOWN") or (reason is not None and reason not in terms.ABORT_REASONS):
        yield f"AbortReason = {reason!r} with AlarmDecision = {decision}"


def _object(item: Dataset, where: str) -> Iterator[str]:
    rules: dict[str, Rule] = {
        "PotentialThreatObjectID": lambda value: _count(value) and value > 0,
        "PTORepresentationSequence": lambda value: len(value) == 1,
        "ATDAssessmentSequence": lambda value: len(value) == 1,
    }
    wrong = list(_broken(item, rules, where))
    yield from wrong
    if wrong:
        return
    yield from _broken(item.ATDAssessmentSequence[0], _ASSESSMENT, where)
    region = item.PTORepresentationSequence[0]
    outline: Rule = lambda value: len(value) >= 9 and len(value) % 3 == 0 and _numbers(len(value))(value)  # noqa: E731
    shape: dict[str, Rule] = {"BoundingPolygon": outline, "ThreatROIVoxelSequence": lambda value: len(value) == 1}
    wrong = list(_broken(region, shape, where))
    yield from wrong
    yield from _references(region.get("ReferencedInstanceSequence", ()), where)
    if not wrong:
        voxels: dict[str, Rule] = {"ThreatROIBase": _numbers(3, least=0), "ThreatROIExtents": _numbers(3, least=1e-6)}
        yield from _broken(region.ThreatROIVoxelSequence[0], voxels, where)
