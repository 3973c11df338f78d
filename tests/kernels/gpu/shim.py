"""Builds executables that run .cu entry points with g++, thread by thread; kept in build/ until a source changes."""

from __future__ import annotations

import functools
import hashlib
import subprocess
import tempfile
from pathlib import Path

from kernels.backends import cuda_source
from tests.kernels.gpu.entries import parse_file

ROOT = Path(__file__).parents[3]
SHIM = ROOT / "tests" / "kernels" / "shim"
#: Both sanitizers end the program at the first error. Dimensions are unsigned on purpose.
SANITIZERS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all")
OPTIONS = ("-std=c++17", "-O1", "-g1", "-Wall", "-Wextra", "-Werror", "-Wno-unknown-pragmas", cuda_source.CONSTANTS)


@functools.cache
def _compiler() -> str:
    return subprocess.run(["g++", "--version"], capture_output=True, text=True, check=True).stdout


@functools.cache
def build(file: str, folder: Path | None = None) -> Path:
    """The runner for the entry points of ``file``.cu in ``folder``, the product's when None."""
    at = folder or cuda_source.folder()
    source = at / f"{file}.cu"
    words = [*OPTIONS, *SANITIZERS]
    digest = hashlib.sha256("\0".join([_compiler(), *words]).encode())
    for path in [source, *sorted(at.glob("*.cuh")), *sorted(SHIM.iterdir())]:
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    runner = ROOT / "build" / "shim" / f"{file}-{digest.hexdigest()[:24]}"
    if not runner.exists():
        runner.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=runner.parent) as made:
            entries = "".join(f"ENTRY({name})\n" for name in parse_file(source))
            (Path(made) / "source.inc").write_text(f'#include "{source.name}"\n', encoding="utf-8")
            (Path(made) / "entries.inc").write_text(entries, encoding="utf-8")
            out = Path(made) / "runner"
            includes = [f"-I{made}", f"-I{SHIM}", f"-I{at}"]
            subprocess.run(["g++", *words, *includes, str(SHIM / "runner.cpp"), "-o", str(out)], check=True)
            out.replace(runner)  # whole, or not at all: another test run may look at the same time
    return runner
