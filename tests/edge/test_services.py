"""The table of services is consistent, is what the docs say, and names modules that exist."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest

from edge.services import ENDPOINTS, SERVICES, endpoint, markdown, service

ROOT = Path(__file__).parents[2]


def test_every_endpoint_is_bound_by_a_known_process() -> None:
    known = {s.name for s in SERVICES} | {"supervisor"}
    assert {e.bound_by for e in ENDPOINTS} <= known


def test_every_service_reads_and_writes_known_endpoints() -> None:
    names = {e.name for e in ENDPOINTS}
    for entry in SERVICES:
        assert set(entry.reads) | set(entry.writes) <= names


def test_every_service_module_exists() -> None:
    for entry in SERVICES:
        assert find_spec(entry.module) is not None, entry.module


def test_docs_show_the_table() -> None:
    page = ROOT / "docs" / "reference" / "services.md"
    assert page.read_text(encoding="utf-8") == markdown(), f"run: python -m edge.services > {page.relative_to(ROOT)}"


def test_unknown_names_are_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"'radar'.*readout"):
        service("radar")
    with pytest.raises(ValueError, match=r"'radar'.*slabs"):
        endpoint("radar")
