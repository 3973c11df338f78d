"""Shares ranges out among the channels of a network before it becomes 8-bit.

One step serves all channels of a tensor, so a channel a hundred times as large as the others leaves these nothing. What
a ReLU passes may be made smaller in one layer and larger in the next without any change of the result: cross-layer
equalisation [Nagel et al. 2019, Data-free quantization through weight equalization and bias correction].
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from kernels.types import F32
from training.networks.grain_net import GrainNet

#: No channel is made smaller or larger than this many times: one that is nearly always 0 stays so.
MOST = 64.0


@dataclass(frozen=True)
class _Tensor:
    """Channels that layers ``made`` and other ones ``take``, these from their input number ``first`` on."""

    made: tuple[nn.Conv2d, ...]
    take: tuple[nn.Conv2d, ...]
    first: tuple[int, ...]


def equalised(network: GrainNet, planes: Sequence[F32]) -> GrainNet:
    """A network that computes the same, every channel with about the same range on ``planes`` (each C, rows, columns).

    Its batch normalisations are folded into the convolutions already (:func:`training.fit_network.export.fused`).
    """
    network = copy.deepcopy(network).eval()
    tensors = _tensors(network)
    largest = _ranges(network, tensors, planes)
    with torch.no_grad():
        for tensor, range_ in zip(tensors, largest, strict=True):
            _share_out(tensor, range_)
        _share_out_texture(network, planes)
    return network


def _tensors(network: GrainNet) -> list[_Tensor]:
    def one(made: Sequence[nn.Module], take: Sequence[nn.Module]) -> _Tensor:
        return _Tensor(tuple(map(_conv, made)), tuple(map(_conv, take)), (0,) * len(take))

    blocks = list(network.at8)
    return [
        one([network.stem], [network.down4]),
        one([network.down4], [network.mix4]),
        one([network.mix4, network.at4.second], [network.at4.first, network.texture.project, network.down8]),
        one([network.at4.first], [network.at4.second]),
        one([network.down8], [network.join]),
        one([network.join, *(block.second for block in blocks)], [*(block.first for block in blocks), network.heat]),
        *(one([block.first], [block.second]) for block in blocks),
    ]


def _texture(network: GrainNet) -> _Tensor:
    """Means and standard deviations stand behind the other maps in what is joined."""
    project, join = network.texture.project, _conv(network.join)
    maps, features = _conv(network.down8).out_channels, project.out_channels
    return _Tensor((project,), (join, join), (maps, maps + features))


def _conv(module: nn.Module) -> nn.Conv2d:
    found = module[0] if isinstance(module, nn.Sequential) else module
    assert isinstance(found, nn.Conv2d)
    return found


def _share_out_texture(network: GrainNet, planes: Sequence[F32]) -> None:
    tensor = _texture(network)
    size = _share_out(tensor, _ranges(network, [tensor], planes)[0])
    network.texture.least /= (size * size).view(1, -1, 1, 1)


def _share_out(tensor: _Tensor, largest: Tensor) -> Tensor:
    """Divide what is made by what it is multiplied with where it is taken; returns that (C,)."""
    weights = torch.stack(
        [
            layer.weight[:, first : first + len(largest)].abs().amax((0, 2, 3))
            for layer, first in zip(tensor.take, tensor.first, strict=True)
        ]
    ).amax(0)
    alive = (largest > 0) & (weights > 0)
    size = torch.ones_like(largest)
    if alive.any():
        ratio = torch.sqrt(largest[alive] / weights[alive])
        size[alive] = (ratio / ratio.log().mean().exp()).clamp(1 / MOST, MOST)
    for layer in tensor.made:
        layer.weight /= size.view(-1, 1, 1, 1)
        if layer.bias is not None:
            layer.bias /= size
    for layer, first in zip(tensor.take, tensor.first, strict=True):
        layer.weight[:, first : first + len(size)] *= size.view(1, -1, 1, 1)
    return size


def _ranges(network: GrainNet, tensors: Sequence[_Tensor], planes: Sequence[F32]) -> list[Tensor]:
    """Largest magnitude of every channel of ``tensors`` (C,) that was met."""
    met = [torch.zeros(tensor.made[0].out_channels) for tensor in tensors]
    with _watched(tensors, met), torch.inference_mode():
        for one in planes:
            network(torch.from_numpy(one)[None])
    return [found.clone() for found in met]


@contextmanager
def _watched(tensors: Sequence[_Tensor], met: list[Tensor]) -> Iterator[None]:
    """What layers take is looked at as long as this lasts."""

    def watch(number: int, layer: nn.Conv2d, first: int) -> torch.utils.hooks.RemovableHandle:
        def look(_: nn.Module, given: tuple[Tensor, ...]) -> None:
            part = given[0][:, first : first + len(met[number])]
            met[number] = torch.maximum(met[number], part.abs().amax((0, 2, 3)))

        return layer.register_forward_pre_hook(look)

    handles = [
        watch(number, layer, first)
        for number, tensor in enumerate(tensors)
        for layer, first in zip(tensor.take, tensor.first, strict=True)
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
