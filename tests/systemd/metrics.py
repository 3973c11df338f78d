"""The metrics page of the installed lane, scraped over loopback. Needs nothing but the standard library."""

from __future__ import annotations

import urllib.request

from tests.systemd.box import METRICS_PORT, PATIENCE_S, SERVICES, run, until

COUNTED = {
    "bags of archive": 'darklane_bags_total{service="archive"}',
    "slabs of readout": 'darklane_slabs_total{service="readout"}',
    "columns of retrieval": 'darklane_columns_total{service="retrieval"}',
    "slabs of inference": 'darklane_slabs_total{service="inference"}',
}


def metrics(judged: int) -> str:
    """Every service is on the gateway's page, with the numbers of the ``judged`` bags that have just passed."""
    page = f"http://127.0.0.1:{METRICS_PORT}/metrics"
    samples: dict[str, float] = {}
    seen: dict[str, float] = {}

    def scraped() -> bool:
        with urllib.request.urlopen(page, timeout=PATIENCE_S) as answer:
            lines = answer.read().decode().splitlines()
        samples.update((name, float(value)) for name, value in (li.rsplit(" ", 1) for li in lines if li[:1] != "#"))
        decided = [value for name, value in samples.items() if name.startswith("darklane_verdicts_total{")]
        seen.update({"verdicts": sum(decided)} | {what: samples.get(name, 0.0) for what, name in COUNTED.items()})
        up = all(samples.get(f'darklane_up{{service="{name}"}}') == 1 for name in SERVICES)
        # Sheets are written once a second.
        return up and seen["verdicts"] == seen["bags of archive"] == judged

    until(f"a page with all services up and {judged} verdicts", scraped)
    assert all(seen.values()), seen
    listening = run("ss", "-tlnH", "sport", "=", f":{METRICS_PORT}")
    assert listening.split()[3] == f"127.0.0.1:{METRICS_PORT}", listening
    counted = ", ".join(f"{value:.0f} {name}" for name, value in seen.items())
    return f"{len(SERVICES)} services up, {len(samples)} samples, on loopback only; {counted}"
