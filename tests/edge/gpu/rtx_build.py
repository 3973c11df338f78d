"""Our build of an engine by TensorRT-RTX, whose parser and builder need no GPU; what it makes cannot be run here.

``pip install tensorrt-rtx-cu13==1.7.1.116`` (a download of 95 MB), then
``python -m tests.edge.gpu.rtx_build model.tensorrt.onnx model.onnx``. It has no flags for FP16 and INT8, as
TensorRT 11: what is built has the types that the graph has. Errors that it logs about timings are for want of a GPU.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import onnx

from edge.inference.bundle import ModelBundleError
from edge.inference.tensorrt_build import Shapes, build
from edge.inference.tensorrt_device import messages_of

ROWS, COLUMNS = (16, 512, 512), (16, 352, 640)


def main(files: list[str]) -> int:
    """Build every graph; 1 when one cannot be built."""
    trt = importlib.import_module("tensorrt_rtx")
    failed = 0
    for file in files:
        content = Path(file).read_bytes()
        planes = onnx.load_from_string(content).graph.input[0].type.tensor_type.shape.dim[1].dim_value
        shapes = Shapes(planes, *zip(ROWS, COLUMNS, strict=True))
        try:
            engine, timings = build(trt, messages_of(trt), content, shapes, "fp32", b"")
        except ModelBundleError as error:
            failed += 1
            print(f"{file}: {error}")
        else:
            print(f"{file}: TensorRT-RTX {trt.__version__}, engine {len(engine)} bytes, timings {len(timings)} bytes")
    return min(failed, 1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
