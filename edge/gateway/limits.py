"""How much each client may ask for: a bucket of tokens per client, filled at a fixed rate."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final, Literal

#: A client that was quiet may ask for so many seconds' worth at once.
BURST_S: Final = 2.0
#: Clients remembered; the one that was quiet longest is forgotten first.
CLIENTS: Final = 1024
#: One refusal is answered in this time; the rest is dropped, or a flood of requests would cost a flood of answers.
TELL_S: Final = 1.0


@dataclass
class _Bucket:
    tokens: float
    at_s: float
    told_s: float = float("-inf")


class Limits:
    """``per_s``: tokens per second of each client."""

    def __init__(self, per_s: float) -> None:
        self.per_s = per_s
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def take(self, client: str, cost: float, now_s: float) -> Literal["yes", "say", "drop"]:
        """Whether this client may have it: yes, no (say so), or no (and it was told a moment ago)."""
        full = self.per_s * BURST_S
        bucket = self._buckets.get(client)
        if bucket is None:
            bucket = self._buckets[client] = _Bucket(full, now_s)
            while len(self._buckets) > CLIENTS:
                self._buckets.popitem(last=False)
        self._buckets.move_to_end(client)
        bucket.tokens = min(full, bucket.tokens + (now_s - bucket.at_s) * self.per_s)
        bucket.at_s = now_s
        # Whatever it costs, a full bucket pays for it.
        if bucket.tokens >= min(cost, full):
            bucket.tokens -= min(cost, full)
            return "yes"
        if now_s - bucket.told_s < TELL_S:
            return "drop"
        bucket.told_s = now_s
        return "say"
