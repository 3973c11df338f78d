"""Invented samples in real clutter: boxes of known materials laid into simulated scans while training.

A data set holds a hundred samples in different clutter; a network that starts from nothing needs thousands. Planes add
up behind each other, and the shipped discriminator's model says for every material what a step of it does to them over
a background (hardening included), as measured on simulated reference containers of other seeds. So a box of a material
can be laid into a scan: fill, floor and lid, walls, and the photon noise that it takes with it. Scans to test on are
never touched.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from edge.inference.evidence import basis
from edge.inference.model_file import MaterialClass, shipped
from edge.inference.planes import BINS, PLANES, VALID, VALUES
from firmware_bridge.emulator.materials import all_materials, energies_kev
from firmware_bridge.emulator.scene_bag import FLOOR_MM, THICKEST_MM, THINNEST_MM, WALL_MM
from kernels.types import F32, U8
from training.dataset.scan_file import BENIGN, CLUTTER, THREAT
from training.fit_network.inputs import Store
from training.samples import LOW_BIN_KEV, PACKING

#: How often a box holds a threat, a benign material, anything else; and how often a threat is C4, which is what
#: electrical items hide.
SHARES, C4_SHARE = (0.45, 0.35, 0.2), 0.3
#: How often a box has a container, and sizes of boxes with one and without, mm (width, height).
CONTAINED = 0.6
CONTAINER_MM, BARE_MM = ((30.0, 58.0), (26.0, 46.0)), ((10.0, 40.0), (8.0, 35.0))
#: Relative fluctuation of dark-field from pixel to pixel, for fine grain and for grain of the pixel's size.
GRAIN, COARSE_GRAIN, COARSE_UM = 0.04, 0.12, 200.0
#: Backgrounds are averaged over so many pixels before hardening is looked up.
SMOOTH = 7
_INDEX = {name: k for k, name in enumerate(PLANES)}
_VALUES = {name: [_INDEX[f"{name} {bin_}"] for bin_ in BINS] for name in VALUES}
_SPREADS = {name: [_INDEX[f"{name} {bin_} sd"] for bin_ in BINS] for name in VALUES}
Map = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Material:
    """A class of the discriminator with its attenuation per mm and its grain."""

    fitted: MaterialClass
    mask: int
    per_mm: float
    grain: float


class Paster:
    """Lays boxes into crops of scans with pixels of ``pixel_mm`` (rows, columns), taken at ``tube_kv``."""

    def __init__(self, store: Store, indices: Sequence[int], tube_kv: int, pixel_mm: tuple[float, float]) -> None:
        model, known = shipped(tube_kv), all_materials()
        kinds = {"threat": THREAT, "benign": BENIGN, "clutter": CLUTTER}
        self._materials: dict[int, list[Material]] = {THREAT: [], BENIGN: [], CLUTTER: []}
        for one in model.classes:
            per_mm = float(np.interp(LOW_BIN_KEV, energies_kev(), known[one.name].mu_per_mm))
            grain = 0.0 if known[one.name].grain_fraction == 0 else GRAIN
            grain = COARSE_GRAIN if known[one.name].grain_um > COARSE_UM and grain else grain
            made = Material(one, kinds[known[one.name].kind], per_mm, grain)
            self._materials[made.mask].append(made)
            if one.name == "acrylic":
                self._acrylic = made
        self._packing = next(np.array(p.planes) for p in model.packings if p.name == PACKING)
        self._pixel_mm = pixel_mm
        self._offset = _offset_law(store, indices)

    def paste(self, planes: F32, mask: U8, rng: np.random.Generator) -> None:
        """Lay one box into all planes (17, rows, columns) and the mask of a crop, in place."""
        drawn = int(rng.choice([THREAT, BENIGN, CLUTTER], p=SHARES))
        among = self._materials[drawn]
        c4 = [one for one in among if one.fitted.name == "C4"]
        material = c4[0] if c4 and rng.random() < C4_SHARE else among[int(rng.integers(len(among)))]
        contained = drawn != CLUTTER and rng.random() < CONTAINED
        widths, heights = CONTAINER_MM if contained else BARE_MM
        size = (float(rng.uniform(*heights)), float(rng.uniform(*widths)))
        angle = float(rng.choice([0.0, rng.uniform(-0.6, 0.6)]))
        centre = [float(rng.uniform(0.1, 0.9)) * length for length in mask.shape]
        inner = self._box(mask.shape, centre, size, angle)
        z = float(rng.uniform(THINNEST_MM, THICKEST_MM if contained else THICKEST_MM / 2))
        low, high = material.fitted.attenuation
        step = float(np.clip(material.per_mm * z, low, high))
        base = np.stack([ndimage.uniform_filter(planes[k], SMOOTH).astype(np.float64) for k in _VALUES["attenuation"]])
        added = {name: np.zeros((2, *mask.shape)) for name in ("attenuation", "dark_field")}
        if contained:
            outer = self._box(mask.shape, centre, (size[0] + 2 * WALL_MM, size[1] + 2 * WALL_MM), angle)
            added["attenuation"] += self._packing[:2, None, None] * outer
            added["dark_field"] += self._packing[4:, None, None] * outer
            wall = self._acrylic.per_mm * min(z + FLOOR_MM, THICKEST_MM)
            self._lay(self._acrylic, wall, np.clip(outer - inner, 0, 1), base, added, rng)
            mask[(outer > 0.5) & (mask == 0)] = CLUTTER
        self._lay(material, step, inner, base, added, rng)
        inside = inner > 0.5
        mask[inside] = np.minimum(mask[inside] - np.uint8(1), np.uint8(material.mask - 1)) + np.uint8(1)
        self._apply(planes, base, added, rng)

    def _box(self, shape: tuple[int, ...], centre: list[float], size: tuple[float, float], angle: float) -> Map:
        """How much of each pixel lies in a turned box: 0 to 1, soft over one pixel."""
        r, c = np.mgrid[: shape[0], : shape[1]]
        y, x = (r - centre[0]) * self._pixel_mm[0], (c - centre[1]) * self._pixel_mm[1]
        along, across = x * np.cos(angle) + y * np.sin(angle), -x * np.sin(angle) + y * np.cos(angle)
        edge = np.minimum(size[1] / 2 - np.abs(along), size[0] / 2 - np.abs(across)) / self._pixel_mm[0]
        soft: Map = np.clip(edge + 0.5, 0.0, 1.0)
        return soft

    def _lay(
        self, material: Material, step: float, share: Map, base: Map, added: dict[str, Map], rng: np.random.Generator
    ) -> None:
        """Add a step of low-bin attenuation ``step`` where ``share`` is 1, hardened by what lies behind."""
        mean = np.einsum("fb,bij->fij", np.array(material.fitted.mean), basis(step, base))
        low = step * share
        high = low / np.maximum(mean[0], 0.5)
        added["attenuation"] += np.stack([low, high])
        grain = 1 + material.grain * rng.standard_normal(share.shape)
        added["dark_field"] += np.stack([np.maximum(mean[2], 0) * low, np.maximum(mean[3], 0) * high]) * grain

    def _apply(self, planes: F32, base: Map, added: dict[str, Map], rng: np.random.Generator) -> None:
        """Add what was laid, the offset that goes with it, and the noise of the photons that it took."""
        valid = planes[_INDEX[VALID]]
        added["offset_attenuation"] = self._offset(base + added["attenuation"]) - self._offset(base)
        noisier = np.exp(np.clip(added["attenuation"], 0, 4) / 2)
        for name, (least, most) in VALUES.items():
            for bin_ in range(len(BINS)):
                value, spread = _VALUES[name][bin_], _SPREADS[name][bin_]
                extra = planes[spread] * np.sqrt(noisier[bin_] ** 2 - 1)
                made = planes[value] + extra * rng.standard_normal(extra.shape)
                if name in added:
                    made = made + added[name][bin_]
                planes[value] = np.clip(made, least, most) * valid
                planes[spread] = np.clip(planes[spread] * noisier[bin_], 0, most)


class _OffsetLaw:
    """Offset attenuation as a quadratic form of the attenuations of both bins: the retrieval ties it to them."""

    def __init__(self, coefficients: Map) -> None:
        self._coefficients = coefficients

    @staticmethod
    def design(attenuation: Map) -> Map:
        """(5, …) of attenuations (2, …)."""
        low, high = attenuation
        made: Map = np.stack([low, high, low * low, low * high, high * high])
        return made

    def __call__(self, attenuation: Map) -> Map:
        """(2, rows, columns)."""
        made: Map = np.einsum("bk,kij->bij", self._coefficients, self.design(attenuation))
        return made


def _offset_law(store: Store, indices: Sequence[int], scans: int = 16) -> _OffsetLaw:
    """Fitted on averages of 8 × 8 pixels of some scans to train with."""
    inputs, outputs = [], []
    for index in list(indices)[:scans]:
        planes = store[index].planes
        rows, columns = (size // 8 * 8 for size in planes.shape[1:])
        cells = planes[:, :rows, :columns].astype(np.float64).reshape(len(PLANES), rows // 8, 8, columns // 8, 8)
        mean = cells.mean((2, 4)).reshape(len(PLANES), -1)
        whole = mean[_INDEX[VALID]] == 1
        inputs.append(mean[_VALUES["attenuation"]][:, whole])
        outputs.append(mean[_VALUES["offset_attenuation"]][:, whole])
    design = _OffsetLaw.design(np.concatenate(inputs, 1))
    solution = np.linalg.lstsq(design.T, np.concatenate(outputs, 1).T, rcond=None)[0]
    return _OffsetLaw(solution.T)
