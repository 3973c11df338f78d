"""Our network as an ONNX graph, checked against PyTorch before anybody sees it."""

from __future__ import annotations

import copy
import io
import warnings
from collections.abc import Sequence

import numpy as np
import onnx
import onnxruntime
import torch
from torch import nn

from kernels.types import F32
from training.fit_network.grain import whole_cells
from training.networks.grain_net import STRIDE, GrainNet

#: What TensorRT 10.3 takes; the exporter makes no lower one, whatever it is asked for.
OPSET = 18
INPUT, OUTPUTS = "planes", ("heat", "score")
#: Sizes (batch, rows, columns) on which graph and network are compared.
CHECKED = ((1, 96, 128), (3, 160, 80))
#: Most that they may differ, relative to the largest logit or absolute.
TOLERANCE = 1e-3


class ExportError(RuntimeError):
    """The exported graph is not the network; says by how much, or what is wrong with it."""


def fused(network: GrainNet, ranges: F32 | None = None) -> GrainNet:
    """The same network with every batch normalisation folded into the convolution before it.

    ``ranges`` (C,): what planes are divided by instead of their scales; the first convolution makes up for it. With
    every plane between −1 and 1, eight bits are shared out fairly among them.
    """
    network = copy.deepcopy(network).eval()
    if ranges is not None:
        divide = torch.from_numpy(1 / ranges).view(1, -1, 1, 1)
        with torch.no_grad():
            network.stem[0].weight.mul_(network.weight_of_plane / divide)
        network.weight_of_plane = divide
    for module in list(network.modules()):
        if isinstance(module, nn.Sequential) and len(module) > 1 and isinstance(module[1], nn.BatchNorm2d):
            module[0] = torch.nn.utils.fusion.fuse_conv_bn_eval(module[0], module[1])
            module[1] = nn.Identity()
    return network


def graph(network: GrainNet, ranges: F32 | None = None) -> bytes:
    """The ONNX file of ``network``: input ``planes``, outputs ``heat`` and ``score``, batch, rows and columns free.

    :class:`ExportError` when it differs from the network, or has another opset than asked for.
    """
    network = fused(network, ranges).to(memory_format=torch.contiguous_format)
    example = torch.zeros(2, len(network.planes), 12 * STRIDE, 16 * STRIDE)
    rows, columns = (STRIDE * torch.export.Dim(name, min=2, max=512) for name in ("row_cells", "column_cells"))
    free = {0: torch.export.Dim("batch", min=1, max=64), 2: rows, 3: columns}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter's own parts
        program = torch.onnx.export(
            network,
            (example,),
            dynamo=True,
            opset_version=OPSET,
            external_data=False,
            input_names=[INPUT],
            output_names=list(OUTPUTS),
            dynamic_shapes=(free,),
            verbose=False,
        )
    buffer = io.BytesIO()
    program.save(buffer)
    content = without_traces(buffer.getvalue())
    check(content, network)
    return content


def without_traces(content: bytes) -> bytes:
    """The same graph without what the exporter notes about our source files and where they lay."""
    model = onnx.load_from_string(content)
    for part in (model, model.graph, *model.graph.node, *model.graph.value_info, *model.graph.initializer):
        del part.metadata_props[:]
        part.doc_string = ""
    return bytes(model.SerializeToString())


def check(content: bytes, network: GrainNet) -> None:
    """Compare a graph with the network it was made from, at two batch sizes and two image sizes."""
    found = [entry.version for entry in onnx.load_from_string(content).opset_import if entry.domain in ("", "ai.onnx")]
    if found != [OPSET]:
        raise ExportError(
            f"exported graph has opset {found}, {OPSET} was asked for; use the torch version of pyproject"
        )
    session = open_session(content)
    for number, (batch, rows, columns) in enumerate(CHECKED):
        generator = torch.Generator().manual_seed(number)
        planes = torch.rand(batch, len(network.planes), rows, columns, generator=generator)
        planes = planes / network.weight_of_plane
        with torch.inference_mode():
            expected = network(planes)
        got = session.run(list(OUTPUTS), {INPUT: planes.numpy()})
        for name, ours, theirs in zip(OUTPUTS, got, expected, strict=True):
            reference = theirs.numpy()
            worst = float(np.abs(ours - reference).max()) / max(1.0, float(np.abs(reference).max()))
            if ours.shape != reference.shape or not worst <= TOLERANCE:
                raise ExportError(
                    f"exported graph, {batch} × {rows} × {columns}: {name} {ours.shape} differs from PyTorch's "
                    f"{reference.shape} by {worst:.2g} (allowed {TOLERANCE}); do not use it"
                )


def open_session(content: bytes, threads: int = 1) -> onnxruntime.InferenceSession:
    """A session on the CPU."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def run(session: onnxruntime.InferenceSession, planes: F32) -> tuple[F32, F32]:
    """Heat and score of planes (n, C, rows, columns)."""
    heat, score = session.run(list(OUTPUTS), {INPUT: planes})
    return heat, score


def scores(session: onnxruntime.InferenceSession, scans: Sequence[F32]) -> F32:
    """Scores (n,) of the planes (C, rows, columns) of scans of any sizes."""
    return np.array([run(session, whole_cells(planes)[None])[1][0, 0] for planes in scans], np.float32)
