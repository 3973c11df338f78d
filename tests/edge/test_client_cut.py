"""A client behind a network that stalls or breaks, beside one that stays and one that joins late: a second of a cut.

``python -m tests.chaos.cut`` is the same with thirty.
"""

from __future__ import annotations

from typing import get_args

import pytest

from tests.chaos.cut import run
from tests.chaos.proxy import Kind


@pytest.mark.parametrize("kind", get_args(Kind))
def test_all_three_end_with_the_journal(kind: Kind) -> None:
    line, held = run(kind, 1.0)
    assert held, line
