"""Coverage-guided fuzzing of all decoders, one after the other: ``python -m tests.fuzz [--seconds N] [TARGET ...]``.

Inputs that are worth keeping, and those that crash, are left in build/fuzz/TARGET. The exit code is 1 after a crash.
"""

from __future__ import annotations

import argparse
import logging
import re
import subprocess
import sys

from tests.fuzz.guided import FOLDER, TARGETS
from tests.fuzz.lines import covered

_RUNS = re.compile(r"^stat::number_of_executed_units: (\d+)", re.MULTILINE)
_EDGES = re.compile(r"cov: (\d+) ft: (\d+) corp: (\d+)")


def main() -> int:
    """Fuzz each target for the given time and print one line of result for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=90, help="time per target")
    parser.add_argument("targets", nargs="*", default=TARGETS, help=f"some of {', '.join(TARGETS)}")
    options = parser.parse_args()
    logging.disable(logging.CRITICAL)  # what the decoders say about these inputs fills no terminal
    failed = False
    print("| target | executions | branches seen | inputs kept | lines covered | result |\n|---|---|---|---|---|---|")
    for name in options.targets:
        folder = FOLDER / name
        folder.mkdir(parents=True, exist_ok=True)
        log = folder / "log.txt"
        with log.open("w", encoding="utf-8") as file:
            code = subprocess.run(
                [sys.executable, "-m", "tests.fuzz.guided", name, f"-max_total_time={options.seconds}"],
                stdout=file,
                stderr=subprocess.STDOUT,
                check=False,
            ).returncode
        text = log.read_text(encoding="utf-8", errors="replace")
        runs, seen = _RUNS.search(text), _EDGES.findall(text)
        edges, _, corpus = seen[-1] if seen else ("?", "", "?")
        result = "no finding" if code == 0 else f"stopped, see {log} and crash-* beside it"
        print(f"| {name} | {runs[1] if runs else '?'} | {edges} | {corpus} | {covered(name)} | {result} |", flush=True)
        failed |= code != 0
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
