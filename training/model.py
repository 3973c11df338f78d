"""A model file from samples, and what simulated bags add to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from edge.inference.features import FEATURES
from edge.inference.model_file import Manifest, ModelFile, Outlier, Packing
from firmware_bridge.emulator.materials import all_materials
from kernels.types import F64
from training.fit import material_class
from training.samples import PACKING, Sample
from training.seeds import REFERENCE, TRAINING

#: Box of the outlier class in the order of the features, and its weight in units of one material.
OUTLIER_LOW, OUTLIER_HIGH = (0.5, 0.3, -50.0, -50.0), (6.0, 1.7, 450.0, 150.0)
OUTLIER_WEIGHT = 4.0
#: A bare thing and one in a container are equally likely.
PACKING_WEIGHTS = (0.5, 0.5)
#: Highest fraction of false alarms on the training bags: the rule that sets the threshold.
FALSE_ALARM_LIMIT = 0.1
#: Other limits whose thresholds the manifest lists.
OPERATING_LIMITS = (0.02, 0.05, 0.1, 0.2, 0.3)


def assemble(
    samples: Mapping[str, Sequence[Sample]], floors: Sequence[F64], tube_kv: int, version: str, software: str
) -> ModelFile:
    """Classes of all materials, without threshold and in-bag scatter."""
    known = all_materials()
    classes = [material_class(name, known[name].kind == "threat", taken) for name, taken in samples.items()]
    container = np.mean(floors, axis=0)
    manifest = Manifest(
        id=f"materials-{tube_kv}kvp",
        version=version,
        tube_kv=80 if tube_kv == 80 else 120,
        made_by="python -m training.reference",
        software=software,
        data="simulated reference containers and simulated bags of this repository's emulator; no measurements",
        reference_seeds=REFERENCE,
        training_seeds=TRAINING,
        retrieval_model="map",
        false_alarm_limit=FALSE_ALARM_LIMIT,
    )
    return ModelFile(
        manifest=manifest,
        features=FEATURES,
        threshold=0.5,
        outlier=Outlier(weight=OUTLIER_WEIGHT, low=OUTLIER_LOW, high=OUTLIER_HIGH),
        packings=(
            Packing(name="bare", weight=PACKING_WEIGHTS[0], planes=(0.0,) * 6),
            Packing(name=PACKING, weight=PACKING_WEIGHTS[1], planes=tuple(float(f"{v:.6g}") for v in container)),
        ),
        classes=tuple(classes),
    )
