"""Which planes a network is given: everything, or with something left out to see what it was worth."""

from __future__ import annotations

from edge.inference.planes import PLANES, VALID


def _with(*wanted: str) -> tuple[str, ...]:
    return tuple(name for name in PLANES if name == VALID or any(name.startswith(start) for start in wanted))


_ABSORPTION = ("attenuation", "offset_attenuation")

#: Sets of planes by name. Refraction goes with the dark-field: its fluctuations are made by the same grains, and a
#: scanner without masks, which the sets without dark-field stand for, has neither.
CHANNELS: dict[str, tuple[str, ...]] = {
    "all": PLANES,
    "no-dark-field": _with(*_ABSORPTION),
    "no-refraction": _with(*_ABSORPTION, "dark_field"),
    "one-bin": tuple(name for name in PLANES if " high" not in name),
    "one-bin-no-dark-field": tuple(name for name in _with(*_ABSORPTION) if " high" not in name),
}


def planes_of(channels: str) -> tuple[str, ...]:
    """The planes of a set; ValueError lists the sets."""
    if channels not in CHANNELS:
        raise ValueError(f"channels = {channels!r}: use one of {', '.join(CHANNELS)}")
    return CHANNELS[channels]
