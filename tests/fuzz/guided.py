"""Coverage-guided fuzzing of one target with atheris (libFuzzer): ``python -m tests.fuzz.guided TARGET [options]``.

Options are those of libFuzzer. The process ends with the run, by libFuzzer's own hand.
"""

from __future__ import annotations

import importlib
import logging
import sys
from pathlib import Path
from typing import Any

#: What each target module offers: INSTRUMENT (modules whose branches count), SEEDS, one_input(data).
TARGETS = (
    "belt", "tube", "esp", "aries", "detector_control", "detector", "bus", "feed_client", "feed_recording", "dicos",
)  # fmt: skip
FOLDER = Path("build") / "fuzz"


def main() -> None:
    """Fuzz the target named first on the command line."""
    # No stubs, and absent where nobody fuzzes.
    atheris: Any = importlib.import_module("atheris")
    name = sys.argv[1]
    if name not in TARGETS:
        raise SystemExit(f"no target {name!r}; there are {', '.join(TARGETS)}")
    logging.disable(logging.CRITICAL)
    # Importing the target here would load the modules that must be instrumented while they load.
    source = (Path(__file__).parent / f"{name}.py").read_text(encoding="utf-8")
    listed = source[source.index("INSTRUMENT = ") :].partition(")")[0]
    include = [part for part in listed.split('"') if "." in part]
    # An editable install finds modules in a way that atheris does not follow; from here the plain way finds them too.
    sys.meta_path[:] = [finder for finder in sys.meta_path if isinstance(finder, type)]
    with atheris.instrument_imports(include=include):
        target = importlib.import_module(f"tests.fuzz.{name}")
    corpus = FOLDER / name / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(target.SEEDS):
        (corpus / f"seed-{number}").write_bytes(seed)
    options = [f"-artifact_prefix={FOLDER / name}/", "-max_len=4096", "-timeout=10", "-print_final_stats=1"]
    atheris.Setup([sys.argv[0], *options, *sys.argv[2:], str(corpus)], target.one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
