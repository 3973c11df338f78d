"""The record of one calibration run: a folder that outlives the process, so that a run can be resumed and reported.

``session.json`` holds what every step found; ``<step>.npz`` its arrays. Both are replaced atomically, the arrays
first: a step counts as passed only when everything about it is on the disk.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Literal
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, ValidationError

Arrays = Mapping[str, npt.NDArray[np.generic]]
StepState = Literal["pending", "passed", "failed"]
FILE_NAME = "session.json"


class SessionError(ValueError):
    """A session cannot be read or does not fit; the message names the file and what to do."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid")


class StepRecord(_Part):
    """One step of the routine. ``found`` and ``todo`` are sentences for the engineer; ``exposures``: frames taken."""

    step: str
    title: str = ""
    state: StepState = "pending"
    found: str = ""
    todo: str = ""
    values: dict[str, float] = Field(default_factory=dict)
    started_ns: int = 0
    ended_ns: int = 0
    exposures: int = 0


class SessionRecord(_Part):
    """Content of ``session.json``."""

    id: str
    started_ns: int
    operator: str = ""
    host: str = ""
    simulated: bool = False
    scanner_json: str
    settings: dict[str, float | str | bool] = Field(default_factory=dict)
    limits: dict[str, float | tuple[float, float]] = Field(default_factory=dict)
    steps: list[StepRecord] = Field(default_factory=list)
    bundle_id: str = ""


class Session:
    """One run in its folder; create with :meth:`begin` or :meth:`open`."""

    def __init__(self, folder: Path, record: SessionRecord) -> None:
        self.folder = folder
        self.record = record

    @classmethod
    def begin(cls, sessions: Path, record: SessionRecord) -> Session:
        """A new folder ``<sessions>/<record.id>``."""
        folder = sessions / record.id
        folder.mkdir(parents=True, exist_ok=False)
        session = cls(folder, record)
        session.save()
        return session

    @classmethod
    def open(cls, folder: Path) -> Session:
        """An existing one; :class:`SessionError` when its record cannot be read."""
        path = folder / FILE_NAME
        try:
            return cls(folder, SessionRecord.model_validate_json(path.read_bytes()))
        except (OSError, ValidationError) as error:
            raise SessionError(f"{path}: not a calibration session ({error}); start a new one") from error

    @property
    def finished(self) -> bool:
        """Whether every step has passed."""
        return bool(self.record.steps) and all(step.state == "passed" for step in self.record.steps)

    def step(self, name: str) -> StepRecord:
        """The record of step ``name``; :class:`SessionError` lists the steps."""
        for step in self.record.steps:
            if step.step == name:
                return step
        raise SessionError(f"{self.folder}: no step {name!r}; there are {', '.join(s.step for s in self.record.steps)}")

    @contextmanager
    def running(self, name: str) -> Iterator[StepRecord]:
        """Times a step. Leaves it failed when the block raises; call :meth:`passed` inside to make it count."""
        step = self.step(name)
        step.state, step.started_ns, step.found, step.todo, step.values = "pending", time.time_ns(), "", "", {}
        try:
            yield step
        except BaseException:
            # An interruption leaves the step pending: it is done again, and nobody reads it as a fault.
            step.ended_ns = time.time_ns()
            self.save()
            raise

    def passed(self, name: str, values: Mapping[str, float], arrays: Arrays) -> None:
        """Keep what a step measured; from now on it is not repeated."""
        step = self.step(name)
        self._store(name, arrays)
        step.state, step.values, step.ended_ns = "passed", dict(values), time.time_ns()
        self.save()

    def failed(self, name: str, found: str, todo: str, arrays: Arrays | None = None) -> None:
        """Note why a step missed its limit; ``arrays``: what it had measured by then, for the report."""
        step = self.step(name)
        if arrays:
            self._store(name, arrays)
        step.state, step.found, step.todo, step.ended_ns = "failed", found, todo, time.time_ns()
        step.values = {}
        self.save()

    def _store(self, name: str, arrays: Arrays) -> None:
        path = self.folder / f"{name}.npz"
        part = path.with_name(path.name + ".part")
        with part.open("wb") as file:
            np.savez(file, **{key: np.asarray(value) for key, value in arrays.items()})  # type: ignore[arg-type]
        _settle(part, path)

    def arrays(self, name: str) -> dict[str, npt.NDArray[np.generic]]:
        """Arrays of a step that has passed, or what a failed one had measured.

        :class:`SessionError` when they cannot be read.
        """
        path = self.folder / f"{name}.npz"
        try:
            with path.open("rb") as handle, np.load(handle, allow_pickle=False) as file:
                return {key: file[key] for key in file.files}
        except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
            raise SessionError(f"{path}: arrays of step {name} cannot be read ({error}); repeat the step") from error

    def save(self) -> None:
        """Write ``session.json``; it holds the old or the new record whenever the power goes."""
        part = self.folder / f"{FILE_NAME}.part"
        part.write_text(self.record.model_dump_json(indent=1), encoding="utf-8")
        _settle(part, self.folder / FILE_NAME)


def newest(sessions: Path) -> Session | None:
    """The youngest readable session of a folder, None when there is none."""
    for folder in sorted((p for p in sessions.glob("*") if (p / FILE_NAME).is_file()), reverse=True):
        try:
            return Session.open(folder)
        except SessionError:
            continue
    return None


def _settle(part: Path, path: Path) -> None:
    with part.open("rb") as handle:
        os.fsync(handle.fileno())
    part.replace(path)
