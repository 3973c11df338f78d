"""How much of the processor's arithmetic a retrieval uses: operations of a fit, times fits, over the peak."""

from __future__ import annotations

from typing import Any

from kernels.bench.machine import multiply_add_work
from kernels.bench.native import Probe, ProbeError
from kernels.bench.retrieval import COUNTS, MODELS, SEED, ours, pixel_fits, work
from kernels.bench.scene import pixels
from kernels.bench.timing import Effort, cpu, measure_in_turn, medians, ratio


def arithmetic(quick: bool, effort: Effort) -> dict[str, Any]:
    """Peak of fused multiply-adds (two operations each), operations of a fit, and the fraction reached, in turn.

    Additions, multiplications and divisions count one each; comparisons, selections and integer work count nothing.
    Holds `reason` instead when there is no compiler.
    """
    try:
        probe = Probe()
    except ProbeError as error:
        return {"reason": str(error)}
    data = pixels(*((4, 50) if quick else (40, 1000)), COUNTS, SEED)
    held = ours(data, "map")
    best, peak = multiply_add_work(probe)
    found = measure_in_turn({"peak": peak} | {model: work(data, model, out=held) for model in MODELS}, effort)
    usual = medians(found)
    models: list[dict[str, Any]] = []
    for model in MODELS:
        counts = probe.operations(data, model)
        operations = counts["additions"] + counts["multiplications"] + counts["divisions"]
        done = operations * pixel_fits(data)
        models.append(
            {
                "model": model,
                **{f"{name}_per_fit": value for name, value in counts.items()},
                "flop_per_fit": operations,
                "flop_per_second": done / max(usual[model].cpu_s, 1e-9),
                "of_peak": done / best * ratio(found["peak"], found[model], cpu),
            }
        )
    return {
        "peak_flop_per_second": best / max(usual["peak"].cpu_s, 1e-9),
        "others_busy_cores": usual["peak"].others,
        "models": models,
    }
