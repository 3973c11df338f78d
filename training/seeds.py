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
