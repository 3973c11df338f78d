"""Header fields, and what every message about a bag carries."""

from __future__ import annotations

from enum import Enum
from typing import ClassVar, Literal

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
