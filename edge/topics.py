"""Topics: the first frame of every message of the feed and of its requests."""

from __future__ import annotations

from typing import Final

HELLO: Final = "hello"
LANE_STATE: Final = "lane.state"
BAG_START: Final = "bag.start"
BAG_VERDICT: Final = "bag.verdict"
BAG_END: Final = "bag.end"
#: Only outside the box: the gateway makes them.
BAG_IMAGE: Final = "bag.image"
REQUEST: Final = "request"
REPLY: Final = "reply"
