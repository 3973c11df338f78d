"""Which planes a network is given: everything, or with something left out to see what it was worth."""

from __future__ import annotations

from edge.inference.planes import PLANES, VALID


def _with(*wanted: str) -> tuple[str, ...]:
    return tuple(name for name in PLANES if name == VALID or any(name.startswith(start) for start in wanted))


def _images(names: tuple[str, ...]) -> tuple[str, ...]:
    """Without the 1-σ, in which a network can read the dark-field: what a pixel tells depends on it."""
    return tuple(name for name in names if not name.endswith(" sd"))


def _low(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(name for name in names if " high" not in name)


_ABSORPTION = ("attenuation", "offset_attenuation")

#: Sets of planes by name. Refraction goes with the dark-field: its fluctuations are made by the same grains.
#: ``attenuation`` is what the paper compares with: the attenuation images of both bins alone, a proxy for the scanners
#: of today. Offset, and every 1-σ, exist only where there are masks.
CHANNELS: dict[str, tuple[str, ...]] = {
    "all": PLANES,
    "attenuation": _images(_with("attenuation")),
    "attenuation-offset": _images(_with(*_ABSORPTION)),
    "no-dark-field": _with(*_ABSORPTION),
    "no-refraction": _with(*_ABSORPTION, "dark_field"),
    "no-sd": _images(PLANES),
    "one-bin": _low(PLANES),
    "one-bin-no-dark-field": _low(_with(*_ABSORPTION)),
}


def planes_of(channels: str) -> tuple[str, ...]:
    """The planes of a set; ValueError lists the sets."""
    if channels not in CHANNELS:
        raise ValueError(f"channels = {channels!r}: use one of {', '.join(CHANNELS)}")
    return CHANNELS[channels]
