"""The list of what is installed: as the tool makes it, without an address."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from edge.install.sbom import make, without_addresses

BILL = {
    "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
    "bomFormat": "CycloneDX",
    "specVersion": "1.6",
    "metadata": {"tools": {"components": [{"name": "tool", "externalReferences": [{"url": "https://example.net/"}]}]}},
    "components": [
        {
            "name": "pyzmq",
            "version": "27.0.0",
            "purl": "pkg:pypi/pyzmq@27.0.0",
            "description": "Sockets (see https://registry.example.net/pyzmq/)",
            "externalReferences": [{"type": "distribution", "url": "file:///somewhere/pyzmq.whl"}],
            "licenses": [{"license": {"id": "BSD-3-Clause"}}],
        }
    ],
    "dependencies": [{"ref": "pyzmq==27.0.0"}],
}


def test_names_versions_and_licences_stay_and_addresses_go() -> None:
    cleaned = without_addresses(BILL)
    (component,) = cleaned["components"]
    assert (component["name"], component["version"], component["purl"]) == ("pyzmq", "27.0.0", "pkg:pypi/pyzmq@27.0.0")
    assert component["licenses"] == [{"license": {"id": "BSD-3-Clause"}}]
    assert cleaned["$schema"] == BILL["$schema"]
    text = json.dumps(cleaned)
    for word in ("file:", "registry", "example.net", "externalReferences"):
        assert word not in text
    assert without_addresses(cleaned) == cleaned


def test_the_tool_is_asked_about_the_environment(tmp_path: Path) -> None:
    tool = tmp_path / "tool"
    tool.write_text(
        f"#!{sys.executable}\nimport json, sys\nbill = json.loads({json.dumps(json.dumps(BILL))})\n"
        "bill['components'][0]['name'] = sys.argv[-1]\nprint(json.dumps(bill))\n"
    )
    tool.chmod(0o755)
    assert make(tool, Path("python-x"), Path("pyproject.toml"))["components"][0]["name"] == "python-x"
