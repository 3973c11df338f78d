"""Device events, commands and states: between the bridge and everybody on the box."""

from __future__ import annotations

from enum import Enum
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from edge.messages.base import Message


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
