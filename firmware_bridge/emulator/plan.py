"""What the emulated scanner is asked to scan, in which order, and what goes wrong meanwhile."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

Kind = Literal["tray", "bag", "laptop", "phone", "hair_dryer", "empty", "reference", "wedges", "samples", "phantom"]

#: Fill heights of the paper's step containers, mm: 2.5, 5, 10 and 20 mm boxes and some of their sums.
REFERENCE_STEPS_MM = (2.5, 5.0, 7.5, 10.0, 15.0, 20.0, 27.5, 37.5)


class PlanError(ValueError):
    """A plan cannot be used; the message names the file, the item and the value."""


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Faults(_Table):
    """What goes wrong while one bag is scanned. Fractions are of the packets of the bag's frames."""

    packet_loss: float = Field(0.0, ge=0, le=1)
    duplicate: float = Field(0.0, ge=0, le=1)
    reorder: float = Field(0.0, ge=0, le=1)
    late: float = Field(0.0, ge=0, le=1)
    truncate_at_mm: float | None = Field(None, ge=0, description="the stream falls silent from here to the bag's end")
    clip: bool = Field(False, description="the bag sticks out of the field of view")


class PlanItem(_Table):
    """One thing on the belt. ``target`` names a material hidden in it; ``reference`` needs one, other kinds may."""

    kind: Kind
    seed: int = Field(0, ge=0)
    target: str | None = None
    tag: str = Field("", max_length=64)
    thicknesses_mm: tuple[float, ...] = Field(REFERENCE_STEPS_MM, description="steps of a reference container, mm")
    faults: Faults = Faults()


class Plan(_Table):
    """An ordered list of items; the file is ``{"items": [...]}``."""

    items: tuple[PlanItem, ...]


def load_plan(name: str) -> Plan:
    """Read a plan from a JSON file, or the shipped plan of that name.

    Raises :class:`PlanError` naming the shipped plans when neither exists, or the bad key of an item.
    """
    path = Path(name)
    folder = resources.files(__package__) / "data" / "plans"
    if path.suffix == ".json":
        try:
            text = path.read_text(encoding="utf-8")
        except OSError as error:
            raise PlanError(f"plan {name}: cannot be read ({error.strerror}); give an existing file") from error
    else:
        shipped = sorted(entry.name.removesuffix(".json") for entry in folder.iterdir() if entry.name.endswith(".json"))
        if name not in shipped:
            raise PlanError(f"plan {name!r} is not shipped; give a .json file or one of {', '.join(shipped)}")
        text = (folder / f"{name}.json").read_text(encoding="utf-8")
    try:
        return Plan.model_validate(json.loads(text))
    except json.JSONDecodeError as error:
        raise PlanError(f"plan {name}: not valid JSON ({error})") from error
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise PlanError(f"plan {name}: {key} = {first['input']!r}: {first['msg']}") from error
