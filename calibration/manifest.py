"""What a calibration bundle says about its own making: who, with which devices, every limit and every result."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class StepResult(_Part):
    """One step of the routine that has passed; ``values`` as it reported them."""

    step: str
    text: str = ""
    values: dict[str, float] = Field(default_factory=dict)


class DeviceIdentity(_Part):
    """One device as it named itself."""

    serial: str = ""
    firmware: str = ""


class Manifest(_Part):
    """Provenance of one bundle; part of its content hash."""

    operator: str = Field("", max_length=128)
    host: str = Field("", max_length=128)
    simulated: bool = Field(False, description="recorded on the emulated scanner")
    tube_kv: float = 0.0
    thresholds_ev: tuple[int, int] = (0, 0)
    devices: dict[str, DeviceIdentity] = Field(default_factory=dict)
    limits: dict[str, float | tuple[float, float]] = Field(default_factory=dict)
    steps: tuple[StepResult, ...] = ()

    def canonical(self) -> str:
        """JSON text that is the same for the same content."""
        return self.model_dump_json()
