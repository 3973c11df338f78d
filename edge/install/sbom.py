"""``python -m edge.install.sbom``: what is installed in a Python environment, as CycloneDX JSON (``make sbom``).

The list is made by cyclonedx-py; what this adds is that no address stands in it: package pages, registries and the
places where somebody's wheels lay are facts about the machine that it was made on.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

#: Also in descriptions and licence notes: a package's text may name any place.
_ADDRESS: Final = re.compile(r"\b[a-z][a-z0-9+.-]*://\S+|\b(?:pypi\.org|pythonhosted\.org)\S*", re.IGNORECASE)
#: Addresses that are names: of the format and of its schema.
_NAMES: Final = ("$schema", "bomFormat")
#: The list of a hundred packages takes half a minute.
_TIMEOUT_S: Final = 600


def make(tool: Path, python: Path, project: Path) -> dict[str, Any]:
    """The bill of ``python``'s environment. ``tool``: cyclonedx-py; ``project``: our pyproject.toml."""
    done = subprocess.run(
        [tool, "environment", "--pyproject", project, "--output-reproducible", "--of", "JSON", python],
        check=True,
        stdout=subprocess.PIPE,
        timeout=_TIMEOUT_S,
    )
    cleaned: dict[str, Any] = without_addresses(json.loads(done.stdout))
    return cleaned


def without_addresses(value: Any) -> Any:
    """``value`` (JSON) without references to other places; names and versions of packages stay."""
    if isinstance(value, dict):
        kept = {key: content for key, content in value.items() if key != "externalReferences"}
        return {key: content if key in _NAMES else without_addresses(content) for key, content in kept.items()}
    if isinstance(value, list):
        return [without_addresses(content) for content in value]
    return _ADDRESS.sub("…", value) if isinstance(value, str) else value


def main() -> int:
    """Write the bill and say how much is in it."""
    parser = argparse.ArgumentParser(description="List what is installed, as CycloneDX JSON.")
    parser.add_argument("file", type=Path)
    parser.add_argument("--tool", type=Path, required=True, help="cyclonedx-py")
    parser.add_argument("--python", type=Path, default=Path(sys.executable), help="of the environment")
    parser.add_argument("--project", type=Path, default=Path("pyproject.toml"))
    arguments = parser.parse_args()
    bill = make(arguments.tool, arguments.python, arguments.project)
    arguments.file.parent.mkdir(parents=True, exist_ok=True)
    arguments.file.write_text(json.dumps(bill, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"{arguments.file}: {len(bill['components'])} packages, CycloneDX {bill['specVersion']}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
