"""The files as they are installed: what every test of this folder looks at."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from edge.install.layout import TARGETS, shipped
from edge.install.steps import install


def tool(name: str, package: str) -> str:
    """Path of a program; the test fails, with what to install, when it is missing."""
    found = shutil.which(name)
    if found is None:
        pytest.fail(f"{name} is missing; install it: apt-get install {package}")
    return found


@pytest.fixture(scope="session")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file system with the files in it, for the Python environment that runs the tests."""
    made = tmp_path_factory.mktemp("root")
    install(made, shipped(sys.prefix))
    return made


@pytest.fixture(scope="session")
def units(root: Path) -> Path:
    """The folder of the units."""
    return root / TARGETS["system"]
