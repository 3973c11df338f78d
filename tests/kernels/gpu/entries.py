"""Entry points of the .cu files with the types of their parameters, as the preprocessor sees them."""

from __future__ import annotations

import functools
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kernels.backends import cuda_source

_ENTRY = re.compile(r'extern "C" __global__ void (\w+)\(([^)]*)\)')
#: C types of the parameters: what a buffer holds, or what a scalar is.
_TYPES: dict[str, type[np.generic]] = {
    "float": np.float32,
    "int": np.int32,
    "unsigned short": np.uint16,
    "unsigned char": np.uint8,
}


@dataclass(frozen=True)
class Parameter:
    """One parameter. ``writes``: a buffer that the kernel may write to."""

    name: str
    dtype: type[np.generic]
    buffer: bool
    writes: bool


def _parameter(text: str) -> Parameter:
    words = text.replace("*", " * ").split()
    buffer = "*" in words
    kind = " ".join(w for w in words[:-1] if w not in ("const", "*", "__restrict__"))
    if kind not in _TYPES:
        raise ValueError(f"parameter {text!r}: no type of CuPy is known for {kind!r}; add it to {__name__}")
    return Parameter(words[-1], _TYPES[kind], buffer, buffer and "const" not in words)


def parse(text: str) -> dict[str, tuple[Parameter, ...]]:
    """Parameters of every entry point of a preprocessed source."""
    return {name: tuple(_parameter(p) for p in given.split(",")) for name, given in _ENTRY.findall(text)}


def parse_file(path: Path) -> dict[str, tuple[Parameter, ...]]:
    """Entry points of one .cu file and their parameters."""
    words = ["g++", "-std=c++17", "-E", "-P", "-D__CUDACC__", "-xc++", str(path)]
    text = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    return parse(" ".join(text.split()))


@functools.cache
def of(file: str) -> dict[str, tuple[Parameter, ...]]:
    """Entry points of the product's ``file``.cu and their parameters."""
    return parse_file(cuda_source.folder() / f"{file}.cu")
