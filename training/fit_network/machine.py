"""What a training runs on: the GPU where PyTorch finds one, else the processor; and who prepares its batches."""

from __future__ import annotations

import os

import torch

#: Set to `cpu` to leave a GPU alone.
DEVICE = "DARKLANE_TRAIN_ON"
#: Processes that cut crops for a GPU, at most; a processor cuts its own, or they would take its cores away.
MOST_LOADERS = 8
_loaders: int | None = None


def device() -> torch.device:
    """Where networks and batches go."""
    chosen = os.environ.get(DEVICE, "")
    if chosen not in ("", "cpu", "cuda"):
        raise ValueError(f"{DEVICE} = {chosen!r}: use cpu or cuda")
    if chosen == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"{DEVICE} = cuda: this PyTorch ({torch.__version__}) finds no GPU; use cpu")
    return torch.device(chosen or ("cuda" if torch.cuda.is_available() else "cpu"))


def use_loaders(count: int | None) -> None:
    """Let ``count`` processes prepare batches; None: as many as suit the device. Batches are the same with any number.

    ValueError below 0.
    """
    global _loaders  # noqa: PLW0603 - like the number of threads: one of this process
    if count is not None and count < 0:
        raise ValueError(f"loaders = {count}: use 0 or more")
    _loaders = count


def loaders() -> int:
    """How many processes prepare batches; 0: the training does it itself."""
    if _loaders is not None:
        return _loaders
    return 0 if device().type == "cpu" else max(1, min(MOST_LOADERS, (os.cpu_count() or 2) // 2))


def name() -> str:
    """The device in words, for records."""
    found = device()
    return "no GPU used" if found.type == "cpu" else torch.cuda.get_device_name(found)
