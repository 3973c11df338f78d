"""NVIDIA's run-time compiler through ctypes: CUDA C++ to the machine code of a named GPU, on a machine without one."""

from __future__ import annotations

import ctypes
import importlib.util
from dataclasses import dataclass
from pathlib import Path

HOW = "run `make gpu-check`, which installs requirements-gpu-check.lock"


class MissingTool(RuntimeError):
    """A tool of the GPU checks is not installed; says which and how to get it."""


class CompileError(RuntimeError):
    """The compiler refused the source; carries its log."""


@dataclass(frozen=True)
class Target:
    """A GPU that Darklane is meant for, and the compiler of the system image it runs: where its wheel keeps it."""

    name: str  # as the compiler calls it
    board: str
    cuda: tuple[int, int]
    library: str  # inside the `nvidia` package; two CUDA versions live side by side, so it is loaded by its path


TARGETS = (
    Target("sm_87", "Jetson Orin, JetPack 6", (12, 6), "cuda_nvrtc/lib/libnvrtc.so.12"),
    Target("sm_110", "Jetson Thor, JetPack 7", (13, 0), "cu13/lib/libnvrtc.so.13"),
)


def wheel_file(name: str) -> Path:
    """A file of one of NVIDIA's wheels, by its path inside the ``nvidia`` package. Raises :class:`MissingTool`."""
    spec = importlib.util.find_spec("nvidia")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        found = Path(folder) / name
        if found.exists():
            return found
    raise MissingTool(f"nvidia/{name} is not installed: {HOW}")


class Compiler:
    """One version of the compiler."""

    def __init__(self, target: Target) -> None:
        self.target = target
        library = wheel_file(target.library)
        # The compiler asks for its table of built-in functions by name only: it must be loaded already.
        for table in library.parent.glob("libnvrtc-builtins.so.*"):
            ctypes.CDLL(str(table), mode=ctypes.RTLD_GLOBAL)
        self._lib = ctypes.CDLL(str(library))
        self._lib.nvrtcGetErrorString.restype = ctypes.c_char_p
        major, minor = ctypes.c_int(), ctypes.c_int()
        self._check(self._lib.nvrtcVersion(ctypes.byref(major), ctypes.byref(minor)))
        self.version = (major.value, minor.value)

    def _check(self, code: int) -> None:
        if code != 0:
            raise CompileError(f"NVRTC: {self._lib.nvrtcGetErrorString(code).decode()}")

    def _text(self, program: ctypes.c_void_p, what: str) -> bytes:
        size = ctypes.c_size_t()
        self._check(getattr(self._lib, f"nvrtcGet{what}Size")(program, ctypes.byref(size)))
        buffer = ctypes.create_string_buffer(size.value)
        self._check(getattr(self._lib, f"nvrtcGet{what}")(program, buffer))
        return buffer.raw

    def compile(self, source: str, name: str, options: tuple[str, ...]) -> tuple[bytes, str]:
        """Machine code and log of ``source`` for the target. Raises :class:`CompileError` with the log."""
        program = ctypes.c_void_p()
        words = (f"--gpu-architecture={self.target.name}", *options)
        self._check(self._lib.nvrtcCreateProgram(ctypes.byref(program), source.encode(), name.encode(), 0, None, None))
        try:
            given = (ctypes.c_char_p * len(words))(*[w.encode() for w in words])
            failed = self._lib.nvrtcCompileProgram(program, len(words), given)
            log = self._text(program, "ProgramLog").rstrip(b"\0").decode()
            if failed:
                raise CompileError(f"{name} for {self.target.name}: {log}")
            return self._text(program, "CUBIN"), log
        finally:
            self._lib.nvrtcDestroyProgram(ctypes.byref(program))
