"""A strict stand-in for the few calls of TensorRT 10 that the runtime makes; graphs are executed by ONNX Runtime.

It has no name that the bindings lack (tests/edge/gpu/bindings.json), and refuses a wrong order of calls, shapes outside
the profile, tensors without an address, device memory that was freed, and plans of another version or GPU.
``drift``: what engines with a flag add to their heat, as less precise arithmetic would.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import numpy_helper

from tests.edge.gpu.pycuda_standin import Machine
from tests.edge.gpu.tensorrt_objects import (
    BuilderFlag,
    DataType,
    IBuilderConfig,
    IHostMemory,
    ILogger,
    INetworkDefinition,
    IOptimizationProfile,
    ITimingCache,
    MemoryPoolType,
    ParserError,
    Sizes,
    TensorIOMode,
)


class IExecutionContext:
    __slots__ = ("_addresses", "_engine", "_shape")

    def __init__(self, engine: ICudaEngine) -> None:
        self._engine = engine
        self._shape: Sizes = ()
        self._addresses: dict[str, int] = {}

    def set_tensor_address(self, name: str, memory: int) -> bool:
        assert type(memory) is int
        if name not in self._engine.tensors:
            return self._engine.fail(f"no tensor {name}")
        self._addresses[name] = memory
        return True

    def set_input_shape(self, name: str, shape: Sizes) -> bool:
        low, _, high = self._engine.profile
        if name != "planes" or not all(a <= b <= c for a, b, c in zip(low, shape, high, strict=True)):
            return self._engine.fail(f"{shape} is not within {low} and {high}")
        self._shape = shape
        return True

    def infer_shapes(self) -> list[str]:
        return [] if len(self._shape) == 4 else ["planes"]

    def get_tensor_shape(self, name: str) -> Sizes:
        assert name == "heat", "only heat is asked for"
        assert len(self._shape) == 4, "the input's shape is not set"
        _, _, rows, columns = self._shape
        return 1, 1, rows // self._engine.stride, columns // self._engine.stride

    def execute_async_v3(self, stream_handle: int) -> bool:
        machine = self._engine.machine
        machine.call("execute_async_v3")
        missing = sorted(set(self._engine.tensors) - set(self._addresses))
        if missing or len(self._shape) != 4:
            return self._engine.fail(f"not set: {missing or 'shape of planes'}")
        shape, heat_size = self._shape, int(np.prod(self.get_tensor_shape("heat")))

        def work() -> None:
            planes = machine.at(self._addresses["planes"], int(np.prod(shape))).reshape(shape)
            heat, score = self._engine.session.run(["heat", "score"], {"planes": planes})
            assert heat.size == heat_size
            machine.at(self._addresses["heat"], heat.size)[:] = heat.ravel() + self._engine.drift
            machine.at(self._addresses["score"], 1)[:] = score.ravel() + self._engine.drift

        machine.streams[stream_handle].enqueue(work)
        return True


class ICudaEngine:
    tensors = ("planes", "heat", "score")

    def __init__(self, machine: Machine, logger: ILogger, plan: dict[str, Any], graph: bytes, drift: float) -> None:
        self.machine, self._logger, self.drift = machine, logger, drift
        self.profile: tuple[Sizes, Sizes, Sizes] = tuple(map(tuple, plan["profile"]))  # type: ignore[assignment]
        self.session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
        sample = np.zeros(self.profile[0], np.float32)
        self.stride = sample.shape[3] // self.session.run(["heat"], {"planes": sample})[0].shape[3]

    def fail(self, words: str) -> bool:
        self._logger.log(ILogger.Severity.ERROR, words)
        return False

    @property
    def num_io_tensors(self) -> int:
        return len(self.tensors)

    def get_tensor_name(self, index: int) -> str:
        return self.tensors[index]

    def get_tensor_mode(self, name: str) -> TensorIOMode:
        return TensorIOMode.INPUT if name == "planes" else TensorIOMode.OUTPUT

    def get_tensor_dtype(self, name: str) -> DataType:
        assert name in self.tensors
        return DataType.FLOAT

    def create_execution_context(self) -> IExecutionContext | None:
        self.machine.call("create_execution_context")
        return IExecutionContext(self)


class Site:
    """TensorRT on one machine: its version, and what is to go wrong."""

    def __init__(self, machine: Machine, version: str = "10.3.0") -> None:
        self.machine, self.version = machine, version
        self.drift: dict[str, float] = {}
        self.builds: list[tuple[str, ...]] = []
        self.timed: list[bool] = []
        self.build_fails = ""

    @property
    def stamp(self) -> bytes:
        return f"{self.version} on {self.machine.name}".encode()


def checked(logger: ILogger) -> ILogger:
    assert isinstance(logger, ILogger)
    assert getattr(logger, "made", False), "ILogger.__init__ was not called"
    return logger


def module(site: Site) -> dict[str, Any]:
    """What the module ``tensorrt`` holds, at ``site``."""

    class OnnxParser:
        def __init__(self, network: INetworkDefinition, logger: ILogger) -> None:
            self._network, self._logger = network, checked(logger)
            self._errors: list[ParserError] = []

        def parse(self, model: bytes) -> bool:
            try:
                graph = onnx.load_from_string(model).graph
            except Exception:
                self._errors = [ParserError("", "", "Failed to parse the ONNX model")]
                return False
            values = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
            self._errors = [
                ParserError(node.name, node.op_type, "only symmetric quantisation to int8 is taken")
                for node in graph.node
                if node.op_type == "QuantizeLinear"
                and (values[node.input[2]].any() or values[node.input[2]].dtype != np.int8)
            ]
            self._network.content = model
            return not self._errors

        @property
        def num_errors(self) -> int:
            return len(self._errors)

        def get_error(self, index: int) -> ParserError:
            return self._errors[index]

    class Builder:
        def __init__(self, logger: ILogger) -> None:
            site.machine.call("Builder")
            self._logger = checked(logger)

        def create_network(self, flags: int = 0) -> INetworkDefinition:
            assert flags == 0
            return INetworkDefinition()

        def create_builder_config(self) -> IBuilderConfig:
            return IBuilderConfig(site.stamp)

        def create_optimization_profile(self) -> IOptimizationProfile:
            return IOptimizationProfile()

        def build_serialized_network(self, network: INetworkDefinition, config: IBuilderConfig) -> IHostMemory | None:
            site.machine.call("build_serialized_network")
            assert network.content, "nothing was parsed"
            quantised = b"QuantizeLinear" in network.content
            words = site.build_fails
            if not config.profiles:
                words = "Network has dynamic or shape inputs, but no optimization profile has been defined."
            if quantised and BuilderFlag.INT8 not in config.flags:
                words = "Q/DQ nodes need the INT8 flag"
            if words:
                self._logger.log(ILogger.Severity.ERROR, words)
                return None
            flags = tuple(sorted(flag.name for flag in config.flags))
            site.builds.append(flags)
            site.timed.append(config.cache is not None)
            plan = {"stamp": site.stamp.decode(), "flags": flags, "profile": config.profiles[0].shapes}
            return IHostMemory(json.dumps(plan).encode() + b"\n" + network.content)

    class Runtime:
        def __init__(self, logger: ILogger) -> None:
            self._logger = checked(logger)

        def deserialize_cuda_engine(self, serialized_engine: bytes) -> ICudaEngine | None:
            site.machine.call("deserialize_cuda_engine")
            head, _, graph = bytes(serialized_engine).partition(b"\n")
            plan = json.loads(head)
            if plan["stamp"] != site.stamp.decode():
                self._logger.log(ILogger.Severity.ERROR, f"the engine was made for {plan['stamp']}")
                return None
            drift = max((site.drift.get(flag, 0.0) for flag in plan["flags"]), default=0.0)
            return ICudaEngine(site.machine, self._logger, plan, graph, drift)

    return {
        "__version__": site.version,
        "Builder": Builder,
        "BuilderFlag": BuilderFlag,
        "DataType": DataType,
        "ILogger": ILogger,
        "MemoryPoolType": MemoryPoolType,
        "OnnxParser": OnnxParser,
        "Runtime": Runtime,
        "TensorIOMode": TensorIOMode,
    }


#: Classes that no name of the module leads to.
INNER = (
    IBuilderConfig, ICudaEngine, IExecutionContext, IHostMemory, INetworkDefinition, IOptimizationProfile, ITimingCache,
    ParserError,
)  # fmt: skip
#: Members that are the stand-in's own business.
OWN = frozenset(
    {
        "machine",
        "drift",
        "profile",
        "session",
        "stride",
        "fail",
        "content",
        "flags",
        "profiles",
        "cache",
        "shapes",
        "tensors",
    }
)
