"""Can readout have the receive buffer that the configuration asks for?"""

from __future__ import annotations

from pathlib import Path

from edge.doctor.finding import Finding

SECTION = "kernel"
RMEM_MAX = Path("/proc/sys/net/core/rmem_max")
MIB = 1 << 20


def read(path: Path = RMEM_MAX) -> int | None:
    """net.core.rmem_max in bytes; None where it cannot be read."""
    try:
        return int(path.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None


def check(rmem_max: int | None, wanted_mib: int, *, socket_unit: bool) -> Finding:
    """``socket_unit``: darklane-readout.socket is installed, which needs no rmem_max."""
    name = "receive buffer"
    if rmem_max is None:
        return Finding(SECTION, name, "grey", "net.core.rmem_max cannot be read here")
    says = f"net.core.rmem_max is {rmem_max / MIB:.1f} MiB, [detector] receive_buffer_mib is {wanted_mib}"
    if rmem_max >= wanted_mib * MIB:
        return Finding(SECTION, name, "green", says)
    remedy = f"sysctl -w net.core.rmem_max={wanted_mib * MIB} (darklane install makes it permanent)"
    if socket_unit:
        return Finding(SECTION, name, "amber", f"{says}; darklane-readout.socket does without it", remedy)
    return Finding(SECTION, name, "red", f"{says}: packets will be lost under load", remedy)
