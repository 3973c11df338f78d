"""Tests are deterministic and never judged by the clock: the same examples on every machine and every run."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("darklane", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("darklane")
