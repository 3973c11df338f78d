"""Names of the stand-ins, looked up in the real bindings of TensorRT and in the sources of pycuda.

The bindings of a wheel import without TensorRT's libraries, over an empty library that is compiled here. With a Python
of the version that the wheel is for, and nothing else installed::

    pip download --no-deps --python-version 3.10 --only-binary=:all: tensorrt-cu12-bindings==10.3.0
    pip download --no-deps --python-version 3.12 --only-binary=:all: tensorrt-cu12-bindings==10.13.3.9
    pip download --no-deps --no-binary=:all: pycuda==2024.1.2
    python3.10 tests/edge/gpu/bindings.py tensorrt_cu12_bindings-10.3.0-*.whl
    python3.12 tests/edge/gpu/bindings.py tensorrt_cu12_bindings-10.13.3.9-*.whl
    python3 tests/edge/gpu/bindings.py pycuda-2024.1.2.tar.gz

Each writes its part of bindings.json: of a function the parameters of every overload, of anything else null. A name
that is not there is an error.
"""

from __future__ import annotations

import ctypes
import json
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from operator import attrgetter
from pathlib import Path
from typing import Any

LIST = Path(__file__).with_name("bindings.json")
#: Functions and libraries that the compiled binding is linked against.
_LINKED = (
    "createInferBuilder_INTERNAL",
    "createInferRefitter_INTERNAL",
    "createInferRuntime_INTERNAL",
    "createNvOnnxParserRefitter_INTERNAL",
    "createNvOnnxParser_INTERNAL",
    "getBuilderPluginRegistry",
    "getNvOnnxParserVersion",
    "getPluginRegistry",
    "initLibNvInferPlugins",
)
_LIBRARIES = ("libnvinfer.so.10", "libnvonnxparser.so.10", "libnvinfer_plugin.so.10")
#: First line of what pybind11 writes about a function or one of its overloads.
_SIGNATURE = re.compile(r"^(?:\d+\. )?\w+\((.*)\)(?: -> .*)?$", re.MULTILINE)
_PARAMETER = re.compile(r"(?:^|, )(\w+): ")


def parameters(thing: Any) -> list[list[str]] | None:
    """Names of the parameters of every overload, without ``self``; None for what is not called."""
    if isinstance(thing, type) or not callable(thing):
        return None
    found = [_PARAMETER.findall(line) for line in _SIGNATURE.findall(thing.__doc__ or "")]
    return [[name for name in names if name != "self"] for names in found if names]


def in_tensorrt(wheel: Path, names: list[str]) -> tuple[str, dict[str, Any]]:
    """Version and parameters of ``names`` in the bindings of a wheel."""
    with tempfile.TemporaryDirectory() as folder:
        shutil.unpack_archive(wheel, folder, "zip")
        source = Path(folder, "empty.cpp")
        source.write_text('extern "C" {' + "".join(f"void* {name}(...) {{ return 0; }}" for name in _LINKED) + "}")
        for library in _LIBRARIES:
            made = f"{folder}/{library}"
            subprocess.run(["g++", "-shared", "-fPIC", f"-Wl,-soname,{library}", "-o", made, source], check=True)
            ctypes.CDLL(made, ctypes.RTLD_GLOBAL)
        sys.path.insert(0, folder)
        import tensorrt_bindings as trt  # type: ignore[import-not-found]

        return str(trt.__version__), {name: parameters(attrgetter(name)(trt)) for name in names}


def in_pycuda(sdist: Path, names: list[str]) -> tuple[str, dict[str, Any]]:
    """Version of the sources, and the names that ``pycuda.driver`` has by them."""
    with tarfile.open(sdist) as archive:
        member = next(m for m in archive.getmembers() if m.name.endswith("src/wrapper/wrap_cudadrv.cpp"))
        file = archive.extractfile(member)
        assert file is not None
        text = file.read().decode()
    for name in names:
        last = name.rsplit(".", 1)[-1]
        if not re.search(rf'"{last}"|DEF_SIMPLE_METHOD(?:_WITH_ARGS)?\({last}[,)]|DECLARE_EXC\({last},', text):
            raise SystemExit(f"pycuda.driver.{name} is not in {member.name}")
    return member.name.split("/")[0].removeprefix("pycuda-"), dict.fromkeys(names)


def main(file: Path) -> None:
    """Look up the names in ``file`` and write its part of the list."""
    stored = json.loads(LIST.read_text(encoding="utf-8"))
    package = "pycuda" if file.name.startswith("pycuda") else "tensorrt"
    version, found = (in_pycuda if package == "pycuda" else in_tensorrt)(file, stored["names"][package])
    stored[package][version] = found
    LIST.write_text(json.dumps(stored, indent=1, sort_keys=True) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
