"""What else the feed says, and what its clients ask for."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from edge.messages.base import BagMessage, Message
from edge.messages.judgement import Verdict


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
