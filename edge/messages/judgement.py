"""What was found in a bag, and the decision about it."""

from __future__ import annotations

from enum import Enum
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from edge.messages.base import BagMessage, Fault
from edge.messages.images import Drift


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
