"""What drifted since the calibration, from the air beside each bag: corrected when small, refused when gross."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

import kernels
from calibration.air import output_scale
from calibration.drift import DriftError, MaskDrift, corrected, measure
from edge.config import Config
from edge.messages import Drift, Slab
from edge.retrieval.air import AirError, air_after, air_before
from kernels.types import IlluminationCurves, OffsetPrior

F32 = npt.NDArray[np.float32]
#: Rounds of output and masks measured in turn, and the shift below which they end, µm.
ROUNDS = 6
SETTLED_UM = 0.02


class DriftTooLargeError(ValueError):
    """The calibration does not hold for this bag; the message says what drifted how far, and what to do."""


class Normalised(NamedTuple):
    """Columns of one slab as :func:`kernels.normalise` returns them."""

    samples: F32
    exposure: F32
    variance_factor: F32

    def of(self, columns: npt.NDArray[np.intp]) -> Normalised:
        """Only these columns."""
        samples = np.ascontiguousarray(self.samples[..., columns])
        return Normalised(samples, self.exposure[columns], self.variance_factor[columns])


@dataclass(frozen=True)
class Optics:
    """What a retrieval fits with: the curves, modelled counts of air (4, 2, rows), the mask's place, the prior."""

    curves: IlluminationCurves
    modelled: F32
    working_point_um: float
    prior: OffsetPrior | None


@dataclass(frozen=True)
class AirState:
    """Tube output over that of the calibration per bin, and what the masks did."""

    output: tuple[float, float]
    masks: MaskDrift


class DriftMonitor:
    """Measures air with the lane's own retrieval and applies the limits of table ``[calibration]``."""

    def __init__(self, config: Config) -> None:
        self._limits = config.calibration
        self._retrieval = config.retrieval
        self._heights_mm = np.asarray(config.scanner.row_heights_mm())

    def before(self, slab: Slab, data: Normalised, optics: Optics) -> tuple[AirState, Drift, IlluminationCurves]:
        """State in the lead-in air, what the verdict tells of it, and the curves for this bag.

        Raises :class:`AirError` without enough air, :class:`DriftTooLargeError` beyond the gross limits.
        """
        state = self._state(data.of(air_before(slab)), optics)
        self._refuse_gross(state)
        limits = self._limits
        masks = state.masks
        due = (
            max(abs(value - 1) for value in state.output) > limits.recalibrate_air_scale
            or abs(masks.shift_um) > limits.recalibrate_mask_shift_um
            or max(map(abs, masks.broadening_um2)) > limits.recalibrate_broadening_um2
        )
        told = Drift(
            mask_shift_um=masks.shift_um,
            mask_rotation_mrad=masks.rotation_mrad,
            broadening_um2=masks.broadening_um2,
            corrected=limits.correct_drift,
            recalibrate=due,
        )
        curves = corrected(optics.curves, masks, self._heights_mm) if limits.correct_drift else optics.curves
        return state, told, curves

    def after(self, slab: Slab, data: Normalised, optics: Optics, before: AirState) -> None:
        """Air behind the bag, in its last slab, against that before it: nothing may have moved meanwhile.

        ``optics`` with the curves of this bag. Too few columns of air say nothing. Raises :class:`DriftTooLargeError`.
        """
        columns = air_after(slab)
        if columns.size == 0:
            return
        now = self._state(data.of(columns), optics)
        change = max(abs(b / a - 1) for a, b in zip(before.output, now.output, strict=True))
        # These curves are corrected already: what is left is what happened during the bag.
        moved = abs(now.masks.shift_um - (0.0 if self._limits.correct_drift else before.masks.shift_um))
        if change > self._limits.max_output_change or moved > self._limits.max_shift_change_um:
            raise DriftTooLargeError(
                f"while the bag was scanned the tube output changed by {change:.1%} and the masks by {moved:.1f} µm; "
                f"{self._limits.max_output_change:.1%} and {self._limits.max_shift_change_um:g} µm are allowed "
                "(calibration.max_output_change, max_shift_change_um); check generator and stages"
            )

    def _state(self, air: Normalised, optics: Optics) -> AirState:
        """Output and masks together: a mask that moves changes the counts too, so each is measured with the other's
        newest value until neither moves any more.
        """
        masks, output = MaskDrift(), (1.0, 1.0)
        try:
            for _ in range(ROUNDS):
                curves = corrected(optics.curves, masks, self._heights_mm)
                modelled = kernels.flat_model(
                    curves, optics.working_point_um, "paper" if self._retrieval.model == "paper" else "full"
                )
                output = output_scale(air.samples, air.exposure, modelled)
                more = measure(self._retrieved(air, replace(optics, curves=curves), output), self._heights_mm)
                masks = masks.then(more)
                if abs(more.shift_um) < SETTLED_UM:
                    break
        except (DriftError, ValueError) as error:
            raise AirError(f"air beside the bag: {error}") from error
        return AirState(output, masks)

    def _retrieved(self, air: Normalised, optics: Optics, output: tuple[float, float]) -> kernels.Retrieval:
        scale = np.asarray(output, np.float32)
        return kernels.retrieve(
            air.samples / scale[None, :, None, None],
            optics.curves,
            optics.working_point_um,
            exposure=air.exposure,
            variance_factor=air.variance_factor / np.float32(scale.mean()),
            model=self._retrieval.model,
            prior=optics.prior,
            backend=self._retrieval.backend,
            threads=self._retrieval.threads,
        )

    def _refuse_gross(self, state: AirState) -> None:
        limits, masks = self._limits, state.masks
        if max(abs(value - 1) for value in state.output) > limits.max_air_scale:
            raise DriftTooLargeError(
                f"tube output is {state.output[0]:.3f} / {state.output[1]:.3f} of its calibration (low / high bin), "
                f"calibration.max_air_scale allows ±{limits.max_air_scale:g}; run 'darklane calibrate'"
            )
        if (
            abs(masks.shift_um) > limits.max_mask_shift_um
            or max(map(abs, masks.broadening_um2)) > limits.max_broadening_um2
        ):
            raise DriftTooLargeError(
                f"the masks stand {masks.shift_um:+.2f} µm off their calibration and the curves are broader by "
                f"{masks.broadening_um2[0]:.0f} / {masks.broadening_um2[1]:.0f} µm² (low / high bin); ±"
                f"{limits.max_mask_shift_um:g} µm and ±{limits.max_broadening_um2:g} µm² are allowed "
                "(calibration.max_mask_shift_um, max_broadening_um2); run 'darklane calibrate'"
            )
