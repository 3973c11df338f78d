"""The compile gate: the GPU sources compiled for both boards by their own compilers, on a machine without a GPU."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from kernels.backends import cuda_source
from tests.kernels.gpu import entries, gate, nvrtc

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[2]
TARGETS = {t.name: t for t in nvrtc.TARGETS}
Built = Mapping[str, gate.Built]


@pytest.fixture(scope="module", params=sorted(TARGETS))
def compiler(request: pytest.FixtureRequest) -> nvrtc.Compiler:
    """Fails, rather than skips, where the compiler is not installed: the message says what to run."""
    return nvrtc.Compiler(TARGETS[request.param])


@pytest.fixture(scope="module")
def built(compiler: nvrtc.Compiler) -> Built:
    return gate.build_all(compiler)


def test_compiler_is_the_one_of_the_system_image(compiler: nvrtc.Compiler) -> None:
    assert compiler.version == compiler.target.cuda


def test_needs_are_in_the_budget(compiler: nvrtc.Compiler, built: Built) -> None:
    found = {kernel: values for b in built.values() for kernel, values in b.needs.items()}
    wrong = list(gate.differences(found, gate.read_budget()[compiler.target.name]))
    assert not wrong, "\n".join([*wrong, "if that is meant, run `make gpu-budget` and commit the file"])


def test_nothing_spills(built: Built) -> None:
    assert {k: v["spills"] for b in built.values() for k, v in b.needs.items() if v["spills"]} == {}


def test_no_double_precision(built: Built) -> None:
    for file, b in built.items():
        assert any(i.startswith("FFMA") for i in b.instructions), f"{file}: the disassembly is not understood"
        assert gate.doubles(b.instructions) == (), file


def test_every_entry_point_is_offered(built: Built) -> None:
    """What the back end launches, what the compiler saw, and what the shim runs are the same kernels."""
    offered = {file: set(names) for file, names in cuda_source.ENTRIES.items()}
    assert {file: set(b.needs) for file, b in built.items()} == offered
    assert {file: set(entries.of(file)) for file in built} == offered


PLANTED = """
extern "C" __global__ void many(const float* x, float* y) {
    float a[96];
    for (int k = 0; k < 96; ++k) a[k] = x[k * 32 + threadIdx.x];
    for (int r = 0; r < 50; ++r) {
        #pragma unroll
        for (int k = 0; k < 96; ++k) a[k] = a[k] * a[(k + 7) % 96] + 1.0f;
    }
    for (int k = 0; k < 96; ++k) y[k * 32 + threadIdx.x] = a[k];
}
extern "C" __global__ void wide(float* y) { y[threadIdx.x] = static_cast<float>(y[threadIdx.x] * 0.1); }
extern "C" __global__ void shares(float* y) {
    __shared__ float s[64];
    s[threadIdx.x] = y[threadIdx.x];
    __syncthreads();
    y[threadIdx.x] = s[63 - threadIdx.x];
}
"""


def test_the_gate_sees_what_is_planted(compiler: nvrtc.Compiler) -> None:
    """Spills, double precision and shared memory that were put there on purpose."""
    seen = gate.build(compiler, PLANTED, "planted.cu", ("-std=c++17", "--maxrregcount=32"))
    assert seen.needs["many"]["spills"] > 0
    assert seen.needs["shares"]["shared"] == 256
    assert seen.needs["wide"]["spills"] == seen.needs["wide"]["shared"] == 0
    assert gate.doubles(seen.instructions)
    allowed = {**seen.needs, "wide": {**seen.needs["wide"], "registers": 248}, "gone": {}}
    wrong = list(gate.differences({k: seen.needs[k] for k in ("many", "wide", "shares")}, allowed))
    assert any(re.match(r"wide: registers \d+, budget 248", w) for w in wrong)
    assert "gone has a budget but is not there" in wrong


def test_compiler_errors_name_the_file_and_line(compiler: nvrtc.Compiler) -> None:
    given = cuda_source.source("ratios")
    broken = given.code.replace("if (i >= n) return;", "if (i >= m) return;")
    line = next(k for k, text in enumerate(broken.splitlines()) if "i >= m" in text)
    with pytest.raises(nvrtc.CompileError, match=rf'ratios\.cu\({line}\): error: identifier "m" is undefined'):
        compiler.compile(broken, "cached.cu", given.options)


def test_a_missing_compiler_says_what_to_run() -> None:
    with pytest.raises(nvrtc.MissingTool, match="make gpu-check"):
        nvrtc.wheel_file("cuda_nvrtc/lib/libnvrtc.so.99")


def test_installed_versions_are_pinned() -> None:
    """One list of versions in pyproject.toml, the same with hashes in the lock, and no address of a registry."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    lock = (ROOT / "requirements-gpu-check.lock").read_text(encoding="utf-8")
    assert set(re.findall(r"^(\S+==\S+) \\$", lock, re.MULTILINE)) == set(extras["gpu-check"])
    assert "://" not in lock
    assert all("--hash=sha256:" in part for part in lock.split("==")[1:])


def test_the_page_has_the_numbers_of_the_budget() -> None:
    page = (ROOT / "docs" / "reference" / "gpu-checks.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| (\d+) \| (\d+) % \| (\d+) \| (\d+) % \|$", page, re.MULTILINE)
    for column, target in enumerate(TARGETS):
        written = {row[0]: (int(row[1 + 2 * column]), int(row[2 + 2 * column])) for row in rows}
        budget = {kernel: values["registers"] for kernel, values in gate.read_budget()[target].items()}
        assert {k: gate.in_steps({"registers": r})["registers"] for k, (r, _) in written.items()} == budget
        assert {k: share for k, (_, share) in written.items()} == {
            k: round(100 * gate.resident(r)) for k, r in budget.items()
        }


def test_a_changed_header_is_not_served_from_the_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """CuPy finds compiled code by text and options; both stay the same when only a header changes."""
    before = cuda_source.source("retrieve")
    for path in cuda_source.folder().iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    monkeypatch.setattr(cuda_source, "folder", lambda: tmp_path)
    same = cuda_source.source("retrieve")
    (tmp_path / "solve.cuh").write_text((tmp_path / "solve.cuh").read_text(encoding="utf-8") + "\n", encoding="utf-8")
    after = cuda_source.source("retrieve")
    assert before.options[-1] == same.options[-1] != after.options[-1]
    assert before.code == after.code
