"""How long the back end takes until it can compute, in processes of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile

_PROGRAM = """
import time
import cupy
from kernels.backends import get
began = time.perf_counter()
get("cuda")
print(time.perf_counter() - began)
"""


def ready_seconds() -> dict[str, float]:
    """`cold`: everything is compiled; `warm`: CuPy finds what was compiled. Imports are not in it."""
    with tempfile.TemporaryDirectory(prefix="darklane-gpu-") as folder:
        environment = os.environ | {"CUPY_CACHE_DIR": folder}
        return {name: _start(environment) for name in ("cold", "warm")}


def _start(environment: dict[str, str]) -> float:
    words = [sys.executable, "-c", _PROGRAM]
    said = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    if said.returncode != 0:
        raise RuntimeError(f"the back end did not start in a process of its own: {said.stderr.strip()[-400:]}")
    return float(said.stdout.split()[-1])
