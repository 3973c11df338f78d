"""Half-finished trainings as files of tensors; nothing in them is executed when they are read."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn


class CheckpointError(ValueError):
    """A checkpoint cannot be continued; says which and why."""


def save(path: Path, identity: str, network: nn.Module, optimiser: torch.optim.Optimizer, step: int) -> None:
    """Write ``path`` so that it is either the old or the new checkpoint."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".part")
    state = {
        "identity": identity,
        "step": step,
        "network": network.state_dict(),
        "optimiser": optimiser.state_dict(),
    }
    torch.save(state, partial)
    partial.replace(path)


def resume(path: Path, identity: str, network: nn.Module, optimiser: torch.optim.Optimizer) -> int:
    """Put the state of ``path`` into network and optimiser; returns the next batch, 0 when there is no file."""
    if not path.is_file():
        return 0
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        found, step = str(state["identity"]), int(state["step"])
    except Exception as error:  # torch raises many kinds
        raise CheckpointError(f"{path}: not a checkpoint ({error}); remove it to start again") from error
    if found != identity:
        raise CheckpointError(f"{path}: is of {found}, this is {identity}; give another folder or remove it")
    network.load_state_dict(state["network"])
    optimiser.load_state_dict(state["optimiser"])
    return step
