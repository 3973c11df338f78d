"""What an image and a report have in common: identity of the bag, scan, device, and how a file is written."""

from __future__ import annotations

import hashlib
import io
import uuid
from dataclasses import dataclass
from datetime import datetime, timezone

from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import UID, ExplicitVRLittleEndian

from edge.archive.layout import MEASURED
from edge.archive.reader import BagFile
from edge.dicos import terms

MANUFACTURER = "Darklane"
#: UIDs are derived from names below this one, so that writing a bag again gives the same.
_NAMESPACE = uuid.UUID("5f0c1a35-8e0b-5d0f-9d5b-6c1fd2f0a7f4")
_LONGEST_LO = 64
_LONGEST_SH = 16


class DicosError(ValueError):
    """A DICOS file cannot be written, read or sent; the message names it and says why."""


def uid(*names: str) -> UID:
    """The UID (2.25.…) that belongs to these names."""
    return UID(f"2.25.{uuid.uuid5(_NAMESPACE, '/'.join(names)).int}")


def text(value: str, longest: int = _LONGEST_LO) -> str:
    """``value`` without characters that DICOM forbids; one that is too long ends with a hash of the whole."""
    clean = "".join("_" if char == "\\" or not char.isprintable() else char for char in value).strip()
    if len(clean) <= longest:
        return clean
    digest = hashlib.sha256(value.encode()).hexdigest()[:8]
    return f"{clean[: longest - 9]}~{digest}"


@dataclass(frozen=True)
class Moment:
    """One time as DICOM writes it, UTC."""

    date: str
    time: str

    @classmethod
    def of(cls, t_ns: int) -> Moment:
        """From nanoseconds since 1970."""
        seconds, rest = divmod(t_ns, 1_000_000_000)
        made = datetime.fromtimestamp(seconds, timezone.utc)
        return cls(f"{made:%Y%m%d}", f"{made:%H%M%S}.{rest // 1000:06d}")

    @property
    def both(self) -> str:
        """Date and time with the zone, value representation DT."""
        return f"{self.date}{self.time}+0000"


@dataclass(frozen=True)
class Bag:
    """Names of one bag in DICOS: derived from lane and bag id only."""

    lane: str
    bag_id: str

    @property
    def scan_uid(self) -> UID:
        """Scan (study)."""
        return uid(self.lane, self.bag_id)

    def image_uid(self, bin_name: str) -> UID:
        """Image of one energy bin."""
        return uid(self.lane, self.bag_id, bin_name)

    def report_uid(self, seq: int) -> UID:
        """Report about the verdict with this journal number."""
        return uid(self.lane, self.bag_id, "report", str(seq))


def bag_of(file: BagFile) -> Bag:
    """Names of an archived bag."""
    return Bag(str(file.attributes["lane"]), file.bag_id)


def begun_ns(file: BagFile) -> int:
    """When the bag's scan began; 0 when nothing of it was recorded."""
    times = [slab.first_frame_t_ns for slab in file.slab_headers]
    times += [slab.first_frame_t_ns for slab in file.image_headers]
    return min((t_ns for t_ns in times if t_ns), default=0)


def new_dataset(file: BagFile, sop_class: str, instance: UID, number: int, content_ns: int, about: str) -> FileDataset:
    """Data set with everything that is the same in an image and a report; ``about`` describes the series."""
    bag, verdict = bag_of(file), file.verdict
    began = Moment.of(begun_ns(file) or content_ns)
    content = Moment.of(content_ns)
    simulated = file.attributes["provenance"] != MEASURED
    made = FileDataset(io.BytesIO(), {}, file_meta=_meta(sop_class, instance), preamble=b"\0" * 128)
    made.SOPClassUID, made.SOPInstanceUID = sop_class, instance
    made.SpecificCharacterSet = "ISO_IR 192"
    made.InstanceCreationDate, made.InstanceCreationTime = content.date, content.time
    made.ContentDate, made.ContentTime = content.date, content.time
    made.StudyDate, made.StudyTime = began.date, began.time
    made.SeriesDate, made.SeriesTime = began.date, began.time
    made.TimezoneOffsetFromUTC = "+0000"
    made.Modality = terms.MODALITY[sop_class]
    made.SeriesDescription = text(f"simulated: {about}" if simulated else about)
    made.StudyInstanceUID = bag.scan_uid
    made.SeriesInstanceUID = uid(bag.lane, bag.bag_id, terms.MODALITY[sop_class])
    made.StudyID = text(bag.bag_id, _LONGEST_SH)
    made.InstanceNumber = number
    made.AcquisitionStatus = "SUCCESSFUL" if bool(file.attributes["images_complete"]) else "INCOMPLETE"
    made.ScanType = terms.SCAN_TYPES[simulated]
    made.DICOSVersion = terms.VERSION
    made.AlgorithmRoutingCodeSequence = Sequence()
    tag = verdict.bag_tag if verdict is not None else ""
    made.PatientID = text(tag) or text(bag.bag_id)
    made.IssuerOfPatientID = text(bag.lane)
    made.TypeOfPatientID = verdict.bag_id_type.upper() if verdict is not None and tag else "TEXT"
    made.PatientSex = "U"
    made.OtherPatientIDsSequence = Sequence([_own_id(bag)] if tag else [])
    made.OOIType = "BAGGAGE"
    _device(made, file, bag.lane)
    return made


def _own_id(bag: Bag) -> Dataset:
    made = Dataset()
    made.PatientID, made.IssuerOfPatientID, made.TypeOfPatientID = text(bag.bag_id), text(bag.lane), "TEXT"
    return made


def _device(made: FileDataset, file: BagFile, lane: str) -> None:
    calibrated_ns = max((slab.calibration_created_ns for slab in file.image_headers), default=0)
    calibrated = Moment.of(calibrated_ns)
    made.Manufacturer = MANUFACTURER
    made.ManufacturerModelName = MANUFACTURER
    made.InstitutionName = made.InstitutionAddress = "unknown"
    made.InstitutionalDepartmentName = ""
    made.StationName = text(lane, _LONGEST_SH)
    made.DeviceSerialNumber = text(lane)
    made.SoftwareVersions = text(f"darklane {file.software.get('darklane', 'unknown')}")
    made.DateOfLastCalibration, made.TimeOfLastCalibration = calibrated.date, calibrated.time


def _meta(sop_class: str, instance: UID) -> FileMetaDataset:
    meta = FileMetaDataset()
    meta.FileMetaInformationVersion = b"\0\1"
    meta.MediaStorageSOPClassUID = UID(sop_class)
    meta.MediaStorageSOPInstanceUID = instance
    meta.add(DataElement(terms.META_VERSION_TAG, "CS", terms.VERSION))
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = uid("implementation")
    meta.ImplementationVersionName = "DARKLANE"
    return meta
