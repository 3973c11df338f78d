"""Words of the DICOS standard (NEMA IIC 1 v03) that we use, in one place: classes, code strings, what ours become."""

from __future__ import annotations

from edge.messages import Decision, Fault

#: SOP classes: DX image for processing, Threat Detection Report.
DX_CLASS = "1.2.840.10008.5.1.4.1.1.501.2.2"
TDR_CLASS = "1.2.840.10008.5.1.4.1.1.501.3"
VERSION = "V03"
#: DICOS version in the file's meta header; the standard added this element to DICOM's.
META_VERSION_TAG = 0x00020004
#: Handedness of the image's coordinates: left-handed, as rows go down and columns along the belt.
HANDEDNESS_TAG, LEFT_HANDED = 0x00082108, "LHS"
#: Where the image's coordinates begin: at the machine's origin.
ORIGIN_TAG, AT_MACHINE = 0x00080118, "MACHINE"
#: Effective energy of an image (FL, keV); 0: not stated.
ENERGY_TAG = 0x43000902
#: Image scale: FD, though DICOM's own dictionary has DS.
SCALE_TAG = 0x40101075
#: Of one potential threat object: processing start and end (DT), and time taken (FL, ms).
OBJECT_START_TAG, OBJECT_END_TAG, OBJECT_MS_TAG = 0x40101080, 0x40101081, 0x40101082

MODALITY = {DX_CLASS: "XRAY", TDR_CLASS: "TDR"}
ALARM_DECISIONS = frozenset(decision.value for decision in Decision)
TDR_TYPES = frozenset({"MACHINE", "OPERATOR", "GROUND_TRUTH", "AGGREGATE"})
ABORT_FLAGS = ("SUCCESS", "ABORT")
ABORT_REASONS = frozenset(
    {
        "TIMEOUT",
        "USER_INTERRUPT",
        "INCOMPLETE_SCAN",
        "FAILED_RECON",
        "OVERSIZE_BAG",
        "CLIPPED_BAG",
        "OUT_OF_BOUNDS",
        "NOT_REVIEWED",
    }
)
#: Ours that the standard lacks become the nearest of its words; the series description has the exact one.
ABORT_REASON = {
    Fault.TIMEOUT: "TIMEOUT",
    Fault.INCOMPLETE_SCAN: "INCOMPLETE_SCAN",
    Fault.CLIPPED_BAG: "CLIPPED_BAG",
    Fault.OVERSIZE_BAG: "OVERSIZE_BAG",
    Fault.OUT_OF_BOUNDS: "OUT_OF_BOUNDS",
    Fault.USER_INTERRUPT: "USER_INTERRUPT",
    Fault.FAILED_RECON: "FAILED_RECON",
    Fault.CALIBRATION_EXPIRED: "FAILED_RECON",
    Fault.DETECTOR_FAULT: "INCOMPLETE_SCAN",
    Fault.SERVICE_RESTART: "INCOMPLETE_SCAN",
    Fault.IDENTITY_DOUBT: "NOT_REVIEWED",
}
THREAT, NO_THREAT, UNDECIDED = "THREAT", "NO_THREAT", "UNKNOWN"
#: Flags that count as an alarm.
ALARM_FLAGS = frozenset({"HIGH_THREAT", THREAT})
ASSESSMENT_FLAGS = ALARM_FLAGS | {NO_THREAT, UNDECIDED}
ABILITIES = ("NO_INTERFERENCE", "SHIELD")
#: By category of :class:`edge.messages.DetectedObject`: threat category and ability.
CATEGORY = {
    "explosive": ("EXPLOSIVE", ABILITIES[0]),
    "benign": ("OTHER", ABILITIES[0]),
    "opaque": ("ANOMALY", ABILITIES[1]),
    "unknown": ("ANOMALY", ABILITIES[0]),
}
THREAT_CATEGORIES = frozenset(
    {"EXPLOSIVE", "OTHER", "ANOMALY", "LAPTOP", "PHARMACEUTICAL", "PROHIBITED_ITEM", "CONTRABAND"}
)
ID_TYPES = frozenset({"BARCODE", "RFID", "TEXT", "MRP"})
OOI_TYPES = frozenset({"BAGGAGE", "PERSON", "ANIMAL", "CARGO", "BIO_SAMPLE", "OTHER"})
SCAN_TYPES = ("OPERATIONAL", "NON_OPERATIONAL")
#: Energy of each bin of :data:`firmware_bridge.scanner.BINS`, as the third value of Image Type.
ENERGY = {"low": "LOW_ENERGY", "high": "HIGH_ENERGY"}
