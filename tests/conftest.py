"""Tests are deterministic and never judged by the clock: the same examples on every machine and every run."""

from __future__ import annotations

import pytest
from hypothesis import settings

settings.register_profile("darklane", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("darklane")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whole lanes first: they wait more than they compute, and two workers (`make test`) end together then."""
    items.sort(key=lambda item: item.get_closest_marker("hil") is None)
