"""A static, stepped acquisition of a step container: the mask moves, the sample does not (Supplementary Fig. 1)."""

from __future__ import annotations

import numpy as np

import kernels
from firmware_bridge.emulator import forward, render
from kernels.types import F32, IlluminationCurves
from training.figures.wedge import Wedge, item, measure, step_boxes
from training.simulate import WORKING_POINT_UM, SimulatedLane

#: Detector column group that is looked at; its aperture is not shifted (d_g = 0).
GROUP = 1
#: Frames of each position: as many photons in all as the moving scan collects.
FRAMES = 96


def positions_um(on: SimulatedLane) -> tuple[float, ...]:
    """Where the mask stands: at the four distances from the curve's centre at which the moving scan samples it.

    Other positions weigh the misfit between the real curve and a Gaussian differently, and so give a dark-field that
    is some per cent higher or lower: both acquisitions must look at the same places of the curve.
    """
    return tuple(WORKING_POINT_UM - shift for shift in on.scanner.m1_shifts_um)


def stepped(on: SimulatedLane, material: str, seed: int) -> Wedge:
    """The wedge of :func:`training.figures.wedge.scan`, taken at rest at each mask position."""
    canvas, scene = render.draw(on.scanner, on.settings, item(material, seed))
    per_column = max(1, round(on.scanner.object_grid_um / canvas.du_um))
    rng = np.random.default_rng([seed, 0x57A7])
    samples, curve = [], _one_curve(on)
    positions = positions_um(on)
    for x in positions:
        counts = forward.canvas_counts(canvas, on.settings, float(x))[:, :, GROUP] * np.float32(FRAMES / per_column)
        drawn = rng.poisson(counts).astype(np.float32)
        columns = drawn.shape[1] // per_column
        binned = drawn[:, : columns * per_column].reshape(2, columns, per_column, -1).sum(axis=2)
        flat = render.air(on.scanner, on.settings, float(x))[:, GROUP]
        # S · M / F, as in the moving scan: the model's own misfit of air drops out.
        samples.append(binned.transpose(0, 2, 1) * (_model(curve, float(x)) / flat)[..., None])
    retrieval = kernels.retrieve_stepped(
        np.ascontiguousarray(np.stack(samples), np.float32),
        curve,
        positions,
        exposure=float(FRAMES),
        prior=on.prior,
    )
    lead = -canvas.u0_um / canvas.du_um / per_column
    boxes = step_boxes(scene.truth, lead, on.scanner)
    background = np.zeros(retrieval.images.shape[2:], bool)
    background[boxes[0][0], round(lead) + 5 : boxes[0][1].start - 10] = True
    return measure(material, retrieval, boxes, background)


def _one_curve(on: SimulatedLane) -> IlluminationCurves:
    """The curve of :data:`GROUP` as that of a regular mask, on the axis of mask positions."""
    curves, pitch = on.curves, on.scanner.m1_period_um
    one = slice(GROUP, GROUP + 1)
    centre = curves.centre[..., one] - np.float32(GROUP * pitch)
    return IlluminationCurves(
        np.ascontiguousarray(curves.area[..., one]),
        np.ascontiguousarray(centre),
        np.ascontiguousarray(curves.width[..., one]),
        curves.floor,
    )


def _model(curve: IlluminationCurves, x_um: float) -> F32:
    """Equation (1) of one curve at a mask position, counts (2, rows)."""
    area, centre, width = (np.asarray(part[..., 0], np.float64) for part in (curve.area, curve.centre, curve.width))
    peak = area / (np.sqrt(2 * np.pi) * width) * np.exp(-((x_um - centre) ** 2) / (2 * width**2))
    return np.asarray(peak + curve.floor, np.float32)
