"""ONNX Runtime on the CPU."""

from __future__ import annotations

import onnxruntime

from edge.inference.bundle import ModelBundle, ModelBundleError
from edge.inference.manifest import Precision
from edge.inference.runtime import INPUT, OUTPUTS
from kernels.types import F32

_PROVIDERS = ["CPUExecutionProvider"]


class OnnxRuntime:
    """One graph of a bundle in one session. Satisfies :class:`edge.inference.runtime.Runtime`."""

    def __init__(self, bundle: ModelBundle, precision: Precision, threads: int) -> None:
        self._name = f"onnxruntime-{precision}"
        file = bundle.manifest.graphs[precision].file
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        # Threads that wait by spinning would take the cores from the retrieval of the next columns.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3
        try:
            #: The session itself, for who measures against it.
            self.session = onnxruntime.InferenceSession(bundle.graph(precision), options, providers=_PROVIDERS)
        except Exception as error:  # it raises types of its own, and RuntimeError
            raise ModelBundleError(
                f"{bundle.origin}: {file}: ONNX Runtime {onnxruntime.__version__} cannot load it "
                f"({str(error).splitlines()[0]:.200}); export it again"
            ) from error
        self._check(f"{bundle.origin}: {file}", len(bundle.manifest.inputs.planes))

    def _check(self, file: str, planes: int) -> None:
        inputs = {i.name: (i.type, i.shape) for i in self.session.get_inputs()}
        kind, shape = inputs.get(INPUT, ("", []))
        if len(inputs) != 1 or kind != "tensor(float)" or len(shape) != 4 or shape[1] != planes:
            raise ModelBundleError(
                f"{file}: its inputs are {inputs}; one float input {INPUT!r} (batch, {planes}, rows, columns) is due"
            )
        if any(isinstance(size, int) for size in shape[2:]):
            raise ModelBundleError(f"{file}: input {INPUT!r} has the fixed size {shape}; rows and columns must be free")
        found = [o.name for o in self.session.get_outputs()]
        if not set(OUTPUTS) <= set(found):
            raise ModelBundleError(f"{file}: its outputs are {found}; {list(OUTPUTS)} are expected")

    @property
    def name(self) -> str:
        """``onnxruntime-fp32`` or ``onnxruntime-int8``."""
        return self._name

    def run(self, planes: F32) -> tuple[F32, F32]:
        """Heat and score of planes (n, C, rows, columns)."""
        heat, score = self.session.run(list(OUTPUTS), {INPUT: planes})
        return heat, score

    def close(self) -> None:
        """Drop the session."""
        del self.session
