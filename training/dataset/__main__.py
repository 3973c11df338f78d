"""``python -m training.dataset``: makes a data set of simulated scans."""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from training.dataset.make import make
from training.dataset.manifest import DatasetError, Manifest
from training.dataset.recipes import SCANS, recipe

#: Without a terminal, a line at most this often, s.
_LINE_EVERY_S = 15.0


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="darklane dataset", description=__doc__)
    parser.add_argument("kind", choices=tuple(SCANS))
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--scans", type=int)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--scheduler")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--kv", type=int, choices=(80, 120))
    parser.add_argument("--belt-mm-s", type=float)
    parser.add_argument("--binning", type=int)
    parser.add_argument("--clutter", type=int, nargs=2, metavar=("LEAST", "MOST"))
    parser.add_argument("--map-only", action="store_true", help="without the retrieval as printed in the paper")
    parser.add_argument("--per-scanner", type=int, help="another emulated scanner after so many scans")
    given = parser.parse_args(arguments)
    scanner = {"tube_kv": given.kv, "belt_speed_mm_s": given.belt_mm_s}
    started = time.monotonic()
    try:
        chosen = recipe(
            given.kind,
            scans=given.scans,
            seed=given.seed,
            quick=given.quick,
            scanner={key: value for key, value in scanner.items() if value is not None},
            binning=given.binning,
            clutter=None if given.clutter is None else (given.clutter[0], given.clutter[1]),
            map_only=given.map_only,
            per_scanner=given.per_scanner,
        )
        with _Shown(f"{given.kind} to {given.out}") as shown:
            manifest = make(
                chosen,
                given.out,
                workers=given.workers,
                scheduler=given.scheduler,
                command=_command(chosen.kind, chosen.seed, chosen.scans, given),
                progress=shown.progress,
            )
    except ValueError as error:  # DatasetError, and what a recipe refuses
        print(f"error: {error}", file=sys.stderr)
        return 2 if isinstance(error, DatasetError) else 1
    except KeyboardInterrupt:
        print("stopped; the same command goes on from here", file=sys.stderr)
        return 130
    print(_summary(manifest, given.out, time.monotonic() - started))
    return 0


def _command(kind: str, seed: int, scans: int, given: argparse.Namespace) -> str:
    """The command line that makes the same content, whatever was left to defaults."""
    options = {"--kv": given.kv, "--belt-mm-s": given.belt_mm_s, "--binning": given.binning}
    options["--per-scanner"] = given.per_scanner
    extra = "".join(f" {name} {value:g}" for name, value in options.items() if value is not None)
    if given.clutter is not None:
        extra += f" --clutter {given.clutter[0]} {given.clutter[1]}"
    if given.map_only:
        extra += " --map-only"
    return f"darklane dataset {kind} --seed {seed} --scans {scans}{extra}"


def _summary(manifest: Manifest, folder: Path, seconds: float) -> str:
    hidden = [entry for entry in manifest.scans if entry.hidden]
    targets = sum(entry.label for entry in manifest.scans)
    lines = [
        f"{len(manifest.scans)} simulated scans in {folder} ({targets} with a threat), {seconds:.0f} s",
        f"sha256 {manifest.sha256}",
        f"targets whose dark-field the noise hides: {len(hidden)}",
    ]
    lines += [
        f"  {entry.file}: {entry.material} {entry.thickness_mm} mm in a {entry.item.replace('_', '-')}"
        for entry in hidden
    ]
    return "\n".join(lines)


class _Shown:
    """Progress: a bar on a terminal, else a line now and then."""

    def __init__(self, title: str) -> None:
        self._title, self._console = title, Console(stderr=True)
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self._bar = Progress(*columns, TimeRemainingColumn(), console=self._console)
        self._task = self._bar.add_task(title, total=None)
        self._told = time.monotonic()

    def __enter__(self) -> _Shown:
        if self._console.is_terminal:
            self._bar.start()
        return self

    def __exit__(self, *exc: object) -> None:
        if self._console.is_terminal:
            self._bar.stop()

    def progress(self, done: int, total: int) -> None:
        self._bar.update(self._task, completed=done, total=total)
        now = time.monotonic()
        if not self._console.is_terminal and (now - self._told >= _LINE_EVERY_S or done == total):
            self._told = now
            print(f"{self._title}: {done} of {total} scans", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
