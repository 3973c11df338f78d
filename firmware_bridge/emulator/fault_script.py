"""Fault scenarios: TOML files that say which device fails when, and what the lane must make of it."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

if sys.version_info >= (3, 11):
    import tomllib
else:  # pragma: no cover - JetPack 6
    import tomli as tomllib

#: Names of scenarios on a command line are separated by this; they run one after another.
SEPARATOR: Final = ","
_FOLDER: Final = resources.files(__package__) / "data" / "faults"

Catalogue = Mapping[str, tuple[str, ...]]


class FaultScriptError(ValueError):
    """A scenario cannot be used; the message names the file, the key and the value."""


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class At(_Table):
    """When a step begins: at a place on a bag, or at a time. Bags are counted from 1 within the scenario."""

    bag: int | None = Field(None, ge=1)
    mm: float | None = Field(None, description="so much of the bag has passed the first column; negative: before it")
    s: float | None = Field(None, ge=0, description="real seconds since the scenario's first bag was put on the belt")

    @model_validator(mode="after")
    def _one_of_two(self) -> At:
        by_bag = (self.bag is not None) + (self.mm is not None)
        if by_bag + 2 * (self.s is not None) != 2:
            raise ValueError("give either bag and mm, or s")
        for value in (self.mm, self.s):
            if value is not None and not math.isfinite(value):
                raise ValueError("must be a finite number")
        return self


class Step(_Table):
    """One fault of one device."""

    at: At
    device: str = Field(description="see docs/reference/emulated-scanner.md for devices and their faults")
    fault: str
    value: float = Field(1.0, allow_inf_nan=False, description="strength; its unit depends on the fault; 0 heals it")
    for_s: float | None = Field(None, gt=0, le=3600, description="healed after so many real seconds; default: never")


class Expect(_Table):
    """What the verdict of one bag must be: UNKNOWN with one of these reasons. Bags that are not named are fine."""

    bag: int = Field(ge=1)
    reasons: tuple[str, ...] = Field(min_length=1)


class Script(_Table):
    """One scenario."""

    name: str = Field(min_length=1, pattern=r"^[a-z0-9][a-z0-9-]*$")
    title: str = Field(min_length=1, description="what happens, one line for the table of scenarios")
    bags: int = Field(2, ge=1, le=100, description="bags that the scenario takes from the plan")
    pause_s: float = Field(1.0, ge=0, le=60, description="no bag is put on the belt for so long after a fault, real s")
    state: Literal["", "DEGRADED", "FAULT"] = Field("", description="what the lane must report meanwhile; '': nothing")
    expect: tuple[Expect, ...] = ()
    step: tuple[Step, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _bags_exist(self) -> Script:
        named = [("step", step.at.bag) for step in self.step] + [("expect", item.bag) for item in self.expect]
        for table, bag in named:
            if bag is not None and bag > self.bags:
                raise ValueError(f"{table} names bag {bag}, but bags = {self.bags}")
        return self


def shipped() -> tuple[str, ...]:
    """Names of the scenarios that come with the emulator."""
    names = (entry.name for entry in _FOLDER.iterdir())
    return tuple(sorted(name.removesuffix(".toml") for name in names if name.endswith(".toml")))


def load(name: str, catalogue: Catalogue) -> Script:
    """Read a scenario from a .toml file, or the shipped one of that name. ``catalogue``: faults of every device.

    Raises :class:`FaultScriptError` naming the shipped scenarios when there is none of that name, or the bad key.
    """
    if name.endswith(".toml"):
        try:
            text = Path(name).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise FaultScriptError(f"faults {name}: cannot be read ({error}); give an existing TOML file") from error
    elif name in shipped():
        text = (_FOLDER / f"{name}.toml").read_text(encoding="utf-8")
    else:
        raise FaultScriptError(f"faults {name!r} are not shipped; give a .toml file or one of {', '.join(shipped())}")
    return parse(text, name, catalogue)


def load_all(names: str, catalogue: Catalogue) -> tuple[Script, ...]:
    """:func:`load` for names separated by commas."""
    return tuple(load(name.strip(), catalogue) for name in names.split(SEPARATOR))


def check_bags(scripts: Sequence[Script], bags: int) -> None:
    """:class:`FaultScriptError` when the plan has fewer bags than the scenarios take together."""
    wanted = sum(script.bags for script in scripts)
    if wanted > bags:
        names = ", ".join(script.name for script in scripts)
        raise FaultScriptError(f"faults {names}: take {wanted} bags, the plan has {bags}; give a longer plan")


def parse(text: str, name: str, catalogue: Catalogue) -> Script:
    """A scenario from its TOML text; ``name`` is a file or scenario name and is used in errors."""
    try:
        table = tomllib.loads(text)
        script = Script.model_validate({"name": Path(name).stem.lower(), **table})
    except tomllib.TOMLDecodeError as error:
        raise FaultScriptError(f"faults {name}: not valid TOML ({error})") from error
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        where = f"{key} = {first['input']!r}: " if key else ""
        raise FaultScriptError(f"faults {name}: {where}{first['msg'].removeprefix('Value error, ')}") from error
    for number, step in enumerate(script.step):
        key, device, fault = f"faults {name}: step.{number}", step.device, step.fault
        if device not in catalogue:
            raise FaultScriptError(f"{key}.device = {device!r}: the devices are {', '.join(catalogue)}")
        if fault not in catalogue[device]:
            raise FaultScriptError(f"{key}.fault = {fault!r}: {device} can have {', '.join(catalogue[device])}")
    return script
