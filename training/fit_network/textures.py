"""The texture network of type II: 47 outputs, trained on the Describable Textures Dataset where the user has it.

``textures`` is the folder of that data set (``images/<class>/*.jpg``, 47 classes). Without it, no published weights
exist that any package offers; then the 47 numbers are a fixed random projection of the texture statistics (mean and
standard deviation of mid-level features) of the ImageNet-trained stand-in, and the record says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from training.fit_network import loop, trunks
from training.fit_network.presets import TEST_1, TrunkName
from training.networks.heads import TEXTURES
from training.networks.losses import cross_entropy_of_classes

#: Seed of the projection and of the training; it is part of the network, not of an experiment.
SEED = 47
EPOCHS, BATCH = 40, 32
_PROJECTED = "projection of ImageNet texture statistics (no Describable Textures)"


class TextureError(ValueError):
    """The texture data set cannot be used; names the folder and what is wrong."""


class Projected(nn.Module):
    """Texture statistics of the stand-in trunk, projected on 47 numbers."""

    def __init__(self, scaled: trunks.Scaled) -> None:
        super().__init__()
        self.scaled = scaled
        with torch.inference_mode():
            size = scaled.trunk.statistics(torch.zeros(1, 3, 64, 64)).shape[1]
        generator = torch.Generator().manual_seed(SEED)
        self.register_buffer("projection", torch.randn(size, TEXTURES, generator=generator) / size**0.5)

    def forward(self, pictures: Tensor) -> Tensor:
        """(N, 47)."""
        return self.scaled.trunk.statistics(self.scaled.scaled(pictures)) @ self.projection


class Classified(nn.Module):
    """A trunk with a linear layer to the 47 textures."""

    def __init__(self, scaled: trunks.Scaled) -> None:
        super().__init__()
        self.scaled, self.out = scaled, nn.Linear(scaled.features_out, TEXTURES)

    def forward(self, pictures: Tensor) -> Tensor:
        """(N, 47) outputs; their sigmoids are the probabilities."""
        return self.out(self.scaled.features(pictures))


@dataclass(frozen=True)
class TextureImages:
    """Files and class numbers of the data set."""

    files: tuple[Path, ...]
    classes: tuple[int, ...]


def find(folder: Path) -> TextureImages:
    """The images below ``folder``; TextureError unless there are 47 classes."""
    place = folder / "images" if (folder / "images").is_dir() else folder
    kinds = sorted(path for path in place.iterdir() if path.is_dir()) if place.is_dir() else []
    if len(kinds) != TEXTURES:
        raise TextureError(
            f"textures: {place} holds {len(kinds)} folders, {TEXTURES} are expected; give the folder of the "
            "Describable Textures Dataset"
        )
    found = [(path, k) for k, kind in enumerate(kinds) for path in sorted(kind.glob("*.jpg"))]
    return TextureImages(tuple(path for path, _ in found), tuple(k for _, k in found))


def read(path: Path, size: int) -> Tensor:
    """One picture (3, size, size), 0 to 1: the middle square."""
    with Image.open(path) as opened:
        picture = opened.convert("RGB")
        side = min(picture.size)
        left, top = (picture.width - side) // 2, (picture.height - side) // 2
        square = picture.crop((left, top, left + side, top + side)).resize((size, size))
        return torch.from_numpy(np.asarray(square, np.float32).transpose(2, 0, 1) / np.float32(255))


def network(
    name: TrunkName, weights: Path | None, textures: Path | None, epochs: int = EPOCHS
) -> tuple[nn.Module, str]:
    """The texture network, and what it was made from. With ``textures`` its last layer is trained on them."""
    if textures is None:
        return Projected(trunks.trunk("lite0", None, SEED)[0]).eval(), _PROJECTED
    images = find(textures)
    scaled, source = trunks.trunk(name, weights, SEED)
    made = Classified(scaled)
    with torch.inference_mode():
        kept = torch.cat([scaled.features(read(path, scaled.input_size)[None]) for path in images.files])
    labels = torch.tensor(images.classes)

    def loss_of(rng: np.random.Generator, step: int) -> Tensor:
        some = torch.from_numpy(rng.choice(len(labels), min(BATCH, len(labels)), replace=False))
        return cross_entropy_of_classes(made.out(kept[some].clone()), labels[some])

    steps = epochs * -(-len(labels) // BATCH)
    loop.run(made.out, loss_of, loop.Plan(steps, TEST_1, SEED, f"textures {name} {source.sha256}"))
    return made.eval(), f"Describable Textures, {len(labels)} images; trunk: {source.source}"
