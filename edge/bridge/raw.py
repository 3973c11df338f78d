"""What the belt controller reports, as its driver hands it over."""

from __future__ import annotations

from typing import Protocol


class RawEvent(Protocol):
    """What :class:`firmware_bridge.belt.BeltController` reports."""

    @property
    def kind(self) -> str:
        """bag_entry, bag_exit, interlock, estop or encoder."""

    @property
    def seq(self) -> int:
        """Counter of the controller within one boot; the same again when it sends an event twice."""

    @property
    def boot(self) -> int:
        """Changes whenever the controller starts."""

    @property
    def encoder(self) -> int:
        """Belt encoder when it happened, counts."""

    @property
    def tag(self) -> str:
        """What was read from the bag."""

    @property
    def closed(self) -> bool | None:
        """Interlock state: interlock events and encoder reports."""

    @property
    def moving(self) -> bool | None:
        """Whether the belt runs: encoder reports."""

    @property
    def latched(self) -> bool | None:
        """Whether the emergency stop is in force: estop events and encoder reports."""

    @property
    def device_t_us(self) -> int:
        """When it happened, µs since the controller started."""
