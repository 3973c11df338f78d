"""One line of the doctor's page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

#: red: the lane does not work as it must; amber: look at it soon; grey: not there, and not needed here.
State = Literal["green", "amber", "red", "grey"]


@dataclass(frozen=True)
class Finding:
    """What was looked at, what was seen, and for red and amber lines what to do."""

    section: str
    name: str
    state: State
    says: str
    do: str = ""
