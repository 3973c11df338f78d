"""Is the clock synchronised, and does the kernel know the leap seconds (TAI)?"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass

from edge.doctor.finding import Finding

SECTION = "clock"
#: adjtimex(2): the clock is not synchronised.
TIME_ERROR = 5
#: More than this makes the deadlines of verdicts wrong for those who read them, µs.
MAX_ERROR_US = 100_000


class _Timex(ctypes.Structure):
    """struct timex of adjtimex(2), with room for what newer kernels add."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        *((name, ctypes.c_long) for name in ("offset", "freq", "maxerror", "esterror")),
        ("status", ctypes.c_int),
        *((name, ctypes.c_long) for name in ("constant", "precision", "tolerance", "sec", "usec", "tick")),
        *((name, ctypes.c_long) for name in ("ppsfreq", "jitter")),
        ("shift", ctypes.c_int),
        *((name, ctypes.c_long) for name in ("stabil", "jitcnt", "calcnt", "errcnt", "stbcnt")),
        ("tai", ctypes.c_int),
        ("reserve", ctypes.c_int * 32),
    )


@dataclass(frozen=True)
class Clock:
    """What the kernel says of its clock. ``max_error_us``: bound that the synchronising program gives."""

    synchronised: bool
    max_error_us: int
    tai_offset_s: int


def look() -> Clock | None:
    """Ask the kernel; it is not changed. None where it does not answer."""
    timex = _Timex(modes=0)
    state = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.byref(timex))
    return None if state < 0 else Clock(state != TIME_ERROR, int(timex.maxerror), int(timex.tai))


def check(seen: Clock | None) -> list[Finding]:
    """Two lines: synchronisation and TAI."""
    if seen is None:
        return [Finding(SECTION, "clock", "grey", "the kernel does not say")]
    remedy = "set a time server of this network in /etc/chrony or /etc/systemd/timesyncd.conf; see 'timedatectl'"
    if not seen.synchronised:
        says = "not synchronised: deadlines and times of verdicts are this box's own"
        clock = Finding(SECTION, "clock", "red", says, remedy)
    elif seen.max_error_us > MAX_ERROR_US:
        clock = Finding(SECTION, "clock", "amber", f"synchronised to {seen.max_error_us / 1e3:.0f} ms only", remedy)
    else:
        clock = Finding(SECTION, "clock", "green", f"synchronised, error below {seen.max_error_us / 1e3:.0f} ms")
    if seen.tai_offset_s:
        tai = Finding(SECTION, "TAI", "green", f"{seen.tai_offset_s} s ahead of UTC")
    else:
        tai = Finding(SECTION, "TAI", "grey", "the kernel knows no leap seconds; messages carry UTC")
    return [clock, tai]
