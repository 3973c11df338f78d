"""Every name of the stand-ins of TensorRT and pycuda is one that the real ones have."""

from __future__ import annotations

import inspect
import json
from typing import Any

from tests.edge.gpu import bindings, pycuda_standin, tensorrt_standin
from tests.edge.gpu.pycuda_standin import Machine
from tests.edge.gpu.tensorrt_standin import Site


def offered() -> dict[str, dict[str, Any]]:
    """Every name of the stand-ins, as the real modules have it, with what stands for it."""
    machine = Machine()
    modules = {
        "tensorrt": tensorrt_standin.module(Site(machine)) | {kind.__name__: kind for kind in tensorrt_standin.INNER},
        "pycuda": pycuda_standin.driver(machine) | {kind.__name__: kind for kind in pycuda_standin.INNER},
    }
    found: dict[str, dict[str, Any]] = {package: {} for package in modules}

    def add(package: str, name: str, thing: Any) -> None:
        found[package][name] = thing
        for base in inspect.getmro(thing) if inspect.isclass(thing) else ():
            if base.__module__.startswith("tests."):
                for member, inner in vars(base).items():
                    if not member.startswith("_") and member not in tensorrt_standin.OWN | pycuda_standin.OWN:
                        add(package, f"{name}.{member}", inner)

    for package, content in modules.items():
        for name, thing in content.items():
            add(package, name, thing)
    return found


def test_every_name_of_the_stand_ins_is_in_the_real_bindings() -> None:
    stored = json.loads(bindings.LIST.read_text(encoding="utf-8"))
    names = offered()
    assert {package: sorted(found) for package, found in names.items()} == stored["names"], (
        "write the new names into bindings.json and follow tests/edge/gpu/bindings.py"
    )
    assert set(stored["tensorrt"]) == {"10.3.0", "10.13.3.9"}
    for package in ("tensorrt", "pycuda"):
        for version, known in stored[package].items():
            assert sorted(known) == stored["names"][package], f"{package} {version}"
            for name, overloads in known.items():
                ours = names[package][name]
                if overloads and inspect.isfunction(ours):
                    mine = [p for p in inspect.signature(ours).parameters if p != "self"]
                    assert any(mine == real[: len(mine)] for real in overloads), f"{name}: {mine}, really {overloads}"
