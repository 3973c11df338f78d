"""Experiments with a trainer that costs nothing: what is run, resumed, counted and reported."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("matplotlib", reason="install darklane[report]")

from tests.training import tiny_dataset
from training.dataset import Scans
from training.dataset.manifest import Split
from training.dataset.scan_file import BENIGN, THREAT
from training.experiments.__main__ import main
from training.experiments.leakage import shuffled
from training.experiments.parts import part
from training.experiments.plan import OURS, plan
from training.experiments.results import rows
from training.experiments.runner import Outcome, RunFileError, execute, finished, wanted
from training.experiments.runs import Run
from training.experiments.statistics import Answers, difference, interval, roc, summarise, wilson

TRUNKS = ["lite0"]


class Mean:
    """Learns a threshold on the mean dark-field inside the sample (without dark-field: on attenuation)."""

    def __init__(self) -> None:
        self.made: list[str] = []
        self._known: dict[tuple[Path, int, int, str], float] = {}

    def __call__(self, run: Run, scans: Scans, split: Split, seed: int, keep: Path) -> Outcome:
        self.made.append(run.name)
        channel = 0 if run.channels in ("attenuation", "no-dark-field") else 2

        def value(index: int) -> float:
            key = (scans.folder, index, channel, run.retrieval)
            if key not in self._known:
                scan = scans.of([index])[0]
                inside = (scan.mask == THREAT) | (scan.mask == BENIGN)
                self._known[key] = float(scan.retrieved(run.retrieval).images[channel, 0][inside].mean())
            return self._known[key]

        known = np.array([value(k) for k in split.train])
        labels = np.array([scans.manifest.scans[k].label for k in split.train])
        low, high = known[labels == 0].mean(), known[labels == 1].mean()
        asked = np.array([value(k) for k in split.test])
        scores = 1 / (1 + np.exp(np.clip(8 * ((low + high) / 2 - asked) / (high - low), -60, 60)))
        return Outcome(scores, "a threshold on a mean", "none", {"accuracy": float("nan")}, 0.25)


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> Scans:
    return tiny_dataset.make(tmp_path_factory.mktemp("data"), scans=24)


def test_an_experiment_is_run_resumed_and_reported(scans: Scans, tmp_path: Path) -> None:
    out = tmp_path / "out"
    trainer = Mean()
    arguments = ["study1", "--data", str(scans.folder), "--out", str(out), "--splits", "2"]
    arguments += ["--only", "dark_field", "--only", "leakage", "--only", "learning", "--shuffled"]
    other = tiny_dataset.make(tmp_path / "other", scans=24, seed=500)
    arguments += ["--second", str(other.folder)]
    assert main(arguments, trainer) == 0
    assert len(trainer.made) == len(set(trainer.made))
    assert trainer.made[0].endswith("split-0")
    assert not any("googlenet" in name for name in trainer.made)
    # Nothing is made twice, and a lost run is made again.
    first = (out / "study1.json").read_bytes()
    assert main(arguments, trainer) == 2
    lost = out / "runs" / f"{trainer.made[-1]}.json"
    lost.unlink()
    before = len(trainer.made)
    assert main([*arguments, "--resume"], trainer) == 0
    assert trainer.made[before:] == [trainer.made[before - 1]]
    data = json.loads((out / "study1.json").read_text())
    assert _timeless(data) == _timeless(json.loads(first))
    rows = {row["label"]: row for row in data["experiments"]["dark_field"]["rows"]}
    assert rows[OURS]["summary"]["accuracy"] == 1.0
    assert rows[OURS]["state"] == "run"
    without = rows[f"{OURS}, without"]
    assert without["summary"]["accuracy"] < 0.9
    assert without["first_minus_this"][0] > 0.1
    leakage = [row["summary"]["accuracy"] for row in data["experiments"]["leakage"]["rows"]]
    assert leakage[:2] == [1.0, 1.0]
    assert leakage[2] < 0.9
    assert [row["state"] for row in data["experiments"]["learning"]["rows"]] == ["run"] * 8
    assert data["experiments"]["augmentation"]["rows"][1]["state"] == "not run"
    assert data["dataset_sha256"] == scans.manifest.sha256
    assert {record["weights"] for record in data["runs"]} == {"none"}
    assert sum(line["tests"] for line in data["coverage"][OURS]) == 16
    page = (out / "study1.html").read_text()
    assert "Nothing was measured" in page
    assert "not run" in page
    assert "Inception-ResNet-v2, 1 FC, hinge" in page
    assert page.count("data:image/png;base64,") >= 3
    assert "http" not in page


def _timeless(data: dict[str, object]) -> dict[str, object]:
    runs = [{k: v for k, v in run.items() if k != "total_s"} for run in data["runs"]]  # type: ignore[attr-defined]
    return data | {"runs": runs}


def test_settings_that_changed_between_runs_are_told(scans: Scans, tmp_path: Path) -> None:
    experiment = plan("study1", "study1", TRUNKS, 2, 16)[1]
    execute(wanted([experiment], ["study1"], []), {"own": scans}, tmp_path, Mean(), 1)
    path = tmp_path / "study1.all.map.split-1.json"
    record = json.loads(path.read_text())
    path.write_text(json.dumps(record | {"settings": "other"}))
    mine, without = rows(experiment, finished(tmp_path))[:2]
    assert mine.state == "settings differ between runs"
    assert without.state == ""
    assert without.lost is not None
    assert np.isnan(without.lost[1])  # one pair is left, and one pair has no interval


def test_runs_of_other_data_or_seeds_are_refused(scans: Scans, tmp_path: Path) -> None:
    runs = wanted(plan("study1", "study1", TRUNKS, 1, 16)[1:2], ["study1"], [])
    execute(runs, {"own": scans}, tmp_path, Mean(), 1)
    with pytest.raises(RunFileError, match="seed is 1, now 2"):
        execute(runs, {"own": scans}, tmp_path, Mean(), 2)
    other = tiny_dataset.make(tmp_path / "other", scans=12, seed=500)
    with pytest.raises(RunFileError, match="dataset_sha256"):
        execute(runs, {"own": other}, tmp_path, Mean(), 1)
    (tmp_path / f"{runs[0].name}.json").write_text("{}")
    with pytest.raises(RunFileError, match="not a finished run"):
        finished(tmp_path)


def test_the_plan_names_every_experiment_of_the_paper() -> None:
    names = {experiment.name for experiment in plan("study1", "study1", TRUNKS, 10, 16)}
    assert names >= {"fig3", "dark_field", "k_fold", "augmentation", "leave_one_out", "retrieval", "bins", "roc"}
    names = {experiment.name for experiment in plan("study2", "study2", TRUNKS, 1, 16)}
    assert names >= {"table1", "supplementary1", "roc", "k_fold", "retrieval", "bins"}
    fig3 = plan("study1", "study1", TRUNKS, 10, 16)[0]
    assert all(len(bar.runs) == 10 for bar in fig3.bars)
    table1 = wanted(plan("study2", "study2", TRUNKS, 1, 16), ["study2"], TRUNKS)
    assert {run.timed for run in table1 if run.preset == "study2" and run.channels == "all" and "0" in run.part} >= {
        True
    }


def test_every_preset_of_the_plan_exists() -> None:
    pytest.importorskip("torch", reason="install darklane[train]")
    from training.experiments.trainer import preset_of
    from training.fit_network.channels import CHANNELS
    from training.fit_network.presets import PRESETS

    for study in ("study1", "study2"):
        for ours in (study, f"{study}-quick"):
            for experiment in plan(study, ours, TRUNKS, 1, 16):
                for bar in experiment.bars:
                    assert {run.preset for run in bar.runs} <= set(PRESETS)
                    assert {run.channels for run in bar.runs} <= set(CHANNELS)
    assert preset_of("study1@77") == replace(PRESETS["study1"], name="study1@77", steps=77)  # type: ignore[arg-type]
    for wrong in ("study1@x", "study1-lite0-fc1-hinge@5"):
        with pytest.raises(ValueError, match="NAME@STEPS"):
            preset_of(wrong)


def test_parts_share_no_scan(scans: Scans) -> None:
    few = part(scans, "some-4")
    assert len(few.train) == 4
    assert set(few.train) < set(part(scans, "some-8").train) < set(part(scans, "split-0").train)
    assert few.test == part(scans, "split-0").test
    for name in ("split-0", "split-2", "fold-3", "without-soap", "some-8"):
        one = part(scans, name)
        assert not set(one.train) & set(one.test)
        seeds = [{scans.manifest.scans[k].seed for k in side} for side in (one.train, one.test)]
        assert not seeds[0] & seeds[1]
    left_out = part(scans, "without-soap")
    assert "soap" not in {scans.manifest.scans[k].material for k in left_out.train}
    assert {scans.manifest.scans[k].label for k in left_out.test} == {0, 1}
    for name, message in (
        ("without-brick", "use one of C4, TNT, soap, sugar"),
        ("whole", "use split-N"),
        ("some-99", "with 16 scans only"),
    ):
        with pytest.raises(ValueError, match=message):
            part(scans, name)


def test_shuffled_labels_end_at_chance(scans: Scans, tmp_path: Path) -> None:
    blind = shuffled(scans, tmp_path / "blind", 3)
    assert blind.labels.sum() == scans.labels.sum()
    blind.verify()
    right = []
    for seed in range(4):
        drawn = shuffled(scans, tmp_path / str(seed), seed)
        split = part(drawn, "split-0")
        outcome = Mean()(Run("study1"), drawn, split, 1, tmp_path)
        right += ((outcome.scores >= 0.5) == (drawn.of(split.test).labels == 1)).tolist()
    assert 0.2 < np.mean(right) < 0.8


def _tested(accuracy: float, count: int, first: int = 0) -> Answers:
    labels = np.arange(count) % 2
    wrong = round(count * (1 - accuracy))
    scores = labels.astype(float)
    scores[:wrong] = 1 - scores[:wrong]
    return Answers(scores, labels, tuple(range(first, first + count)), 2 * count, 1.0)


def test_intervals_are_those_worked_by_hand() -> None:
    # Five runs of 0.9, 1.0, 0.9, 1.0, 0.95: sd 0.05; t(0.975, 4) = 2.776; half = 2.776 · 0.05 · sqrt(1/5 + 1/2).
    runs = [_tested(a, 20) for a in (0.9, 1.0, 0.9, 1.0, 0.95)]
    low, high = interval(runs)
    assert low == pytest.approx(0.95 - 2.7764 * 0.05 * np.sqrt(0.7), abs=1e-4)
    assert high == 1.0
    # Perfect everywhere: Wilson for the 20 scans that were tested, not [1, 1].
    assert interval([_tested(1.0, 20)] * 3) == pytest.approx((0.8389, 1.0), abs=1e-4)
    assert wilson(0.5, 10) == pytest.approx((0.2366, 0.7634), abs=1e-4)
    mean, low, high = difference([_tested(1.0, 20), _tested(1.0, 20)], [_tested(0.9, 20), _tested(0.8, 20)])
    assert mean == pytest.approx(0.15)
    assert low < 0.15 < high
    assert np.isnan(difference([_tested(1.0, 20)], [_tested(0.9, 20)])[1])


def test_curves_count_ties_as_one_step() -> None:
    false, true = roc(np.array([0.9, 0.8, 0.8, 0.1]), np.array([True, True, False, False]))
    np.testing.assert_allclose(false, [0, 0, 0.5, 1])
    np.testing.assert_allclose(true, [0, 0.5, 1, 1])
    made = summarise([Answers(np.array([0.9, 0.8, 0.8, 0.1]), np.array([1, 1, 0, 0]), (0, 1, 2, 3), 8, 1.0)])
    assert made.auc == pytest.approx(0.875)
    assert (made.true_positives, made.false_positives, made.true_negatives, made.false_negatives) == (2, 1, 1, 0)
    assert made.false_positive_rate_all_found == 0.5
    assert made.precision == pytest.approx(2 / 3)
