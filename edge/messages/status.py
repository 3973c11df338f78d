"""What every service says of itself."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from edge.messages.base import Message


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
