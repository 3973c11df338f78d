"""Phase sums on the GPU: frames per second of whole calls, and the kernel beside a copy in the GPU's memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kernels.backends.cuda import CudaBackend
from kernels.bench.gpu.device import KernelClock, copy_rate
from kernels.bench.gpu.extent import Extent
from kernels.bench.sums import frames_of, scan
from kernels.bench.timing import measure_in_turn, medians


def phase_sums(gpu: CudaBackend, clock: KernelClock, extent: Extent) -> dict[str, Any]:
    """For each number of frames in a call: whole calls of both back ends (host: one thread), kernel alone.

    ``of_copy`` is the rate at which the kernel reads frames over that at which a copy reads. The back end does at most
    16 frames in one launch.
    """
    frames = frames_of(extent.frames, extent.rows)
    copied = copy_rate(clock, extent.rounds) / 2
    works: dict[str, Callable[[], object]] = {}
    scans = {batch: scan(frames, batch, "cuda") for batch in extent.batches}
    for batch, work in scans.items():
        works[f"cuda {batch}"] = lambda work=work: (work(), gpu.stream.synchronize())  # type: ignore[misc]
        works[f"host {batch}"] = scan(frames, batch, "host")
    found = medians(measure_in_turn(works, extent.effort))
    table: list[dict[str, Any]] = []
    for batch, work in scans.items():
        with clock:
            work()
        spent = clock.seconds()
        alone = sum(spent["phase_sums"]) / len(frames)
        table.append(
            {
                "frames_per_call": batch,
                "kernel_us_per_frame": 1e6 * alone,
                "take_us_per_frame": 1e6 * sum(spent.get("take_sums", [])) / len(frames),
                "kernel_bytes_per_second": frames[0].nbytes / alone,
                "of_copy": frames[0].nbytes / alone / copied,
                "call_frames_per_second": len(frames) / found[f"cuda {batch}"].wall_s,
                "host_frames_per_second": len(frames) / found[f"host {batch}"].wall_s,
            }
        )
    return {
        "rows": extent.rows,
        "frame_bytes": int(frames[0].nbytes),
        "copy_bytes_per_second_each_way": copied,
        "batches": table,
    }
