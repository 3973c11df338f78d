"""A small part of the gateway's fuzzing on every run."""

from __future__ import annotations

import pytest

from tests.fuzz.gateway import CAMPAIGNS, run


@pytest.mark.parametrize("name", CAMPAIGNS)
def test_damage_is_refused_and_never_taken_for_what_must_not_be(name: str) -> None:
    counts = run(CAMPAIGNS[name], 3000, seed=2)
    assert counts.wrong == 0
    assert counts.rejected > 0.85 * counts.mutations
    assert counts.rejected + counts.other + counts.same == counts.mutations
