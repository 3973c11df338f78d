"""Client library of the verdict feed: needs pyzmq, msgpack and the messages, nothing of the lane.

with FeedClient("tcp://lane-1:7150", "tcp://lane-1:7151", keys=Keys.load(server, own), after=0) as client:
    for item in client:
        if isinstance(item, Verdict): ...
        elif isinstance(item, Silence): ...  # every bag is UNKNOWN
"""

from __future__ import annotations

from edge.client.aio import AsyncFeedClient, ask_async
from edge.client.blocking import FeedClient, ask
from edge.client.connection import KeyFileError, Keys
from edge.client.items import Gap, Item, Picture, Renumbered, Silence

__all__ = [
    "AsyncFeedClient",
    "FeedClient",
    "Gap",
    "Item",
    "KeyFileError",
    "Keys",
    "Picture",
    "Renumbered",
    "Silence",
    "ask",
    "ask_async",
]
