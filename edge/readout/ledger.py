"""Which bags the readout has finished, across restarts; and what to do with those it has not."""

from __future__ import annotations

import json
import logging
from pathlib import Path

from edge.messages import Fault, Slab
from edge.readout.engine import SlabOut
from edge.readout.window import empty_arrays
from edge.spool import Spool

#: As many as the bridge can repeat events of, and some.
REMEMBERED = 1024


class Ledger:
    """Finished bags, newest last, in one small file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._bags: dict[str, None] = {}
        try:
            names = json.loads(path.read_text(encoding="ascii"))["finished"]
            self._bags = dict.fromkeys(str(name) for name in names)
        except FileNotFoundError:
            pass
        except (OSError, ValueError, KeyError, TypeError) as error:
            # Bags of before may be given up a second time; their verdicts are final already.
            logging.getLogger("readout").error("%s cannot be read (%s); starting an empty one", path, error)

    @property
    def finished(self) -> tuple[str, ...]:
        """Bags whose last slab was handed to retrieval, oldest first."""
        return tuple(self._bags)

    def finish(self, bag_id: str) -> None:
        """Remember that the last slab of ``bag_id`` was handed over."""
        self._bags[bag_id] = None
        self._bags = dict.fromkeys(list(self._bags)[-REMEMBERED:])
        part = self._path.with_suffix(".part")
        try:
            part.write_text(json.dumps({"finished": list(self._bags)}), encoding="ascii")
            part.replace(self._path)
        except OSError as error:
            # Written with the next bag. A readout that dies before sends this one again, which harms nothing.
            logging.getLogger("readout").error("%s cannot be written (%s); free some space", self._path, error)


def unfinished(store: Spool, finished: frozenset[str]) -> tuple[list[str], list[SlabOut]]:
    """What an earlier readout left behind.

    Returns the bags that were recorded to the end but not handed over (send them again), and one last slab with
    ServiceRestart for each bag that it was recording when it died.
    """
    again: list[str] = []
    cut: list[SlabOut] = []
    for bag_id in store.bags():
        if bag_id in finished:
            continue
        slab = store.last_slab(bag_id)
        if slab is None:
            store.remove(bag_id)
        elif slab.last:
            again.append(bag_id)
        else:
            cut.append(_cut_off(slab))
    return again, cut


def _cut_off(slab: Slab) -> SlabOut:
    last = slab.model_copy(
        update={
            "index": slab.index + 1,
            "column0": slab.column0 + slab.columns,
            "columns": 0,
            "last": True,
            "fault": Fault.SERVICE_RESTART,
        }
    )
    return last, empty_arrays(slab.rows)
