"""Training and judging the paper's networks."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from kernels.types import F64
from training.fit_network import loop, machine, pictures, textures, trunks
from training.fit_network.inputs import Store
from training.fit_network.presets import PaperPreset
from training.networks import losses, split_network
from training.networks.heads import CLASSES, TypeOneHead, TypeTwoHead
from training.networks.weights import Weights

#: Random crops are drawn with this seed, so that every split sees the same ones and features can be kept.
CROP_SEED = 0xC409
#: Variants of each crop when data are augmented.
VARIANTS = 4


@dataclass(frozen=True)
class Fit:
    """A trained network; ``scores(indices)`` judges scans of the data set."""

    network: nn.Module
    examples: Examples
    preset: PaperPreset
    weights: Weights

    def scores(self, indices: Sequence[int]) -> F64:
        """Probability of a threat of each scan: mean over its crops."""
        self.network.eval()
        made = []
        with torch.inference_mode():
            for index in indices:
                outputs = self.network(self.examples.of(index, training=False))
                answer = outputs[0] if isinstance(outputs, tuple) else outputs
                single = self.preset.loss == "cross_entropy"
                chance = torch.sigmoid(answer)[:, 1] if single else torch.softmax(answer, 1)[:, 1]
                made.append(float(chance.mean()))
        return np.array(made, np.float64)


class Examples:
    """Pictures of scans, or their features where the trunks are not trained, which are kept beside the planes.

    ``pictures``: the images of each picture, made of ``planes`` alone.
    """

    def __init__(
        self, preset: PaperPreset, store: Store, planes: Sequence[str], backbone: trunks.Scaled, weights: Weights,
        texture: nn.Module | None, texture_source: str,
    ) -> None:  # fmt: skip
        self._preset, self._store, self._planes = preset, store, planes
        self._backbone, self._texture = backbone, texture
        self._panel = preset.panel or backbone.input_size
        study: Literal[1, 2] = 1 if preset.name.startswith("study1") else 2
        self.pictures = pictures.shown(study, planes, split=preset.network == "split")
        told = (
            preset.trunk,
            preset.network,
            self._panel,
            preset.crops,
            preset.crop,
            store.scans.manifest.sha256,
            self.pictures,
        )
        key = hashlib.sha256(f"{told} {planes} {weights} {texture_source} {store.retrieval}".encode()).hexdigest()[:16]
        self._folder = store.folder / f"features-{preset.trunk}-{key}"
        self._kept: dict[tuple[int, bool], Tensor] = {}

    def images(self, index: int, *, training: bool) -> Tensor:
        """Pictures of a scan's crops (crops, pictures, 3, rows, columns); more of them when augmented."""
        inputs, preset = self._store[index], self._preset
        rng, other = (np.random.default_rng([CROP_SEED, index, k]) for k in range(2))
        made = []
        for _ in range(preset.crops):
            cut = pictures.window(inputs.mask.shape, preset.crop, rng)
            one = [pictures.picture(inputs, images, self._planes, cut, self._panel) for images in self.pictures]
            width = max(picture.shape[2] for picture in one)
            stack = torch.stack([nn.functional.pad(picture, (0, width - picture.shape[2])) for picture in one])
            made.append(stack)
            if preset.augment and training:
                made += [torch.stack([pictures.augmented(p, other) for p in stack]) for _ in range(VARIANTS)]
        return torch.stack(made)

    def of(self, index: int, *, training: bool) -> Tensor:
        """What the network takes of a scan: pictures when it is trained whole, else features."""
        training = training and self._preset.augment
        key = (index, training)
        if key in self._kept:
            return self._kept[key]
        made = self._made(index, training=training).to(machine.device())
        if not (self._preset.tuned and training):  # augmented pictures of all scans would fill the memory
            self._kept[key] = made
        return made

    def _made(self, index: int, *, training: bool) -> Tensor:
        if not self._preset.tuned:
            return self._features(index, training=training)
        images = self.images(index, training=training)
        return images if self._preset.network == "split" else images[:, 0]

    def _features(self, index: int, *, training: bool) -> Tensor:
        path = self._folder / f"{index}{'-augmented' if training else ''}.npy"
        if path.is_file():
            return torch.from_numpy(np.load(path))
        images = self.images(index, training=training).to(machine.device())
        with torch.inference_mode():
            columns = [self._backbone.features(images[:, k]) for k in range(images.shape[1])]
            made = torch.stack(columns, 1) if self._preset.network == "split" else columns[0]
            if self._texture is not None:
                made = torch.cat([made, self._texture(images[:, 0])], 1)
        self._folder.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(f".{os.getpid()}.part")  # several trainings may share the folder
        with partial.open("wb") as stream:
            np.save(stream, made.cpu().numpy(), allow_pickle=False)
        partial.replace(path)
        return torch.from_numpy(np.load(path))


class Standardised(nn.Module):
    """A head behind features brought to zero mean and unit deviation, both of the scans to train with."""

    def __init__(self, head: nn.Module, features: Tensor) -> None:
        super().__init__()
        self.head = head
        self.register_buffer("mean", features.mean(0))
        self.register_buffer("sd", features.std(0, correction=0).clamp(min=1e-3))

    def forward(self, features: Tensor) -> Tensor:
        """The head's outputs."""
        return self.head((features - self.mean) / self.sd)


class Whole(nn.Module):
    """Trunk, texture network where there is one, and head; trained end to end."""

    def __init__(self, backbone: trunks.Scaled, texture: nn.Module | None, head: nn.Module) -> None:
        super().__init__()
        self.backbone, self.texture, self.head = backbone, texture, head
        if texture is not None:
            texture.requires_grad_(False)

    def train(self, mode: bool = True) -> Whole:
        """As every module; the texture network stays as it is, its normalisation too."""
        super().train(mode)
        if self.texture is not None:
            self.texture.eval()
        return self

    def forward(self, images: Tensor) -> Tensor:
        """Outputs of pictures (N, 3, rows, columns)."""
        features = self.backbone.features(images)
        if self.texture is not None:
            features = torch.cat([features, self.texture(images)], 1)
        return self.head(features)


def _head(preset: PaperPreset, features: int) -> nn.Module:
    if preset.network == "split":
        return split_network.SplitHead(features, preset.dropout)
    if preset.network == "standard":
        return nn.Sequential(nn.Dropout(preset.dropout), nn.Linear(features, CLASSES))
    kind = TypeTwoHead if preset.network == "type2" else TypeOneHead
    return kind(features, preset.layers, CLASSES, preset.dropout)


def fit(
    preset: PaperPreset, store: Store, indices: Sequence[int], planes: Sequence[str], seed: int,
    weights: Path | None = None, save: Path | None = None, report: loop.Report | None = None,
    texture_folder: Path | None = None,
) -> Fit:  # fmt: skip
    """Train on the scans ``indices``. ``weights``: of the trunk; ``texture_folder``: the Describable Textures."""
    backbone, source = trunks.trunk(preset.trunk, weights, CROP_SEED)
    texture, texture_source = None, ""
    if preset.network == "type2":
        texture, texture_source = textures.network(preset.trunk, weights, texture_folder)
        source = Weights(f"{source.source}; texture: {texture_source}", source.sha256)
    where = machine.device()
    backbone.to(where)
    if texture is not None:
        texture.to(where)
    examples = Examples(preset, store, planes, backbone, source, texture, texture_source)
    torch.manual_seed(seed)
    if preset.tuned and preset.network == "split":
        network: nn.Module = split_network.SplitNetwork(
            lambda: trunks.trunk(preset.trunk, weights, CROP_SEED)[0], preset.dropout
        )
    else:
        network = _head(preset, backbone.features_out)
        if preset.tuned:
            network = Whole(backbone, texture, network)
        else:
            network = Standardised(network, torch.cat([examples.of(index, training=True) for index in indices]))
    network = network.to(where)
    labels = {index: store.scans.manifest.scans[index].label for index in indices}
    kinds = {index: split_network.item_number(store.scans.manifest.scans[index].item) for index in indices}
    count = len(examples.of(indices[0], training=True))
    pairs = [(index, k) for index in indices for k in range(count)]
    per_epoch = -(-len(pairs) // preset.batch)
    loss = losses.LOSSES[preset.loss]

    def loss_of(rng: np.random.Generator, step: int) -> Tensor:
        epoch = np.random.default_rng([seed, step // per_epoch, 0xE70C]).permutation(len(pairs))
        at = step % per_epoch * preset.batch
        some = [pairs[k] for k in epoch[at : at + preset.batch]]
        inputs = torch.stack([examples.of(index, training=True)[k] for index, k in some])
        answers = torch.tensor([labels[index] for index, _ in some], device=where)
        outputs = network(inputs)
        if preset.network == "split":
            return split_network.loss(outputs, answers, torch.tensor([kinds[index] for index, _ in some], device=where))
        return loss(outputs, answers)

    data, shown = store.scans.manifest.sha256, examples.pictures
    identity = loop.identity(preset.name, seed, preset, store.retrieval, data, planes, shown, list(indices), source)
    plan = loop.Plan(preset.epochs * per_epoch, preset.optimiser, seed, identity, save)
    loop.run(network, loss_of, plan, report)
    return Fit(network, examples, preset, source)
