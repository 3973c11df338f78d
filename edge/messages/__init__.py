"""Every message of the internal bus and of the verdict feed, as pydantic models.

On the wire a message is ``[topic, msgpack map, raw array, raw array, ...]``. The map is the model with
``arrays`` naming each raw frame; arrays are C-ordered, little-endian, and never copied to change layout:
(phase | channel, bin, row, column) from readout to inference. New fields have defaults; types never change.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from edge.messages.base import CHANNELS, Arrays, BagMessage, Fault, Message
from edge.messages.devices import Action, CommandReply, DeviceCommand, DeviceEvent, DeviceEventKind, DeviceState
from edge.messages.feed import BagImage, BagNotice, CalibrationStatus, FeedReply, FeedRequest, Hello, LaneState
from edge.messages.images import Drift, ImageSlab, Recall, Slab
from edge.messages.judgement import (
    IATA,
    Assessment,
    Candidate,
    Decision,
    DetectedObject,
    Judged,
    Saliency,
    ShadowJudgement,
    Verdict,
)
from edge.messages.status import ServiceStatus

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

__all__ = [
    "CHANNELS",
    "IATA",
    "Action",
    "AnyMessage",
    "Arrays",
    "Assessment",
    "BagImage",
    "BagMessage",
    "BagNotice",
    "CalibrationStatus",
    "Candidate",
    "CommandReply",
    "Decision",
    "DetectedObject",
    "DeviceCommand",
    "DeviceEvent",
    "DeviceEventKind",
    "DeviceState",
    "Drift",
    "Fault",
    "FeedReply",
    "FeedRequest",
    "Hello",
    "ImageSlab",
    "Judged",
    "LaneState",
    "Message",
    "Recall",
    "Saliency",
    "ServiceStatus",
    "ShadowJudgement",
    "Slab",
    "Verdict",
]
