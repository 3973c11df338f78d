"""How much of the processor's arithmetic a retrieval uses: operations of a fit, times fits, over the peak."""

from __future__ import annotations

from typing import Any

from kernels.bench.machine import multiply_add_peak
from kernels.bench.native import Probe, ProbeError
from kernels.bench.retrieval import COUNTS, MODELS, SEED
from kernels.bench.scene import pixels
from kernels.bench.timing import Effort


def arithmetic(quick: bool, effort: Effort, table: list[dict[str, Any]]) -> dict[str, Any]:
    """Peak of fused multiply-adds (two operations each), operations of a fit, and the fraction reached.

    ``table``: the rows of `retrieval`. Additions, multiplications and divisions count one each; comparisons, selections
    and integer work count nothing. Holds `reason` instead when there is no compiler.
    """
    try:
        probe = Probe()
    except ProbeError as error:
        return {"reason": str(error)}
    peak, timing = multiply_add_peak(probe, effort)
    data = pixels(1, 200 if quick else 5000, COUNTS, SEED)
    rates = {row["name"]: row["fits_per_second_per_core"] for row in table}
    models: list[dict[str, Any]] = []
    for model in MODELS:
        counts = probe.operations(data, model)
        operations = counts["additions"] + counts["multiplications"] + counts["divisions"]
        reached = operations * rates[f"darklane {model}"]
        models.append(
            {
                "model": model,
                **{f"{name}_per_fit": value for name, value in counts.items()},
                "flop_per_fit": operations,
                "flop_per_second": reached,
                "of_peak": reached / peak,
            }
        )
    return {"peak_flop_per_second": peak, "others_busy_cores": timing.others, "models": models}
