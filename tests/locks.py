"""``python -m tests.locks LOCK EXTRA``: prints the part of a lock file that an extra of pyproject.toml names itself.

The extra ``judges`` is installed without the dependencies of its packages (they are never imported), but pip-compile
locks those too.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def names(extra: str) -> set[str]:
    """Normalised names of the packages of ``extra``."""
    project = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["project"]
    listed: list[str] = project["optional-dependencies"][extra]
    return {re.split(r"[<>=!;\[ ]", entry, maxsplit=1)[0].lower().replace("_", "-") for entry in listed}


def blocks(lock: str) -> Iterator[tuple[str, str]]:
    """(name, lines) of every package of a lock file; the head of the file has the name ''."""
    for block in re.split(r"(?m)^(?=[A-Za-z0-9])", lock):
        match = re.match(r"([A-Za-z0-9._-]+)==", block)
        yield (match.group(1).lower().replace("_", "-") if match else ""), block


def main() -> None:
    """Print the head and the wanted packages; exit code 1 names packages that the lock lacks."""
    wanted = names(sys.argv[2])
    found = list(blocks(Path(sys.argv[1]).read_text(encoding="utf-8")))
    missing = wanted - {name for name, _ in found}
    if missing:
        raise SystemExit(f"{sys.argv[1]} does not lock {', '.join(sorted(missing))}")
    sys.stdout.write("".join(text for name, text in found if not name or name in wanted))


if __name__ == "__main__":
    main()
