"""Networks that trainings go on from: ours, trained before on other simulated scans of the same kind.

What the paper did with ImageNet, because two hundred scans are too few to learn from. A file holds tensors only.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from training.dataset import Scans
from training.networks.grain_net import GrainNet
from training.networks.weights import Weights

#: First and last of each of some sets of scene seeds.
Ranges = tuple[tuple[int, int], ...]


class StartError(ValueError):
    """A file of weights cannot be gone on from; names the file and what to do."""


@dataclass(frozen=True)
class Start:
    """Weights of a network that sees ``planes``; ``seeds``: first and last scene of each set that it was trained on."""

    planes: tuple[str, ...]
    width: int
    seeds: Ranges
    state: dict[str, Tensor]
    source: Weights

    def into(self, network: GrainNet) -> None:
        """Put the weights, the scales of the planes among them, into ``network``; StartError when they do not fit."""
        if (network.planes, network.width) != (self.planes, self.width):
            raise StartError(
                f"{self.source.source}: is for {len(self.planes)} planes and width {self.width}, the preset has "
                f"{len(network.planes)} and {network.width}; give a file of the same channels and width"
            )
        network.load_state_dict(self.state)


def told(seeds: Ranges, data: str, note: str) -> str:
    """What weights were trained on, in words; the same words are the same training."""
    scenes = " and ".join(f"{first} to {last}" for first, last in seeds)
    return f"our network trained on simulated scenes {scenes}, data set {data}{f', {note}' if note else ''}"


def save(path: Path, network: GrainNet, seeds: Ranges, data: str, note: str = "") -> None:
    """Write ``network``; ``data``: hash of the data set that it was trained on; ``note``: what of it, and how long."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".part")
    about = {"planes": list(network.planes), "width": network.width, "data": data, "note": note}
    about["seeds"] = [list(pair) for pair in seeds]
    torch.save(about | {"network": {name: value.cpu() for name, value in network.state_dict().items()}}, partial)
    partial.replace(path)


def load(folder: Path, channels: str, scans: Scans | None = None) -> Start:
    """The weights for a set of channels: file ``CHANNELS.pt`` of ``folder``.

    StartError when there are none, or when they have seen a scene of ``scans``, with which they are to be tested.
    """
    path = folder / f"{channels}.pt"
    if not path.is_file():
        raise StartError(f"{path}: does not exist; make it with python -m training.fit_network.pretrain")
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
        seeds = tuple((int(first), int(last)) for first, last in found["seeds"])
        scenes = " and ".join(f"{first} to {last}" for first, last in seeds)
        planes, width = tuple(str(name) for name in found["planes"]), int(found["width"])
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        source = Weights(told(seeds, str(found["data"]), str(found.get("note", ""))), digest)
        state = dict(found["network"])
    except Exception as error:  # torch raises many kinds
        raise StartError(f"{path}: cannot be gone on from ({error}); make it again") from error
    known = scans.seeds if scans else ()
    seen = [seed for seed in known if any(first <= seed <= last for first, last in seeds)]
    if scans and seen:
        raise StartError(f"{path}: was trained on scenes {scenes}; {seen[0]} of {scans.folder} is one of them")
    return Start(planes, width, seeds, state, source)
