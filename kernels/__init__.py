"""The compute of Darklane: phase sums, retrieval, illumination-curve fits, priors and derived images.

Everything is called from here. Layout is (phase or channel, bin, row, column), C order, bins (low, high).
"""

from kernels.air import flat_model, normalise
from kernels.backends import backends
from kernels.background import renormalise
from kernels.bounds import cramer_rao
from kernels.curves import fit_curves
from kernels.derived import Ratios, ratios
from kernels.frames import CorrectedFrames, PixelFlag, correct_frames
from kernels.phase_sums import PhaseSums
from kernels.prior import fit_prior, predict_offset
from kernels.retrieval import retrieve
from kernels.sinusoid import SinusoidRetrieval, retrieve_sinusoid
from kernels.stepped import retrieve_stepped
from kernels.types import Flag, IlluminationCurves, Model, OffsetPrior, Retrieval

__all__ = [
    "CorrectedFrames",
    "Flag",
    "IlluminationCurves",
    "Model",
    "OffsetPrior",
    "PhaseSums",
    "PixelFlag",
    "Ratios",
    "Retrieval",
    "SinusoidRetrieval",
    "backends",
    "correct_frames",
    "cramer_rao",
    "fit_curves",
    "fit_prior",
    "flat_model",
    "normalise",
    "predict_offset",
    "ratios",
    "renormalise",
    "retrieve",
    "retrieve_sinusoid",
    "retrieve_stepped",
]
