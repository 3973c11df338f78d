"""What the stand-in of TensorRT hands out before anything runs: flags, logger, network, profile, configuration."""

from __future__ import annotations

import enum
from typing import Any

Sizes = tuple[int, ...]


class BuilderFlag(enum.Enum):
    FP16 = 0
    INT8 = 1
    TF32 = 2


class MemoryPoolType(enum.Enum):
    WORKSPACE = 0


class TensorIOMode(enum.Enum):
    INPUT = 1
    OUTPUT = 2


class DataType(enum.Enum):
    FLOAT = 0
    HALF = 1


class ILogger:
    class Severity(enum.Enum):
        INTERNAL_ERROR = 0
        ERROR = 1
        WARNING = 2

    def __init__(self) -> None:
        self.made = True

    def log(self, severity: Any, msg: str) -> None:
        raise AssertionError("a logger of ours is due")


class IHostMemory(bytearray):
    """Memory of TensorRT, read as a buffer."""


class ParserError:
    __slots__ = ("_told",)

    def __init__(self, node: str, operator: str, words: str) -> None:
        self._told = node, operator, words

    def node_name(self) -> str:
        return self._told[0]

    def node_operator(self) -> str:
        return self._told[1]

    def desc(self) -> str:
        return self._told[2]


class INetworkDefinition:
    __slots__ = ("content",)

    def __init__(self) -> None:
        self.content = b""


class ITimingCache:
    __slots__ = ("content",)

    def __init__(self, content: bytes) -> None:
        self.content = content

    def serialize(self) -> IHostMemory:
        return IHostMemory(self.content)


class IOptimizationProfile:
    __slots__ = ("shapes",)

    def __init__(self) -> None:
        self.shapes: tuple[Sizes, Sizes, Sizes] | None = None

    def set_shape(self, input: str, min: Sizes, opt: Sizes, max: Sizes) -> None:
        assert input == "planes"
        if not all(a <= b <= c for a, b, c in zip(min, opt, max, strict=True)):
            raise ValueError("min <= opt <= max is due")
        self.shapes = min, opt, max


class IBuilderConfig:
    __slots__ = ("_stamp", "cache", "flags", "profiles")

    def __init__(self, stamp: bytes) -> None:
        self._stamp = stamp
        self.flags = {BuilderFlag.TF32}
        self.profiles: list[IOptimizationProfile] = []
        self.cache: ITimingCache | None = None

    def set_memory_pool_limit(self, pool: MemoryPoolType, pool_size: int) -> None:
        assert isinstance(pool, MemoryPoolType)
        assert pool_size > 0

    def set_flag(self, flag: BuilderFlag) -> None:
        self.flags.add(BuilderFlag(flag))

    def clear_flag(self, flag: BuilderFlag) -> None:
        self.flags.discard(BuilderFlag(flag))

    def add_optimization_profile(self, profile: IOptimizationProfile) -> int:
        if profile.shapes is None:
            return -1
        self.profiles.append(profile)
        return len(self.profiles) - 1

    def create_timing_cache(self, serialized_timing_cache: bytes) -> ITimingCache:
        return ITimingCache(bytes(serialized_timing_cache))

    def set_timing_cache(self, cache: ITimingCache, ignore_mismatch: bool) -> bool:
        assert not ignore_mismatch, "timings of another device"
        if cache.content and cache.content != self._stamp:
            return False
        self.cache = ITimingCache(self._stamp)
        return True

    def get_timing_cache(self) -> ITimingCache:
        assert self.cache is not None
        return self.cache
