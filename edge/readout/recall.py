"""Answers the verdict service when it asks for a bag again: from the spool, or by one slab that says that it cannot."""

from __future__ import annotations

import logging
from collections.abc import Callable

from edge import wire
from edge.messages import Fault, Recall, Slab
from edge.readout.outbox import Outbox
from edge.readout.window import BagWindow, Geometry, empty_arrays
from edge.spool import Spool, SpoolError

TOPIC = "slab"


class Recaller:
    """A bag that is still being recorded, or sent, is sent again when that has ended."""

    def __init__(
        self, store: Spool, outbox: Outbox, geometry: Geometry, rows: int, stamp: Callable[[Slab], Slab]
    ) -> None:
        self._store = store
        self._outbox = outbox
        self._geometry = geometry
        self._rows = rows
        self._stamp = stamp
        self._later: dict[str, Recall] = {}
        self._log = logging.getLogger("readout")

    def take(self, recall: Recall, recording: bool) -> None:
        """Send the bag now, or when it is complete."""
        self._later[recall.bag_id] = recall
        if not recording and recall.bag_id not in self._outbox.bags:
            self.sent(recall.bag_id)

    def sent(self, bag_id: str) -> None:
        """The last slab of this bag was handed over."""
        recall = self._later.pop(bag_id, None)
        if recall is None:
            return
        try:
            last = self._store.last_slab(bag_id)
        except (OSError, SpoolError) as error:
            self._log.error("bag %s: spool: %s", bag_id, error)
            last = None
        if last is not None and last.last and last.fault is None:
            self._log.warning("bag %s: sent again as %s", bag_id, recall.scan_id)
            self._outbox.again(bag_id, recall.scan_id)
            return
        why = "is not in the spool" if last is None else f"ended with {last.fault.value}" if last.fault else "is torn"
        self._log.warning("bag %s: asked for again, but it %s", bag_id, why)
        fault = (last.fault if last is not None else None) or Fault.SERVICE_RESTART
        unseen = BagWindow(self._geometry, bag_id, recall.encoder, 0.0).header()
        slab = last or Slab(**unseen, columns=0, rows=self._rows)
        nothing = {"scan_id": recall.scan_id, "index": 0, "column0": 0, "columns": 0, "last": True, "fault": fault}
        answer = self._stamp(slab.model_copy(update=nothing))
        self._outbox.answer(bag_id, wire.encode(TOPIC, answer, empty_arrays(answer.rows)))
