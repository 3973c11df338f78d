"""Compiles every kernel for every GPU it is meant for, and holds what it needs there against a checked-in budget.

``python -m tests.kernels.gpu.gate`` (``make gpu-budget``) measures again, writes the budget and prints it.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from kernels.backends import cuda_source
from tests.kernels.gpu import nvrtc

BUDGET = Path(__file__).with_name("budget.json")
#: What CuPy adds to our options: numbers too small to be normal count as zero.
CUPY_OPTIONS = ("-ftz=true",)
#: A budget is in these steps. Registers are given out by eights; the stack is in local memory, where little matters.
STEP = {"registers": 8, "stack": 256, "spills": 1, "shared": 1}
#: Registers and threads of a multiprocessor of both targets, for the share of its threads that can be resident.
SM_REGISTERS, SM_THREADS, WARP = 65536, 1536, 32

Needs = Mapping[str, int]
_FUNCTION = re.compile(r"Compiling entry function '(\w+)'")
_STACK = re.compile(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads")
_USED = re.compile(r"Used (\d+) registers(.*)")
_SHARED = re.compile(r"(\d+) bytes smem")
_INSTRUCTION = re.compile(r"^\s*/\*[0-9a-f]{4,}\*/\s+(?:@!?\w+\s+)?([A-Z][A-Z0-9_.]*)", re.MULTILINE)
#: Arithmetic, comparison and conversion in double precision.
_DOUBLE = re.compile(r"^D(ADD|MUL|FMA|SETP|MNMX|MMA|SET)\b|\bF64\b|64H$")


#: What came out of a compilation is kept here, by a digest of all that went in.
KEPT = Path(__file__).parents[3] / "build" / "gpu-gate"


@dataclass(frozen=True)
class Built:
    """One file for one target: needs of each kernel, and the kinds of machine instructions of all of them."""

    needs: dict[str, Needs]
    instructions: tuple[str, ...]


def needs(log: str) -> dict[str, Needs]:
    """Registers, bytes of stack, spills and shared memory of every kernel in the log of ``--ptxas-options=-v``."""
    found: dict[str, Needs] = {}
    for part in log.split("Compiling entry function")[1:]:
        name = _FUNCTION.search("Compiling entry function" + part)
        stack, used = _STACK.search(part), _USED.search(part)
        if not (name and stack and used):
            raise ValueError(f"a log of the assembler that is not understood:\n{part}")
        shared = _SHARED.search(used[2])
        found[name[1]] = {
            "registers": int(used[1]),
            "stack": int(stack[1]),
            "spills": int(stack[2]) + int(stack[3]),
            "shared": int(shared[1]) if shared else 0,
        }
    return found


def in_steps(values: Needs) -> Needs:
    """What is compared: rounded up to the steps of the budget."""
    return {k: -(-v // STEP[k]) * STEP[k] for k, v in values.items()}


def resident(registers: int) -> float:
    """Share of a multiprocessor's threads that its registers allow at our block size."""
    warps = cuda_source.BLOCK // WARP
    blocks = SM_REGISTERS // (in_steps({"registers": registers})["registers"] * WARP * warps)
    return min(1.0, blocks * cuda_source.BLOCK / SM_THREADS)


def disassemble(code: bytes) -> tuple[str, ...]:
    """Kinds of instructions in a compiled file. Raises :class:`nvrtc.MissingTool` without the disassembler."""
    tool = nvrtc.wheel_file("cu13/bin/nvdisasm")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "code.cubin"
        path.write_bytes(code)
        text = subprocess.run([str(tool), str(path)], capture_output=True, text=True, check=True).stdout
    return tuple(sorted(set(_INSTRUCTION.findall(text))))


def doubles(instructions: tuple[str, ...]) -> tuple[str, ...]:
    """Those of the instructions that need double precision."""
    return tuple(i for i in instructions if _DOUBLE.search(i))


def build(compiler: nvrtc.Compiler, code: str, name: str, options: tuple[str, ...]) -> Built:
    """Compile one source as CuPy would, and read what came out."""
    words = (*options, *CUPY_OPTIONS, "--ptxas-options=-v")
    binary, log = compiler.compile(code, name, words)
    return Built(needs(log), disassemble(binary))


def build_product(compiler: nvrtc.Compiler, name: str) -> Built:
    """``name``.cu for the compiler's target; what an earlier run kept where nothing has changed since.

    The digest of all sources is among the options.
    """
    given = cuda_source.source(name)
    own = Path(__file__).read_text(encoding="utf-8")
    texts = (own, given.code, *given.options, *CUPY_OPTIONS, compiler.target.name, str(compiler.version))
    kept = KEPT / f"{name}-{hashlib.sha256(chr(0).join(texts).encode()).hexdigest()[:24]}.json"
    if not kept.exists():
        made = build(compiler, given.code, f"{name}.cu", given.options)
        kept.parent.mkdir(parents=True, exist_ok=True)
        whole = kept.with_suffix(f".{os.getpid()}")
        whole.write_text(json.dumps([made.needs, made.instructions]), encoding="utf-8")
        whole.replace(kept)
    values, instructions = json.loads(kept.read_text(encoding="utf-8"))
    return Built(values, tuple(instructions))


def build_all(compiler: nvrtc.Compiler) -> dict[str, Built]:
    """Every .cu file for the compiler's target."""
    names = sorted(p.stem for p in cuda_source.folder().glob("*.cu"))
    with ThreadPoolExecutor(2) as pool:  # the compiler runs outside Python's lock
        return dict(zip(names, pool.map(lambda n: build_product(compiler, n), names), strict=True))


def measured(compiler: nvrtc.Compiler) -> dict[str, Needs]:
    """Needs of every kernel for the compiler's target."""
    return {kernel: values for built in build_all(compiler).values() for kernel, values in built.needs.items()}


def differences(found: Mapping[str, Needs], allowed: Mapping[str, Needs]) -> Iterator[str]:
    """In words, what is not as the budget says; nothing when all is."""
    for kernel in sorted(found.keys() | allowed.keys()):
        if kernel not in allowed:
            yield f"{kernel} has no budget"
        elif kernel not in found:
            yield f"{kernel} has a budget but is not there"
        else:
            now = in_steps(found[kernel])
            yield from (f"{kernel}: {k} {now[k]}, budget {v}" for k, v in allowed[kernel].items() if now[k] != v)


def read_budget() -> dict[str, dict[str, Needs]]:
    """The checked-in budget: target, kernel, need."""
    result: dict[str, dict[str, Needs]] = json.loads(BUDGET.read_text(encoding="utf-8"))
    return result


def main() -> int:
    """Write the budget anew. A kernel that spills is refused."""
    budget: dict[str, dict[str, Needs]] = {}
    for target in nvrtc.TARGETS:
        found = measured(nvrtc.Compiler(target))
        budget[target.name] = {kernel: in_steps(found[kernel]) for kernel in sorted(found)}
        print(f"{target.name}  {target.board}, CUDA {target.cuda[0]}.{target.cuda[1]}")
        for kernel, values in sorted(found.items()):
            share = resident(values["registers"])
            print(
                f"  {kernel:16} {values['registers']:4} registers ({share:.0%} of the threads resident), "
                f"stack {values['stack']} B, spills {values['spills']} B, shared {values['shared']} B"
            )
            if values["spills"]:
                print(f"{kernel} spills registers on {target.name}: not a budget")
                return 1
    BUDGET.write_text(json.dumps(budget, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
