"""The GPU back end as it is, on a stand-in for CuPy that runs the .cu entry points in g++ with sanitizers.

No GPU takes part, unless DARKLANE_TEST_GPU=1 asks for one (conftest.py). What runs otherwise is the kernels' source,
thread by thread, and all of our own code around it: indexing, guards, argument types, copies, waits and math, against
the float64 references and the host back end.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

import kernels
from kernels import Flag, backends, checks
from kernels.backends import cuda, cuda_source
from kernels.backends.host import HostBackend
from kernels.reference import curve_fit as curve_fit_reference
from kernels.reference import phase_sums as phase_sums_reference
from kernels.reference import ratios as ratios_reference
from kernels.reference import retrieval as retrieval_reference
from kernels.types import INFORMATIVE, Model
from tests.kernels import scene
from tests.kernels.gpu import cupy_standin
from tests.kernels.test_phase_sums import OFFSETS_UM


def test_everything_is_compiled_and_launched_before_ready(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = cupy_standin.Machine(tmp_path, behind=False)
    monkeypatch.setitem(sys.modules, "cupy", cupy_standin.cupy_module(machine))
    cuda.CudaBackend()
    launched = {launch.kernel for launch in machine.launches}
    assert launched == {name for names in cuda_source.ENTRIES.values() for name in names}


@pytest.mark.parametrize(("rows", "columns"), [(3, 67), (1, 1), (2, 0)])
@pytest.mark.parametrize(("model", "gain"), [("paper", 2e5), ("full", 2e5), ("map", 2e3)])
def test_retrieval(gpu: cuda.CudaBackend, model: Model, gain: float, rows: int, columns: int) -> None:
    rng = np.random.default_rng(3)
    scanner = scene.curves(rows, seed=4)
    exposure = (gain * rng.uniform(0.5, 1.5, columns)).astype(np.float32)
    factor = rng.uniform(0.5, 1.5, columns).astype(np.float32)
    truth = scene.random_truth(rng, rows, columns)
    samples = scene.single(rng.poisson(scene.expected(scanner, truth, exposure, model)))
    if columns > 10:
        samples[1, 0, 0, 3], samples[2, 1, 1, 4], samples[0, 0, 2, 5] = np.nan, 0.0, 3e9
        samples[:, :, 0, 6] = 0.0
    packed, prior = checks.curves("curves", scanner), checks.prior("prior", scene.PRIOR)
    number = checks.model(model)
    images, sigma, flags = gpu.retrieve(samples, packed, scene.X0_UM, exposure, factor, number, prior, 1)
    host = HostBackend("baseline").retrieve(samples, packed, scene.X0_UM, exposure, factor, number, prior, 1)
    assert (images.shape, sigma.shape, flags.shape) == tuple(a.shape for a in host)
    if columns == 0:
        return
    # The same source without vectors: equal to the host's narrowest build but for the last bits.
    assert (flags == host[2]).mean() > 0.98
    wide = (samples.astype(np.float64), scanner, scene.X0_UM, exposure.astype(np.float64), factor.astype(np.float64))
    begin = None if model == "map" else images.astype(np.float64)
    want, want_sigma, want_flags = retrieval_reference.retrieve(*wide, model, scene.PRIOR, begin)
    plain = ((flags | want_flags) & ~np.uint16(Flag.PRIOR_DOMINATED)) == 0
    assert plain.mean() > 0.3 or columns == 1
    assert (np.abs(images - want)[:, plain] < 0.02 * want_sigma[:, plain]).all()
    np.testing.assert_allclose(sigma[:, plain], want_sigma[:, plain], rtol=0.02)
    bad = (want_flags & Flag.BAD_INPUT) != 0
    assert bad.sum() >= 5 or columns == 1
    np.testing.assert_array_equal((flags & Flag.BAD_INPUT) != 0, bad)
    assert np.isnan(images[:, bad]).all()


def test_bias_is_left_where_that_is_asked_for(gpu: cuda.CudaBackend) -> None:
    samples = scene.single(
        scene.expected(scene.curves(1), scene.random_truth(np.random.default_rng(3), 1, 40), 50, "map")
    )
    packed, prior = checks.curves("curves", scene.curves(1)), checks.prior("prior", scene.PRIOR)
    column = np.full(40, 50, dtype=np.float32)
    arguments = (samples, packed, scene.X0_UM, column, np.ones_like(column), 2, prior, 1, None)
    kept, plain = gpu.retrieve(*arguments), gpu.retrieve(*arguments, False)
    host = HostBackend("baseline").retrieve(*arguments, False)
    assert (np.abs(kept[0] - plain[0]) > 0.05 * plain[1]).any()
    np.testing.assert_array_equal(kept[1], plain[1])
    assert (np.abs(plain[0] - host[0]) < 0.01 * host[1]).all()


@pytest.mark.parametrize("rows", [1, 21])
def test_phase_sums(gpu: cuda.CudaBackend, rows: int) -> None:
    rng = np.random.default_rng(3)
    frames = rng.integers(0, 65536, (19, 2, rows, 128)).astype(np.uint16)
    good = (rng.random((2, rows, 128)) > 0.05).astype(np.uint8)
    travel = np.linspace(4000.0, 15000.0, len(frames))
    place = (travel[:, None] - OFFSETS_UM) / 300.0
    lower = np.floor(place)
    capacity = 41  # smaller than the reach of the frames: parts fall off both ends
    half = (place - lower).astype(np.float32)
    window = gpu.window(rows, capacity)
    window.add(frames[:3], lower[:3].astype(np.int32), half[:3], good, 1)
    window.clear()
    for part in (slice(0, 2), slice(2, 2), slice(2, 19)):
        window.add(frames[part], lower[part].astype(np.int32), half[part], good, 1)
    pieces = [window.take(n, used) for n, used in ((0, 41), (7, 41), (30, 34), (4, 4), (1, 1))]
    want, _, _ = phase_sums_reference.phase_sums(frames, travel, OFFSETS_UM, good, 300.0, 0.0, capacity)
    assert [p.shape for p in pieces] == [(4, 2, rows, n) for n in (0, 7, 30, 4, 1)]
    np.testing.assert_allclose(np.concatenate(pieces[:4], axis=-1), want, rtol=1e-5, atol=1.0)
    assert (pieces[4] == 0).all()


def test_phase_sums_do_not_depend_on_how_frames_come(gpu: cuda.CudaBackend) -> None:
    """Bit for bit, while the ring of columns goes round and the mask comes, changes in place and goes."""
    rng = np.random.default_rng(7)
    rows, capacity, step = 3, 45, 3
    frames = rng.integers(0, 65536, (30, 2, rows, 128)).astype(np.uint16)
    travel = OFFSETS_UM.max() + 98.3 * np.arange(30)
    found = []
    for batch in (2, 10):
        window = gpu.window(rows, capacity)
        good = np.ones((2, rows, 128), dtype=np.uint8)
        pieces, gone = [], 0
        for at in range(0, 30, 10):
            good[:, :, at : at + 3] = 0
            for first in range(at, at + 10, batch):
                place = (travel[first : first + batch, None] - OFFSETS_UM) / 300.0 - gone
                lower = np.floor(place)
                mask = None if at == 20 else good
                window.add(
                    frames[first : first + batch], lower.astype(np.int32), (place - lower).astype(np.float32), mask, 1
                )
            pieces.append(window.take(step, capacity))
            gone += step
        pieces.append(window.take(capacity, capacity))
        found.append(np.concatenate(pieces, axis=-1))
    np.testing.assert_array_equal(found[0], found[1])
    masks = np.ones((30, 2, rows, 128), dtype=np.uint16)
    masks[:20, ..., :3] = masks[10:20, ..., 10:13] = 0
    ones = np.ones((2, rows, 128), dtype=np.uint8)
    want, _, _ = phase_sums_reference.phase_sums(
        frames * masks, travel, OFFSETS_UM, ones, 300.0, 0.0, found[0].shape[-1]
    )
    np.testing.assert_allclose(found[0], want, rtol=1e-5, atol=1.0)


def test_frames_go_in_without_a_wait_or_an_allocation(gpu: cuda.CudaBackend, machine: cupy_standin.Machine) -> None:
    """On a GPU that keeps up. One that is behind is waited for before memory that it still reads is filled again."""
    rng = np.random.default_rng(5)
    rows, window = 17, gpu.window(17, 60)
    frames = rng.integers(0, 65536, (4, 2, rows, 128)).astype(np.uint16)
    place = (np.zeros((4, 128), dtype=np.int32), np.full((4, 128), 0.5, dtype=np.float32))
    good = np.ones((2, rows, 128), dtype=np.uint8)
    for _ in range(2):  # small inputs grow to their size
        window.add(frames, *place, good, 1)
    machine.waits.clear()
    machine.allocations.clear()
    for n in (1, 4, 2, 3, 4):
        window.add(frames[:n], place[0][:n], place[1][:n], good, 1)
        frames += np.uint16(1)  # the caller's memory is his again
    assert machine.allocations == []
    assert "stream" not in machine.waits
    assert bool(machine.waits) == machine.behind


def test_a_call_waits_once_and_allocates_nothing_more(gpu: cuda.CudaBackend, machine: cupy_standin.Machine) -> None:
    scanner = scene.curves(2)
    column = np.full(9, 1e3, dtype=np.float32)
    samples = scene.single(scene.expected(scanner, scene.uniform_truth("typical", 2, 9), 1e3, "map"))
    packed, prior = checks.curves("curves", scanner), checks.prior("prior", scene.PRIOR)
    results = []
    for _ in range(3):
        machine.allocations.clear()
        machine.waits.clear()
        results.append(gpu.retrieve(samples, packed, scene.X0_UM, column, column, 2, prior, 1))
        samples = samples * np.float32(1)
    assert machine.allocations == []
    assert "stream" not in machine.waits
    for again in results[1:]:
        for a, b in zip(results[0], again, strict=True):
            np.testing.assert_array_equal(a, b)
            assert not np.shares_memory(a, b)
    images, sigma, flags = results[0]
    given = (np.full_like(images, 7), np.full_like(sigma, 7), np.full_like(flags, 7))
    again = gpu.retrieve(samples, packed, scene.X0_UM, column, column, 2, prior, 1, given)
    for a, b, c in zip(results[0], again, given, strict=True):
        assert b is c
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("count", [0, 1, 300])
def test_ratios(gpu: cuda.CudaBackend, count: int) -> None:
    rng = np.random.default_rng(2)
    images = rng.normal(0.7, 0.4, (8, count)).astype(np.float32)
    if count > 10:
        images[:, 7] = np.nan
        images[:, 8] = 0.0
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


def test_the_public_functions_agree_with_the_host(public: cupy_standin.Machine) -> None:
    """Mask scan, frames, samples, images and ratios, each through the public call with either back end."""
    rng = np.random.default_rng(8)
    rows, scanner = 5, scene.curves(5, seed=2)
    assert backends() == ("cuda", "host")
    at = np.arange(-60.0, 61.0, 8.0)
    air = np.stack([kernels.flat_model(scanner, float(x)) for x in at])
    frames = rng.poisson(800.0, (40, 2, rows, 128)).astype(np.uint16)
    travel = OFFSETS_UM.max() + 120.0 * np.arange(40)
    found = {}
    for name in ("cuda", "host"):
        curves, residual = kernels.fit_curves(at, air * np.float32(1e3), counts_scale=1e-3, backend=name)
        sums = kernels.PhaseSums(rows, 300.0, OFFSETS_UM, 80, backend=name)
        sums.begin(OFFSETS_UM.max() - OFFSETS_UM.min())
        taken = []
        for k in range(0, 40, 10):
            sums.add(frames[k : k + 10], travel[k : k + 10])
            taken.append(sums.take(min(3, sums.complete_columns(travel[k + 9]))))
        taken.append(sums.take(9))
        phase_sums, weights, squares = (np.concatenate([t[i] for t in taken], axis=-1) for i in range(3))
        model = kernels.flat_model(curves, scene.X0_UM)
        flat = np.full((2, rows, 128), 800.0, dtype=np.float32)
        samples, exposure, factor = kernels.normalise(phase_sums, weights, squares, flat, None, model)
        images = kernels.retrieve(
            samples, curves, scene.X0_UM, exposure=exposure, variance_factor=factor, prior=scene.PRIOR, backend=name
        )
        assert images.backend == name
        derived = kernels.ratios(images.images, images.sigma, backend=name)
        found[name] = (residual, curves.centre, phase_sums, samples, images, derived)
    gpu, host = found["cuda"], found["host"]
    np.testing.assert_allclose(gpu[1], host[1], rtol=1e-4)
    np.testing.assert_allclose(gpu[2], host[2], rtol=1e-5)
    np.testing.assert_allclose(gpu[3], host[3], rtol=1e-4)
    clear = ((gpu[4].flags | host[4].flags) & ~np.uint16(INFORMATIVE)) == 0
    assert clear.mean() > 0.5
    assert (gpu[4].flags == host[4].flags).mean() > 0.95
    assert (np.abs(gpu[4].images - host[4].images)[:, clear] < 0.05 * host[4].sigma[:, clear]).all()
    for a, b in zip(gpu[5].attenuation, host[5].attenuation, strict=True):
        np.testing.assert_allclose(a[clear], b[clear], rtol=0.05, atol=5e-3)
