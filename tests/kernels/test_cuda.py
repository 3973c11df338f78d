"""The .cu entry points, executed by g++ with sanitizers and driven by the real GPU back end, against the references.

No GPU takes part. What runs is the source of the kernels, thread by thread: indexing, guards, argument types and math.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

from kernels import Flag, checks
from kernels.backends import cuda
from kernels.backends.host import HostBackend
from kernels.reference import curve_fit as curve_fit_reference
from kernels.reference import phase_sums as phase_sums_reference
from kernels.reference import ratios as ratios_reference
from kernels.reference import retrieval as retrieval_reference
from kernels.types import Model
from tests.kernels import cupy_standin, scene
from tests.kernels.test_phase_sums import OFFSETS_UM

SHIM = Path(__file__).parent / "shim"
SANITIZERS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all")

pytestmark = pytest.mark.skipif(shutil.which("g++") is None, reason="the shim needs g++")


@pytest.fixture(scope="session")
def runner(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All entry points in one executable, checked by the address and undefined behaviour sanitizers."""
    path = tmp_path_factory.mktemp("shim") / "runner"
    options = ["-std=c++17", "-O1", "-g1", "-Wall", "-Wextra", "-Werror", "-Wno-unknown-pragmas", *SANITIZERS]
    includes = [f"-I{SHIM}", f"-I{files('kernels') / 'cuda'}"]
    subprocess.run(["g++", *options, *includes, str(SHIM / "runner.cpp"), "-o", str(path)], check=True)
    return path


@pytest.fixture
def launches() -> list[cupy_standin.Launch]:
    return []


@pytest.fixture
def gpu(
    runner: Path, tmp_path: Path, launches: list[cupy_standin.Launch], monkeypatch: pytest.MonkeyPatch
) -> cuda.CudaBackend:
    monkeypatch.setitem(sys.modules, "cupy", cupy_standin.standin(runner, tmp_path, launches))
    assert cuda.available()
    return cuda.CudaBackend()


@pytest.mark.parametrize(("rows", "columns"), [(3, 67), (1, 1), (2, 0)])
@pytest.mark.parametrize(("model", "gain"), [("paper", 2e5), ("full", 2e5), ("map", 2e3)])
def test_retrieval(
    gpu: cuda.CudaBackend, launches: list[cupy_standin.Launch], model: Model, gain: float, rows: int, columns: int
) -> None:
    rng = np.random.default_rng(3)
    scanner = scene.curves(rows, seed=4)
    exposure = (gain * rng.uniform(0.5, 1.5, columns)).astype(np.float32)
    factor = rng.uniform(0.5, 1.5, columns).astype(np.float32)
    truth = scene.random_truth(rng, rows, columns)
    samples = scene.single(rng.poisson(scene.expected(scanner, truth, exposure, model)))
    if columns > 10:
        samples[1, 0, 0, 3], samples[2, 1, 1, 4], samples[0, 0, 2, 5] = np.nan, 0.0, 3e9
    packed, prior = checks.curves("curves", scanner), checks.prior("prior", scene.PRIOR)
    number = checks.model(model)
    images, sigma, flags = gpu.retrieve(samples, packed, scene.X0_UM, exposure, factor, number, prior, 1)
    host = HostBackend("baseline").retrieve(samples, packed, scene.X0_UM, exposure, factor, number, prior, 1)
    # The same source without vectors: equal to the host's narrowest build but for the last bits.
    assert (flags == host[2]).mean() > 0.98 if columns else flags.size == 0
    wide = (samples.astype(np.float64), scanner, scene.X0_UM, exposure.astype(np.float64), factor.astype(np.float64))
    begin = None if model == "map" else images.astype(np.float64)
    if columns == 0:
        assert [name for name, _, _ in launches] == ["prepare_curves"]
        return
    want, want_sigma, want_flags = retrieval_reference.retrieve(*wide, model, scene.PRIOR, begin)
    plain = ((flags | want_flags) & ~np.uint16(Flag.PRIOR_DOMINATED)) == 0
    assert plain.mean() > 0.5 or columns == 1
    assert (np.abs(images - want)[:, plain] < 0.02 * want_sigma[:, plain]).all()
    np.testing.assert_allclose(sigma[:, plain], want_sigma[:, plain], rtol=0.02)
    bad = (want_flags & Flag.BAD_INPUT) != 0
    np.testing.assert_array_equal((flags & Flag.BAD_INPUT) != 0, bad)
    assert np.isnan(images[:, bad]).all()


@pytest.mark.parametrize("rows", [1, 21])
def test_phase_sums(gpu: cuda.CudaBackend, rows: int) -> None:
    rng = np.random.default_rng(3)
    frames = rng.integers(0, 65536, (6, 2, rows, 128)).astype(np.uint16)
    good = (rng.random((2, rows, 128)) > 0.05).astype(np.uint8)
    travel = np.linspace(4000.0, 15000.0, 6)
    place = (travel[:, None] - OFFSETS_UM) / 300.0
    lower = np.floor(place)
    capacity = 41  # smaller than the reach of the frames: parts fall off both ends
    sums = np.zeros((-(-rows // 16), capacity, 8, 16), dtype=np.float32)
    half = (place - lower).astype(np.float32)
    for part in (slice(0, 2), slice(2, 6)):
        gpu.phase_sums(frames[part], lower[part].astype(np.int32), half[part], good, sums, 1)
    got = sums.reshape(-1, capacity, 4, 2, 16).transpose(2, 3, 0, 4, 1).reshape(4, 2, -1, capacity)[:, :, :rows]
    want, _, _ = phase_sums_reference.phase_sums(frames, travel, OFFSETS_UM, good, 300.0, 0.0, capacity)
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1.0)


@pytest.mark.parametrize("count", [0, 1, 300])
def test_ratios(gpu: cuda.CudaBackend, count: int) -> None:
    rng = np.random.default_rng(2)
    images = rng.normal(0.7, 0.4, (8, count)).astype(np.float32)
    sigma = np.full_like(images, 0.05)
    values, errors = gpu.ratio_images(images, sigma, 1)
    shape = (4, 2, count)
    want = ratios_reference.ratios(images.astype(np.float64).reshape(shape), sigma.astype(np.float64).reshape(shape))
    np.testing.assert_allclose(values, want[0], rtol=2e-6)
    np.testing.assert_allclose(errors, want[1], rtol=2e-6)


@pytest.mark.parametrize("model", ["full", "paper"])
def test_curve_fit(gpu: cuda.CudaBackend, model: Model) -> None:
    at = np.arange(-75.0, 75.1, 10.0)
    truth = np.array([160.0] * 4 + [-10.0, 75.0, 160.0, 245.0] + [12.07, 12.3, 11.8, 12.0] + [0.4])
    flats = curve_fit_reference.model_of_scan(at, truth, model)[0]
    start = curve_fit_reference.start(at, flats)[:, None].astype(np.float32)
    least = np.full(1, 0.01 * flats.max(), dtype=np.float32)
    found, residual = gpu.fit_curves(
        at.astype(np.float32), scene.single(flats[..., None]), start, least, model == "paper", 1
    )
    np.testing.assert_allclose(found[:, 0], truth, rtol=1e-4)
    assert residual[0] < 1e-6


def test_the_sanitizer_sees_one_value_too_many(runner: Path, tmp_path: Path) -> None:
    """The check itself: an output that is one float short must not pass."""
    images = cupy_standin.asarray(np.ones((8, 5), dtype=np.float32))
    settings = cupy_standin.asarray(np.ones(64, dtype=np.float32))
    values, short = cupy_standin.empty(35, np.float32), cupy_standin.empty(34, np.float32)
    arguments = (images, images, settings, np.int32(5), values, short)
    with pytest.raises(RuntimeError, match=r"heap-buffer-overflow(?s:.*)ratios\.cu"):
        cupy_standin.run(runner, tmp_path, "ratio_images", 1, 8, arguments)


def test_the_shim_refuses_wrong_types(runner: Path, tmp_path: Path) -> None:
    array = cupy_standin.empty(8, np.float32)
    arguments = (array, array, array, np.float32(1), array, array)
    with pytest.raises(RuntimeError, match="wrong type"):
        cupy_standin.run(runner, tmp_path, "ratio_images", 1, 1, arguments)
    with pytest.raises(TypeError, match="width"):
        cupy_standin.pack((array, 3))
