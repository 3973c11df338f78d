"""The one table of services: who runs, what it reads and writes, and how its queues behave.

``darklane run``, the systemd units and the documentation are checked against this table.
Endpoints are names; :class:`edge.bus.Bus` maps them to ``ipc://<run_dir>/<name>``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Endpoint:
    """One socket address of the bus: who binds it, and what happens when its reader is slow."""

    name: str
    bound_by: str
    pattern: Literal["push-pull", "pub-sub", "router-dealer"]
    hwm: int
    policy: Literal["back-pressure", "drop-oldest-subscriber", "acknowledged"]


@dataclass(frozen=True)
class Service:
    """One process with one loop."""

    name: str
    module: str
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    watchdog_s: float
    purpose: str


ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint("events", "bridge", "pub-sub", 10_000, "drop-oldest-subscriber"),
    Endpoint("commands", "bridge", "router-dealer", 1_000, "acknowledged"),
    Endpoint("slabs", "retrieval", "push-pull", 64, "back-pressure"),
    Endpoint("images", "inference", "push-pull", 64, "back-pressure"),
    Endpoint("image-tap", "retrieval", "pub-sub", 256, "drop-oldest-subscriber"),
    Endpoint("assessments", "verdict", "push-pull", 64, "back-pressure"),
    Endpoint("feed", "verdict", "pub-sub", 10_000, "drop-oldest-subscriber"),
    Endpoint("status", "supervisor", "push-pull", 1_000, "back-pressure"),
)

SERVICES: tuple[Service, ...] = (
    Service(
        "bridge", "edge.bridge.main", (), ("events", "commands"), 5.0, "owns the belt controller; publishes its events"
    ),
    Service(
        "verdict",
        "edge.verdict.main",
        ("events", "assessments", "commands"),
        ("feed",),
        5.0,
        "one verdict per bag; journal; feed",
    ),
    Service(
        "inference", "edge.inference.main", ("images",), ("assessments",), 10.0, "finds threat materials in the images"
    ),
    Service(
        "retrieval",
        "edge.retrieval.main",
        ("slabs",),
        ("images", "image-tap"),
        10.0,
        "phase sums to transmission, refraction, dark-field, offset",
    ),
    Service(
        "readout",
        "edge.readout.main",
        ("events", "commands"),
        ("slabs",),
        5.0,
        "detector packets to phase sums per bag",
    ),
    Service("archive", "edge.archive.main", ("image-tap", "feed"), (), 30.0, "one HDF5 file and one picture per bag"),
)


def service(name: str) -> Service:
    """Return the service called ``name``; ValueError lists the known ones."""
    for entry in SERVICES:
        if entry.name == name:
            return entry
    raise ValueError(f"no service is called {name!r}; there are {', '.join(s.name for s in SERVICES)}")


def endpoint(name: str) -> Endpoint:
    """Return the endpoint called ``name``; ValueError lists the known ones."""
    for entry in ENDPOINTS:
        if entry.name == name:
            return entry
    raise ValueError(f"no endpoint is called {name!r}; there are {', '.join(e.name for e in ENDPOINTS)}")
