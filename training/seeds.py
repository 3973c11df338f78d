"""Seed ranges of everything simulated, in one place, so that what is fitted never meets what is tested.

Half-open ranges. Plans of demos and tests use seeds below :data:`FIRST`.
"""

from __future__ import annotations

#: Seeds below belong to demos, tests and whoever plays with the emulator.
FIRST = 900_000
#: Reference samples: class regions of the materials.
REFERENCE = (900_000, 901_000)
#: Bags on which in-bag scatter and threshold are chosen.
TRAINING = (910_000, 911_000)
#: Bags on which a finished model is reported once; nothing may be chosen on them.
EVALUATION = (920_000, 921_000)
#: Scenes of the data sets that networks learn from and are judged on; scan k of a set has the set's seed + k. Each
#: range has room for sets made later with another seed: results must not depend on which one is taken.
DATASETS = {"study1": (1_000_000, 1_100_000), "study2": (1_100_000, 1_200_000), "lane": (1_200_000, 1_300_000)}
#: First scene of the second set of each kind, within its range.
SECOND_SET = 50_000
#: First scene, within its range, of the large set of each kind that networks are trained on before.
PRETRAINING_SET = 60_000
#: First scene, within the range of the lane, of the set on which a network and the discriminator are joined.
FUSION_SET = 90_000
