"""The texture network of type II: 47 outputs, trained on the Describable Textures Dataset where the user has it.

``textures`` is the folder of that data set as its archive unpacks (``images/<class>/*.jpg``, 47 classes: Cimpoi et al.,
Describing Textures in the Wild, CVPR 2014). Nothing is downloaded here. Without it, no published weights exist that any
package offers; then the 47 numbers are a fixed random projection of the texture statistics (mean and
standard deviation of mid-level features) of the ImageNet-trained stand-in, and the record says so.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from training.fit_network import loop, machine, trunks
from training.fit_network.presets import TEST_1, TRUNKS, TrunkName
from training.networks.heads import TEXTURES
from training.networks.losses import cross_entropy_of_classes

#: Seed of the projection and of the training; it is part of the network, not of an experiment.
SEED = 47
EPOCHS, BATCH = 40, 32
_NAMES = """
banded blotchy braided bubbly bumpy chequered cobwebbed cracked crosshatched crystalline dotted fibrous flecked freckled
frilly gauzy grid grooved honeycombed interlaced knitted lacelike lined marbled matted meshed paisley perforated pitted
pleated polka-dotted porous potholed scaly smeared spiralled sprinkled stained stratified striped studded swirly veined
waffled woven wrinkled zigzagged"""
#: The data set's classes; class numbers are positions.
CLASSES = tuple(_NAMES.split())
SUFFIXES = (".jpg", ".jpeg")
_ADVICE = "give the folder of the Describable Textures Dataset, which holds images/<class>/*.jpg"
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
    """Files and class numbers of the data set; ``sha256`` over classes and contents."""

    files: tuple[Path, ...]
    classes: tuple[int, ...]
    sha256: str


def find(folder: Path) -> TextureImages:
    """The images below ``folder``; TextureError where a class is missing, unknown or empty, or a file cannot be had."""
    place = folder / "images" if (folder / "images").is_dir() else folder
    if not place.is_dir():
        raise TextureError(f"textures: {folder} is not a folder; {_ADVICE}")
    kinds = {path.name for path in place.iterdir() if path.is_dir() and not path.name.startswith(".")}
    wrong = [
        f"{what} {len(names)} ({', '.join(sorted(names)[:3])}{', …' if len(names) > 3 else ''})"
        for what, names in (("lacks", set(CLASSES) - kinds), ("has unknown ones:", kinds - set(CLASSES)))
        if names
    ]
    if wrong:
        raise TextureError(f"textures: of the {TEXTURES} classes {place} {' and '.join(wrong)}; {_ADVICE}")
    found: list[tuple[Path, int]] = []
    for k, kind in enumerate(CLASSES):
        files = sorted(path for path in (place / kind).iterdir() if path.suffix.lower() in SUFFIXES)
        files = [path for path in files if not path.name.startswith(".")]  # what other systems leave in archives
        if not files:
            raise TextureError(f"textures: {place / kind} holds no image ({', '.join(SUFFIXES)}); {_ADVICE}")
        found += [(path, k) for path in files]
    told = hashlib.sha256()
    for path, k in found:
        try:
            told.update(f"{k} ".encode() + hashlib.sha256(path.read_bytes()).digest())
        except OSError as error:
            raise TextureError(f"textures: {path} cannot be read ({error})") from error
    return TextureImages(tuple(path for path, _ in found), tuple(k for _, k in found), told.hexdigest())


def read(path: Path, size: int) -> Tensor:
    """One picture (3, size, size), 0 to 1: the middle square. TextureError for a file that is no image."""
    try:
        with Image.open(path) as opened:
            picture = opened.convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:  # Pillow's, for damaged files
        raise TextureError(f"textures: {path} is not a whole image ({error}); unpack the data set again") from error
    side = min(picture.size)
    left, top = (picture.width - side) // 2, (picture.height - side) // 2
    square = picture.crop((left, top, left + side, top + side)).resize((size, size))
    return torch.from_numpy(np.asarray(square, np.float32).transpose(2, 0, 1) / np.float32(255))


def network(
    name: TrunkName, weights: Path | None, textures: Path | None, epochs: int = EPOCHS
) -> tuple[nn.Module, str]:
    """The texture network, and what it was made from. With ``textures`` its last layer is trained on them.

    TextureError for a folder that is not the data set, or holds a damaged image.
    """
    if textures is None:
        return Projected(trunks.trunk("lite0", None, SEED)[0]).eval(), _PROJECTED
    return _trained(name, weights, find(textures), epochs)


@lru_cache(maxsize=len(TRUNKS))  # every split of an experiment asks for the same ones
def _trained(name: TrunkName, weights: Path | None, images: TextureImages, epochs: int) -> tuple[nn.Module, str]:
    where = machine.device()
    scaled, source = trunks.trunk(name, weights, SEED)
    made = Classified(scaled).to(where)
    with torch.inference_mode():
        kept = torch.cat([scaled.features(read(path, scaled.input_size)[None].to(where)) for path in images.files])
    labels = torch.tensor(images.classes, device=where)

    def loss_of(rng: np.random.Generator, step: int) -> Tensor:
        some = torch.from_numpy(rng.choice(len(labels), min(BATCH, len(labels)), replace=False)).to(where)
        return cross_entropy_of_classes(made.out(kept[some].clone()), labels[some])

    steps = epochs * -(-len(labels) // BATCH)
    loop.run(made.out, loss_of, loop.Plan(steps, TEST_1, SEED, f"textures {name} {source.sha256}"))
    told = f"Describable Textures, {len(labels)} images (sha256 {images.sha256[:16]}); trunk: {source.source}"
    return made.eval(), told
