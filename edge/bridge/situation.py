"""What the rules of safety look at, from what the bridge knows."""

from __future__ import annotations

from collections.abc import Mapping

from edge.bridge.board import Board
from edge.bridge.engine import BridgeEngine
from edge.bridge.safety import Situation


def situation(engine: BridgeEngine, board: Board, busy: Mapping[str, str]) -> Situation:
    """How things stand now. ``busy``: the action that each busy device carries out."""
    tube = board.state("tube")
    return Situation(
        # What was known before the controller came back may be wrong; its first report tells both.
        interlock_closed=None if engine.belt_moving is None else engine.interlock_closed,
        estop=engine.estop,
        belt_moving=engine.belt_moving,
        bag_in_beam=engine.in_beam,
        tube_interlock_open=tube is not None and tube.facts.get("interlock") == "open",
        moving_axes=board.moving(),
        busy=busy,
    )
