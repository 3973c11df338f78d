"""What the detector can be set to, checked before anything is sent and again by the detector."""

from __future__ import annotations

import ipaddress
from dataclasses import asdict, dataclass, fields
from typing import Final

from firmware_bridge.detector_format import PACKET_BYTES
from firmware_bridge.scanner import BINS

#: Energy thresholds, eV: above the noise, below the highest tube voltage.
THRESHOLD_EV: Final = (5_000, 160_000)
#: Exposure, ns: 10 kHz to 1 Hz.
EXPOSURE_NS: Final = (100_000, 1_000_000_000)
ROW_BINNINGS: Final = (1, 2, 4)
PORTS: Final = (1, 65_535)
#: UDP payload of a stream packet, bytes: the IPv6 minimum MTU to a 9000-byte MTU, each less its headers.
PACKETS: Final = (1_232, 8_972)
#: Longest text of an address.
MAX_HOST: Final = 45


class SettingsError(ValueError):
    """A setting is missing, unknown, of the wrong type or out of range; the text names it, its value and the range."""


@dataclass(frozen=True)
class DetectorSettings:
    """Settings of one detector; each is checked when the object is made (:class:`SettingsError`).

    ``thresholds_ev``: T1 < T2, eV. ``exposure_ns``: length of a frame, ns. ``row_binning``: native rows per row.
    ``host``, ``port``: where the packet stream goes, a literal IP address. ``packet_bytes``: UDP payload.
    """

    thresholds_ev: tuple[int, ...]
    exposure_ns: int
    row_binning: int
    host: str
    port: int
    packet_bytes: int = PACKET_BYTES

    def __post_init__(self) -> None:
        thresholds = self.thresholds_ev
        if not isinstance(thresholds, tuple) or len(thresholds) != len(BINS):
            raise SettingsError(f"thresholds_ev is {thresholds!r:.80}; it must be {len(BINS)} energies in eV")
        for value in thresholds:
            _check("thresholds_ev", value, THRESHOLD_EV, "eV")
        if list(thresholds) != sorted(set(thresholds)):
            raise SettingsError(f"thresholds_ev is {thresholds}; each must be above the one before it")
        _check("exposure_ns", self.exposure_ns, EXPOSURE_NS, "ns")
        if not _is_int(self.row_binning) or self.row_binning not in ROW_BINNINGS:
            raise SettingsError(f"row_binning is {self.row_binning!r:.80}; it must be one of {ROW_BINNINGS}")
        _check("port", self.port, PORTS, "")
        _check("packet_bytes", self.packet_bytes, PACKETS, "bytes")
        _check_host(self.host)

    def as_dict(self) -> dict[str, object]:
        """Plain values for the line."""
        return {**asdict(self), "thresholds_ev": list(self.thresholds_ev)}

    @classmethod
    def from_dict(cls, values: object) -> DetectorSettings:
        """Inverse of :meth:`as_dict`; every key must be there and none besides."""
        names = {field.name for field in fields(cls)}
        if not isinstance(values, dict) or set(values) != names:
            given = sorted(map(str, values)) if isinstance(values, dict) else values
            raise SettingsError(f"settings are {given!r:.80}; they must be exactly {sorted(names)}")
        thresholds = values["thresholds_ev"]
        if not isinstance(thresholds, list):
            raise SettingsError(f"thresholds_ev is {thresholds!r:.80}; it must be a list of energies in eV")
        return cls(**{**values, "thresholds_ev": tuple(thresholds)})


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _check(name: str, value: object, bounds: tuple[int, int], unit: str) -> None:
    if not isinstance(value, int) or not _is_int(value) or not bounds[0] <= value <= bounds[1]:
        raise SettingsError(
            f"{name} is {value!r:.80}; it must be a whole number from {bounds[0]} to {bounds[1]} {unit}"
        )


def _check_host(host: object) -> None:
    try:
        if not isinstance(host, str) or len(host) > MAX_HOST:
            raise ValueError("no address")
        address = ipaddress.ip_address(host)
    except ValueError as error:
        raise SettingsError(
            f"host is {host!r:.80}; it must be a literal IP address: the detector has no DNS"
        ) from error
    if address.is_unspecified or "%" in host:
        raise SettingsError(f"host is {host!r}; the stream needs one receiver's address")
