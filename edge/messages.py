"""Every message of the internal bus and of the verdict feed, as pydantic models.

On the wire a message is ``[topic, msgpack map, raw array, raw array, ...]``. The map is the model with
``arrays`` naming each raw frame; arrays are C-ordered, little-endian, and never copied to change layout:
(phase | channel, bin, row, column) from readout to inference. New fields have defaults; types never change.
"""

from __future__ import annotations

from enum import Enum
from typing import Annotated, ClassVar, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

#: Channels of the images message, in this order.
CHANNELS = ("transmission", "refraction_um", "dark_field_um2", "offset")

Arrays = dict[str, npt.NDArray[np.generic]]


class Message(BaseModel):
    """Header fields that every message carries."""

    model_config = ConfigDict(extra="ignore", frozen=True)
    #: Names of the raw arrays that follow the map, in order.
    ARRAYS: ClassVar[tuple[str, ...]] = ()

    schema_id: str = Field(description="message name and version, e.g. 'slab/1'")
    seq: int = Field(0, ge=0, description="counts the messages of one source and boot")
    boot_id: str = Field("", description="changes whenever the source process starts")
    t_ns: int = Field(0, ge=0, description="time of sending, ns since 1970")
    clock_state: Literal["tai", "realtime"] = "realtime"
    source: str = Field("", description="sending service")


class DeviceEventKind(str, Enum):
    """What a device reported."""

    BAG_ENTRY = "bag_entry"
    BAG_EXIT = "bag_exit"
    INTERLOCK = "interlock"
    DEVICE_LOST = "device_lost"
    DEVICE_FOUND = "device_found"
    ENCODER = "encoder"
    ESTOP = "estop"
    DEVICE_STATE = "device_state"


class DeviceEvent(Message):
    """bridge → all (PUB topic ``event``): something happened at the belt or to a device."""

    schema_id: Literal["device-event/1"] = "device-event/1"
    kind: DeviceEventKind
    device: str = "belt"
    event_seq: int = Field(0, ge=0, description="counter of the device itself; a gap means a lost event")
    encoder: int = Field(0, description="belt encoder, counts")
    event_t_ns: int = Field(0, ge=0, description="when it happened, ns since 1970")
    bag_id: str = Field("", description="bag entry and exit: unique id given by the bridge at entry")
    bag_tag: str = Field("", description="what the belt controller read from the bag (barcode, RFID or text)")
    interlock_closed: bool | None = None
    detail: str = ""
    state: str = Field("", description="device_state: the new state of the device, as in the bridge's status")
    beam_on: bool | None = Field(None, description="device_state of the tube: whether x-rays are on")
    estop_pressed: bool | None = Field(None, description="estop: pressed, or reset")
    device_t_us: int | None = Field(None, description="the controller's own clock at the event, µs since its start")
    belt_moving: bool | None = Field(None, description="encoder: whether the belt is switched on")


#: What the bridge carries out (docs/reference/bridge.md has the table of what is refused when).
Action = Literal[
    "clear_line",
    "events_since",
    "status",
    "belt_start",
    "belt_stop",
    "lights",
    "reset_estop",
    "move",
    "home",
    "stop_motion",
    "warm_up",
    "beam_on",
    "beam_off",
    "tube_reset",
    "detector_configure",
    "detector_start",
    "detector_stop",
    "detector_reset",
]


class DeviceCommand(Message):
    """anybody on the box → bridge (DEALER/ROUTER), acknowledged by :class:`CommandReply` when it is done."""

    schema_id: Literal["device-command/1"] = "device-command/1"
    device: str = Field("belt", max_length=64, description="move, home, stop_motion: the axis; 'motion' is every axis")
    action: Action
    bag_id: str = ""
    encoder_from: int = 0
    encoder_to: int = 0
    after_seq: int = Field(0, ge=0, description="events_since: events with a larger bridge seq are returned")
    command_id: str = Field("", max_length=64, description="chosen by the sender; its replies carry it")
    say_accepted: bool = Field(False, description="also reply 'accepted' at once when the command takes a while")
    target: float = Field(0.0, description="move: where to, in the unit of the axis (µm or mrad)")
    kv: float = Field(0.0, ge=0, description="beam_on: tube voltage, kV; 0 is that of the configuration")
    ma: float = Field(0.0, ge=0, description="beam_on: tube current, mA; 0 is that of the configuration")
    lights: tuple[bool, bool, bool] = Field((False, False, False), description="lights: red, amber, green")
    thresholds_ev: tuple[int, ...] = Field(
        (), description="detector_configure: energy thresholds, eV; empty: as they are"
    )
    timeout_s: float = Field(0.0, ge=0, le=3600, description="give up after this; 0 is the action's own limit")


class DeviceState(BaseModel):
    """What the bridge knows of one device."""

    model_config = ConfigDict(frozen=True)
    device: str
    present: bool
    state: str = Field("", description="tube: off, warming, ready, on, fault; axis: idle, moving, fault; …")
    detail: str = Field("", description="why it is lost or in fault, and what to do")
    busy: str = Field("", description="the command that it carries out now")
    values: dict[str, float] = Field(default_factory=dict, description="kv, ma, position, temperature_c …")
    facts: dict[str, str] = Field(default_factory=dict, description="port, firmware, unit, limit switch …")


class CommandReply(Message):
    """bridge → sender of a command."""

    schema_id: Literal["command-reply/1"] = "command-reply/1"
    ok: bool
    reason: str = ""
    events: tuple[DeviceEvent, ...] = ()
    devices: dict[str, str] = Field(default_factory=dict)
    command_id: str = Field("", description="that of the command")
    phase: Literal["done", "accepted"] = Field("done", description="accepted: it has begun, a second reply will come")
    states: tuple[DeviceState, ...] = Field((), description="status: every device")


class BagMessage(Message):
    """Fields of every message about one bag."""

    bag_id: str = Field(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9._-]+$")
    scan_id: str = Field("", max_length=128, description="one pass of one bag through the scanner")
    encoder: int = 0


class Fault(str, Enum):
    """Why a bag cannot be cleared (DICOS and BHS vocabulary where it has the word)."""

    TIMEOUT = "Timeout"
    INCOMPLETE_SCAN = "IncompleteScan"
    CLIPPED_BAG = "ClippedBag"
    OVERSIZE_BAG = "OversizeBag"
    OUT_OF_BOUNDS = "OutOfBounds"
    USER_INTERRUPT = "UserInterrupt"
    FAILED_RECON = "FailedRecon"
    CALIBRATION_EXPIRED = "CalibrationExpired"
    DETECTOR_FAULT = "DetectorFault"
    SERVICE_RESTART = "ServiceRestart"
    IDENTITY_DOUBT = "IdentityDoubt"


class Slab(BagMessage):
    """readout → retrieval: phase sums of consecutive columns of one bag, complete in all four groups.

    The last slab of a bag has ``last`` set and may have zero columns. A bag that had to be given up ends
    with a last slab that names the fault. Arrays, float32: ``phase_sums`` (4 groups, 2 bins, rows, columns),
    ``weights`` and ``weights_sq`` (128 detector columns, columns): Σ W and Σ W² of physics.md 4.
    """

    ARRAYS = ("phase_sums", "weights", "weights_sq")
    schema_id: Literal["slab/1"] = "slab/1"
    index: int = Field(ge=0, description="0, 1, 2 … without a gap within one bag")
    last: bool = False
    fault: Fault | None = None
    column0: int = Field(ge=0, description="first column of this slab on the bag's grid")
    columns: int = Field(ge=0, le=256)
    rows: int = Field(ge=0)
    grid_um: float = Field(gt=0, description="column spacing h, µm of belt travel")
    origin_um: float = Field(description="belt travel of column 0 of the bag's grid, µm")
    bag_from_um: float = Field(description="belt travel of the bag's leading edge (light barrier), µm")
    bag_to_um: float | None = Field(None, description="of its trailing edge; set in the last slab at the latest")
    frames: int = Field(0, ge=0, description="frames summed so far for this bag")
    lost_frames: int = Field(0, ge=0, description="frames of this bag known to be lost so far")
    lost_packets: int = Field(0, ge=0)
    first_frame_t_ns: int = 0
    last_frame_t_ns: int = 0
    calibration_id: str = Field("", description="calibration whose pixel mask was applied")


class Recall(BagMessage):
    """verdict → readout: send the spooled slabs of this bag once more, as the scan ``scan_id``.

    A bag of which there is nothing complete is answered by one last slab that names the fault.
    """

    schema_id: Literal["recall/1"] = "recall/1"


class Drift(BaseModel):
    """What the air before a bag says about the masks since the calibration; the tube output is ``air_scale``."""

    model_config = ConfigDict(frozen=True)
    mask_shift_um: float = Field(0.0, description="of the illumination curves, at M1")
    mask_rotation_mrad: float = Field(0.0, description="about the beam: change of the shift, µm per mm of height")
    broadening_um2: tuple[float, float] = Field((0.0, 0.0), description="of the curves' variance, low and high bin")
    corrected: bool = Field(False, description="taken out of this bag's images")
    recalibrate: bool = Field(False, description="beyond the limits at which a new calibration is due")


class ImageSlab(BagMessage):
    """retrieval → inference, archive, console: retrieved images of one slab's columns.

    ``images`` and ``sigma``: float32 (4 channels, 2 bins, rows, columns); ``flags``: uint16 (2, rows, columns).
    """

    ARRAYS = ("images", "sigma", "flags")
    schema_id: Literal["images/1"] = "images/1"
    index: int = Field(ge=0)
    last: bool = False
    fault: Fault | None = None
    column0: int = Field(ge=0)
    columns: int = Field(ge=0, le=256)
    rows: int = Field(ge=0)
    grid_um: float = Field(gt=0)
    row_pitch_um: float = Field(gt=0)
    origin_um: float
    bag_from_um: float
    bag_to_um: float | None = None
    frames: int = Field(0, ge=0)
    lost_frames: int = Field(0, ge=0)
    lost_packets: int = Field(0, ge=0)
    first_frame_t_ns: int = 0
    last_frame_t_ns: int = 0
    calibration_id: str = Field("", description="empty: no valid calibration, nothing was retrieved")
    calibration_created_ns: int = Field(0, ge=0)
    model: str = Field("map", description="retrieval model: paper, full or map")
    kernel_backend: str = Field("", description="host-avx2, cuda-sm87 …")
    air_scale: tuple[float, float] = Field((1.0, 1.0), description="tube output against calibration, per bin")
    drift: Drift | None = Field(None, description="of the masks; None: not measured")
    retrieval_ms: float = Field(0.0, ge=0)


class Candidate(BaseModel):
    """One material that an object may be."""

    model_config = ConfigDict(frozen=True)
    material: str
    probability: float = Field(ge=0, le=1)
    threat: bool


class Saliency(BaseModel):
    """Where a network sees a threat: one probability per cell of an even grid over ``box``."""

    model_config = ConfigDict(frozen=True)
    box: tuple[int, int, int, int] = Field(description="row0, column0, row1, column1 in pixels; half open")
    rows: int = Field(ge=1, le=4096, description="cells")
    columns: int = Field(ge=1, le=65536, description="cells")
    data: str = Field(description="rows × columns bytes, row by row, 255 is probability 1: zlib, then base64")


class ShadowJudgement(BaseModel):
    """What a model that has no say makes of the same bag."""

    model_config = ConfigDict(frozen=True)
    model_id: str
    model_version: str = ""
    model_sha256: str = ""
    runtime: str = ""
    score: float | None = Field(None, ge=0, le=1, description="None: it failed")
    threshold: float = Field(0.5, ge=0, le=1)
    detail: str = Field("", description="why it failed")


class DetectedObject(BaseModel):
    """One region of the bag that was judged; pixel coordinates on the bag's image."""

    model_config = ConfigDict(frozen=True)
    box: tuple[int, int, int, int] = Field(description="row0, column0, row1, column1; half open")
    polygon: tuple[tuple[float, float], ...] = Field(description="outline as (row, column) vertices")
    area_mm2: float = Field(ge=0)
    probability: float = Field(ge=0, le=1, description="probability that it is a threat material")
    category: Literal["explosive", "benign", "opaque", "unknown"] = "unknown"
    candidates: tuple[Candidate, ...] = ()
    features: dict[str, float] = Field(default_factory=dict, description="R_df, R_ab, R_of and their 1-σ")
    saliency: Saliency | None = Field(None, description="of the network, in the object's box")


class Judged(BagMessage):
    """What was found in a bag, and by what: carried unchanged from the assessment into the verdict."""

    score: float = Field(0.0, ge=0, le=1, description="probability that the bag holds a threat")
    threshold: float = Field(0.5, ge=0, le=1)
    objects: tuple[DetectedObject, ...] = ()
    calibration_id: str = ""
    calibration_created_ns: int = 0
    model_id: str = ""
    model_version: str = ""
    model_sha256: str = ""
    kernel_backend: str = ""
    inference_runtime: str = ""
    frames: int = 0
    lost_frames: int = 0
    lost_packets: int = 0
    retrieval_ms: float = 0.0
    inference_ms: float = 0.0
    air_scale: tuple[float, float] = (1.0, 1.0)
    drift: Drift | None = None
    contributions: dict[str, float] = Field(
        default_factory=dict, description="probability that each model alone gives, by model id"
    )
    saliency: Saliency | None = Field(None, description="of the network, over the whole bag")
    shadow: ShadowJudgement | None = None


class Assessment(Judged):
    """inference → verdict: what was found in one bag."""

    schema_id: Literal["assessment/1"] = "assessment/1"
    fault: Fault | None = None
    detail: str = Field("", max_length=500, description="cause of the fault, for people")
    columns: int = 0
    rows: int = 0
    first_frame_t_ns: int = 0
    last_frame_t_ns: int = 0


class Decision(str, Enum):
    """DICOS AlarmDecision of one bag."""

    ALARM = "ALARM"
    CLEAR = "CLEAR"
    UNKNOWN = "UNKNOWN"


#: The same decision in IATA RP1745 words.
IATA = {Decision.ALARM: "REJ", Decision.CLEAR: "CLR", Decision.UNKNOWN: "UCL"}


class Verdict(Judged):
    """verdict → world: the one final decision about a bag, or a supplement to it."""

    schema_id: Literal["verdict/1"] = "verdict/1"
    decision: Decision
    iata: Literal["REJ", "CLR", "UCL"]
    reason: Fault | None = Field(None, description="set when and only when the decision is UNKNOWN")
    final: bool = Field(True, description="False: a late result, published as a supplement only")
    supersedes: int | None = Field(None, description="feed sequence of the verdict that this one supplements")
    bag_tag: str = ""
    bag_id_type: Literal["barcode", "rfid", "text"] = "text"
    tip: bool = Field(False, description="threat image projection: the threat was inserted for training")
    scan_start_t_ns: int = 0
    scan_stop_t_ns: int = 0
    encoder_window: tuple[int, int] = (0, 0)
    deadline_ns: int = Field(0, ge=0)
    deadline_encoder: int = 0
    latency_ms: float | None = Field(None, description="last frame of the bag to this verdict")
    detail: str = ""


class LaneState(Message):
    """verdict → world, topic ``lane.state``: heartbeat."""

    schema_id: Literal["lane-state/1"] = "lane-state/1"
    state: Literal["STARTING", "READY", "SCANNING", "DEGRADED", "FAULT"]
    calibration_id: str = ""
    calibration_state: Literal["UNCALIBRATED", "CALIBRATED", "EXPIRED", "INVALID"] = "UNCALIBRATED"
    bags_in_flight: int = 0
    verdicts: int = 0
    dropped: int = Field(0, description="feed messages that a slow subscriber did not take")
    detail: str = ""


class BagNotice(BagMessage):
    """verdict → world, topics ``bag.start`` and ``bag.end``."""

    schema_id: Literal["bag-notice/1"] = "bag-notice/1"
    bag_tag: str = ""
    deadline_ns: int = 0
    ended: bool = False


class Hello(Message):
    """verdict → world, topic ``hello``: who speaks; sent at start and whenever somebody subscribes to it."""

    schema_id: Literal["hello/1"] = "hello/1"
    lane: str = Field("", max_length=64)
    software: str = Field("", description="name and version")
    last_verdict_seq: int = Field(0, ge=0, description="newest journaled bag.verdict; ask for the gap behind it")
    heartbeat_s: float = Field(1.0, gt=0, description="period of lane.state; three missing mean silence")


class FeedRequest(Message):
    """client of the feed → gateway (DEALER or REQ, topic ``request``).

    Answered by :class:`FeedReply`, or by :class:`BagImage` where an image was asked for and there is one.
    """

    schema_id: Literal["feed-request/1"] = "feed-request/1"
    request_id: str = Field("", max_length=64, description="chosen by the client; the answer carries it")
    ask: Literal["snapshot", "replay", "image", "calibration"]
    after_seq: int = Field(0, ge=0, description="replay: verdicts with a larger bag.verdict seq are returned")
    until_seq: int = Field(0, ge=0, description="replay: and with this one at most; 0: up to the newest")
    limit: int = Field(500, ge=1, le=500, description="replay: as many verdicts at most; the answer says 'more'")
    bag_id: str = Field("", max_length=128, pattern=r"^[A-Za-z0-9._-]*$", description="image: of which bag")


class CalibrationStatus(BaseModel):
    """The calibration that new bags are scanned with."""

    model_config = ConfigDict(frozen=True)
    state: Literal["UNCALIBRATED", "CALIBRATED", "EXPIRED", "INVALID"] = "UNCALIBRATED"
    calibration_id: str = ""
    created_ns: int = Field(0, ge=0, description="when it was made, ns since 1970; 0: there is none")
    age_h: float | None = Field(None, description="hours since then")
    detail: str = ""


class FeedReply(Message):
    """gateway → client of the feed (topic ``reply``). What was not asked for is empty."""

    schema_id: Literal["feed-reply/1"] = "feed-reply/1"
    request_id: str = Field("", max_length=64, description="that of the request")
    ok: bool
    reason: str = Field("", description="why not ok, and what to do")
    hello: Hello | None = Field(None, description="snapshot: who speaks")
    lane_state: LaneState | None = Field(None, description="snapshot: the newest heartbeat; None: the lane is silent")
    bags: tuple[BagNotice, ...] = Field((), description="snapshot: the bags that have no final verdict yet")
    verdicts: tuple[Verdict, ...] = Field((), description="replay: in the order of their seq")
    last_seq: int = Field(0, ge=0, description="snapshot, replay: seq of the newest bag.verdict that can be asked for")
    more: bool = Field(False, description="replay: ask again, after the last of these verdicts")
    calibration: CalibrationStatus | None = Field(None, description="snapshot, calibration")


class BagImage(BagMessage):
    """gateway → world, topic ``bag.image``: retrieved images of one bag, and the answer to a request for them.

    ``image``: float32 (4 channels, 2 bins, rows, columns).
    """

    ARRAYS = ("image",)
    schema_id: Literal["bag-image/1"] = "bag-image/1"
    request_id: str = Field("", max_length=64, description="that of the request; empty on the feed")
    rows: int = Field(ge=0)
    columns: int = Field(ge=0)
    channels: tuple[str, ...] = Field((), description="quantity and unit of each channel, in order")
    pixel_mm: tuple[float, float] = Field(description="distance of rows and of columns, mm")
    preview: bool = Field(False, description="reduced in size; the full image can be asked for")


class ServiceStatus(Message):
    """every service → supervisor (PUB topic ``status``), once a second."""

    schema_id: Literal["service-status/1"] = "service-status/1"
    state: Literal["starting", "ready", "stopping", "fault"] = "ready"
    rate_hz: float = Field(0.0, ge=0, description="units of work per second since the last status")
    unit: str = Field("msg", description="what rate_hz counts: frames, slabs, bags …")
    queue: int = Field(0, ge=0, description="work waiting")
    lag_ms: float = Field(0.0, ge=0, description="age of the oldest data in hand")
    counters: dict[str, int] = Field(default_factory=dict)
    detail: str = ""


AnyMessage = Annotated[
    DeviceEvent
    | DeviceCommand
    | CommandReply
    | Slab
    | Recall
    | ImageSlab
    | Assessment
    | Verdict
    | LaneState
    | BagNotice
    | Hello
    | FeedRequest
    | FeedReply
    | BagImage
    | ServiceStatus,
    Field(discriminator="schema_id"),
]
