"""The one table of metrics: name, kind, unit and where the number comes from in the service's loop.

The reference page is ``python -m edge.metrics.table``; what a service exports is rendered from the same rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

#: Bounds of the latency histogram, s: from a quick bag to the deadline that is configured by default.
LATENCY_BOUNDS_S: Final = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 60.0)


@dataclass(frozen=True)
class Metric:
    """``keys``: names in the loop's counters, gauges or histograms; one that ends with "." or "_" is a prefix.

    With a ``label`` its value is what follows the prefix, or the key itself.
    """

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    unit: str
    services: tuple[str, ...]
    keys: tuple[str, ...]
    help: str
    label: str = ""

    def match(self, key: str) -> str | None:
        """The label's value that ``key`` stands for (empty without a label); None when it is not of this metric."""
        for own in self.keys:
            if key == own:
                return key if self.label else ""
            if self.label and own[-1] in "._" and key.startswith(own):
                return key[len(own) :]
        return None


_BRIDGE, _VERDICT, _READOUT = ("bridge",), ("verdict",), ("readout",)
_GATEWAY, _ARCHIVE = ("gateway",), ("archive",)


def _counter(name: str, services: tuple[str, ...], key: str, unit: str, text: str) -> Metric:
    return Metric(f"darklane_{name}", "counter", unit, services, (key,), text)


#: What the loop of every service says of itself; read from its fields, so there are no keys.
COMMON: Final = (
    Metric("darklane_work_rate", "gauge", "per second", (), (), "work done since the last second", "unit"),
    Metric("darklane_queue", "gauge", "items", (), (), "work waiting"),
    Metric("darklane_lag_seconds", "gauge", "seconds", (), (), "age of the oldest data in hand"),
)

#: Added by the server; a service that is gone or hangs has no other sample.
UP: Final = Metric("darklane_up", "gauge", "0 or 1", (), (), "whether the service's loop turned within the last 5 s")

METRICS: Final = (
    _counter("unreadable_messages", (), "unreadable", "messages", "messages that could not be decoded"),
    Metric("darklane_verdicts", "counter", "bags", _VERDICT, ("alarm", "clear", "unknown"), "final", "decision"),
    Metric("darklane_unknown", "counter", "bags", _VERDICT, ("unknown.",), "final UNKNOWN, by reason", "reason"),
    _counter("supplements", _VERDICT, "supplements", "verdicts", "late results, published as supplements"),
    Metric(
        "darklane_verdict_latency_seconds",
        "histogram",
        "seconds",
        _VERDICT,
        ("latency_s",),
        "last frame of a bag to its verdict",
    ),
    _counter("recalls", ("verdict", "readout"), "recalls", "bags", "bags asked for again from the spool"),
    _counter("clear_line_refused", _VERDICT, "clear_refused", "bags", "CLEAR whose clear line was refused"),
    _counter("feed_dropped", ("verdict", "gateway"), "feed_dropped", "messages", "found a subscriber's queue full"),
    _counter("journal_faults", _VERDICT, "journal_faults", "faults", "times that the journal became unwritable"),
    Metric("darklane_journal_fault", "gauge", "0 or 1", _VERDICT, ("journal_fault",), "1: it cannot be written now"),
    Metric("darklane_journal_waiting", "gauge", "rows", _VERDICT, ("journal_waiting",), "not yet in the journal"),
    Metric("darklane_lane_state", "gauge", "0 or 1", _VERDICT, ("lane_state.",), "1: the lane's state", "state"),
    Metric(
        "darklane_calibration_state",
        "gauge",
        "0 or 1",
        _VERDICT,
        ("calibration_state.",),
        "1: state of the active calibration",
        "state",
    ),
    Metric(
        "darklane_calibration_age_seconds",
        "gauge",
        "seconds",
        _VERDICT,
        ("calibration_age_s",),
        "since it was made; absent when there is none",
    ),
    Metric("darklane_calibration_due", "gauge", "0 or 1", _VERDICT, ("calibration_due",), "1: drift asks for one"),
    Metric(
        "darklane_drift_mask_shift_micrometres",
        "gauge",
        "µm",
        _VERDICT,
        ("drift_mask_shift_um",),
        "of the masks, as the newest bag showed it; absent 15 min after it",
    ),
    Metric(
        "darklane_air_scale",
        "gauge",
        "ratio",
        _VERDICT,
        ("air_scale.",),
        "tube output against the calibration, as the newest bag showed it; absent 15 min after it",
        "bin",
    ),
    Metric(
        "darklane_device_events",
        "counter",
        "events",
        _BRIDGE,
        ("bag_entry", "bag_exit", "interlock", "device_lost", "device_found", "encoder", "estop", "device_state"),
        "published by the bridge",
        "kind",
    ),
    _counter("repeated_reports", _BRIDGE, "repeated", "reports", "of the belt controller that were known already"),
    _counter("commands_refused", _BRIDGE, "refused", "commands", "refused or failed"),
    _counter("lost_frames", _READOUT, "lost_frames", "frames", "of the detector, by their numbers"),
    _counter("incomplete_frames", _READOUT, "incomplete_frames", "frames", "with packets missing"),
    _counter("lost_packets", _READOUT, "lost_packets", "packets", "of frames that came in part"),
    _counter("duplicate_packets", _READOUT, "duplicate", "packets", "received twice"),
    _counter("late_packets", _READOUT, "late", "packets", "came after their frame was given up"),
    _counter("kernel_drops", _READOUT, "kernel_drops", "packets", "that the socket's buffer had no room for"),
    _counter("rejected_packets", _READOUT, "rejected", "packets", "that are not the detector's"),
    Metric(
        "darklane_bag_faults",
        "counter",
        "slabs",
        ("readout", "retrieval"),
        ("fault.",),
        "that end a bag with a fault",
        "reason",
    ),
    _counter("slabs", ("readout", "inference"), "slabs", "slabs", "sent (readout) or taken (inference)"),
    _counter("bags", ("readout", "archive"), "bags", "bags", "recorded (readout) or written (archive)"),
    _counter("columns", ("retrieval",), "columns", "columns", "taken for retrieval"),
    _counter("models_refused", ("inference",), "refused_models", "models", "that may not be used"),
    Metric(
        "darklane_handshakes_refused",
        "counter",
        "handshakes",
        _GATEWAY,
        ("refused_",),
        "of clients that were turned away",
        "reason",
    ),
    _counter("requests", _GATEWAY, "requests", "requests", "of clients, answered"),
    _counter("requests_limited", _GATEWAY, "requests_limited", "requests", "beyond gateway.requests_per_s"),
    _counter("requests_failed", _GATEWAY, "failed_requests", "requests", "that the gateway failed to answer"),
    _counter("requests_unreadable", _GATEWAY, "unreadable_requests", "requests", "that could not be decoded"),
    _counter("answers_dropped", _GATEWAY, "answers_dropped", "answers", "that a client did not take"),
    _counter("previews", _GATEWAY, "previews", "images", "published as bag.image"),
    _counter(
        "previews_dropped",
        _GATEWAY,
        "preview_drops",
        "slabs",
        "left out of previews: they made no sense, or too many bags",
    ),
    _counter("karabo_sent", _GATEWAY, "karabo_sent", "messages", "to karabo-bridge readers"),
    _counter("karabo_dropped", _GATEWAY, "karabo_drops", "messages", "that karabo-bridge readers did not take"),
    Metric(
        "darklane_archive_problems",
        "counter",
        "items",
        _ARCHIVE,
        ("late_slabs", "bad_slabs", "lost_verdicts", "late_verdicts", "failed_bags", "failed_sheets", "failed_dicos"),
        "what could not be written, or came late",
        "kind",
    ),
    _counter("dicos_files", _ARCHIVE, "dicos_files", "files", "written"),
    _counter("dicos_sent", ("archive", "gateway"), "dicos_sent", "files", "taken by the other application"),
)

#: Counters that have no row yet; sums of others are left out.
OTHER: Final = Metric("darklane_other", "counter", "times", (), (), "counted, and without a metric of its own", "what")
SUMS: Final = frozenset({("gateway", "refused")})


def find(service: str, key: str) -> tuple[Metric, str]:
    """The metric that ``key`` of ``service`` belongs to, and its label's value; :data:`OTHER` when there is none."""
    for metric in METRICS:
        value = metric.match(key) if not metric.services or service in metric.services else None
        if value is not None:
            return metric, value
    return OTHER, key


def markdown() -> str:
    """The page docs/reference/metrics.md."""
    lines = [
        "# Metrics",
        "",
        "Generated by `python -m edge.metrics.table`; do not edit.",
        "",
        "    [metrics]",
        "    enabled = true",
        "    port = 9780",
        "",
        "`http://127.0.0.1:9780/metrics` has every service of the lane, told apart by the label `service`;",
        "`/metrics/NAME` has one, and answers 404 when it is gone. Text format of Prometheus, loopback only.",
        "",
        "Each service writes its metrics into `<run_dir>/metrics/NAME.prom` once a second, from its own loop. The",
        "gateway serves these files, so that the others need no network. What was written more than 5 s ago is not",
        "served: of a service that is dead or hangs every sample is absent, not zero, and its `darklane_up` is 0.",
        "While the gateway itself is away nothing answers. Counters begin at 0 with each start of their service; a",
        "labelled sample appears when it was counted first.",
        "",
        "| metric | kind | unit | label | services | what |",
        "|---|---|---|---|---|---|",
    ]
    for metric in (UP, *COMMON, *METRICS, OTHER):
        name = metric.name + ("_total" if metric.kind == "counter" else "")
        services = ", ".join(metric.services) or "all"
        lines.append(
            f"| `{name}` | {metric.kind} | {metric.unit} | {metric.label or '–'} | {services} | {metric.help} |"
        )
    bounds = ", ".join(f"{bound:g}" for bound in LATENCY_BOUNDS_S)
    lines += ["", f"Bounds of the latency histogram: {bounds} s and +Inf."]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(markdown(), end="")
