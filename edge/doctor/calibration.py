"""Is the lane calibrated, and for how long still?"""

from __future__ import annotations

import time

from calibration.bundle import BundleError, load_active
from edge.config import Config
from edge.doctor.finding import Finding, State

SECTION = "calibration"
#: From this part of its life on, a new one is due.
DUE = 0.8
REMEDY = "darklane calibrate (stop the lane first)"


def check(config: Config, now_ns: int | None = None) -> Finding:
    """State and age of the active bundle."""
    now_ns = time.time_ns() if now_ns is None else now_ns
    limit_h = config.calibration.max_age_h
    try:
        bundle = load_active(config.state_dir / "calibration")
    except (BundleError, OSError, UnicodeDecodeError) as error:
        return Finding(SECTION, "calibration", "red", str(error), REMEDY)
    if bundle is None:
        return Finding(SECTION, "calibration", "red", "none: no bag will be cleared", REMEDY)
    state = bundle.state(limit_h, config.scanner.model_dump_json(), now_ns)
    age_h = (now_ns - bundle.created_ns) / 3.6e12
    says, do = f"{bundle.id}, {age_h:.1f} h old of {limit_h:g} h", REMEDY
    verdict: State = "red"
    if state == "INVALID":
        says = f"{bundle.id} was made with other [scanner] settings: no bag will be cleared"
        do = f"{REMEDY}, or put [scanner] back"
    elif age_h < 0:
        says, do = f"{bundle.id} is from the future: no bag will be cleared", f"set the clock, then {REMEDY}"
    elif state == "EXPIRED":
        says += ", expired: no bag will be cleared"
    elif age_h > DUE * limit_h:
        says, verdict = f"{says}, expires soon", "amber"
    else:
        do, verdict = "", "green"
    return Finding(SECTION, "calibration", verdict, says, do)
