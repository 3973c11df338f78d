"""The emulated scanner as a process, met only through its socket, its serial lines and its files."""

import os
import signal
import time
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest

from firmware_bridge.belt import BeltController
from firmware_bridge.detector import Frame
from firmware_bridge.emulator.lane_file import read
from firmware_bridge.motion import EspAxis
from tests.firmware_bridge.scanner_process import Launch, launcher, refused


@pytest.fixture
def launch(tmp_path: Path) -> Launch:
    return launcher(tmp_path)


def mean_near(frames: list[Frame], u_um: float, lane: Path) -> float:
    """Mean counts of the low bin where a column of the detector sees belt coordinate ``u_um``."""
    scanner = read(lane).scanner
    offsets = np.array(scanner.column_offsets_um())
    values = []
    for f in frames:
        s = 0.5 * (f.encoder_start + f.encoder_stop) * scanner.encoder_um
        sees = np.abs(s - offsets - u_um) < scanner.step_um
        if sees.any():
            values.append(f.counts[0][:, sees].mean())
    assert values
    return float(np.mean(values))


def test_two_bags_from_end_to_end(launch: Launch) -> None:
    items = [{"kind": "phone", "seed": 3, "tag": "first"}, {"kind": "empty", "seed": 4, "tag": "second"}]
    with launch(items) as scanner, ExitStack() as stack:
        lane = scanner.folder / "lane.toml"
        air: list[Frame] = []
        while len(air) < 60:
            air += scanner.stream.receive(1.0)
        assert {f.encoder_start for f in air} == {f.encoder_stop for f in air} == {0}, "the belt stands until START"
        assert air[0].thresholds_ev == (20_000, 40_000)

        axis = stack.enter_context(EspAxis(scanner.folder / "dev" / "esp-1", 1))
        axis.move_to_um(38.0)
        shifted = [f for f in scanner.stream.receive(0.3) if f.t_ns > 0]
        until = time.time_ns()
        while not shifted or shifted[-1].t_ns < until + 50_000_000:
            shifted += scanner.stream.receive(1.0)
        off_peak = np.mean([f.counts[0].mean() for f in shifted if f.t_ns > until])
        on_peak = np.mean([f.counts[0].mean() for f in air])
        assert abs(off_peak - on_peak) > 0.1 * on_peak, "the mask changes what the detector sees"
        axis.move_to_um(-5.0)

        belt = stack.enter_context(BeltController(scanner.folder / "dev" / "belt"))
        belt.start_belt()
        seen = scanner.run_to_end(belt)
        truth = scanner.truth()

    numbers = [f.number for f in seen.frames]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    assert seen.stats is not None
    assert (seen.stats.lost_frames, seen.stats.kernel_drops, seen.stats.rejected) == (0, 0, 0)
    for before, after in zip(seen.frames, seen.frames[1:], strict=False):
        assert after.encoder_start == before.encoder_stop
    assert seen.frames[-1].encoder_stop > truth[-1]["exit_encoder"]

    assert [(e.kind, e.tag, e.seq) for e in seen.events] == [
        ("bag_entry", "first", 1),
        ("bag_exit", "", 2),
        ("bag_entry", "second", 3),
        ("bag_exit", "", 4),
    ]
    barrier_um = read_barrier_um(lane)
    for line, (entry, leave) in zip(truth, zip(seen.events[::2], seen.events[1::2], strict=True), strict=True):
        assert line["simulated"] is True
        assert (line["entry_encoder"], line["exit_encoder"]) == (entry.encoder, leave.encoder)
        assert entry.encoder + barrier_um == pytest.approx(line["u_from_um"], abs=0.5)
        assert leave.encoder + barrier_um == pytest.approx(line["u_to_um"], abs=0.5)
    assert [(line["tag"], line["kind"], line["seed"]) for line in truth] == [
        ("first", "phone", 3),
        ("second", "empty", 4),
    ]

    first = truth[0]
    inside = mean_near(seen.frames, 0.5 * (first["u_from_um"] + first["u_to_um"]), lane)
    before = mean_near(seen.frames, first["u_from_um"] - 8_000, lane)
    assert inside < 0.8 * before, "the phone absorbs where its truth says it lies"
    assert not (scanner.folder / "dev" / "belt").exists()


def read_barrier_um(lane: Path) -> float:
    scanner = read(lane).scanner
    assert scanner.encoder_um == 1.0
    return scanner.barrier_to_beam_mm * 1e3


def test_faults_stay_with_their_bag(launch: Launch) -> None:
    items = [
        {"kind": "phone", "seed": 1, "tag": "lossy", "faults": {"packet_loss": 0.2, "duplicate": 0.1, "reorder": 0.2}},
        {"kind": "phone", "seed": 2, "tag": "cut", "faults": {"truncate_at_mm": 20.0}},
        {"kind": "empty", "seed": 3, "tag": "fine"},
    ]
    with launch(items) as scanner:
        with BeltController(scanner.folder / "dev" / "belt") as belt:
            belt.start_belt()
            seen = scanner.run_to_end(belt)
        lossy, cut, fine = scanner.truth()
    present = {f.number: f for f in seen.frames}
    first, last = seen.frames[0].number, seen.frames[-1].number
    missing = sorted(set(range(first, last + 1)) - set(present))
    assert missing
    assert seen.stats is not None
    assert seen.stats.lost_frames == len(missing)

    # The belt never stops during the plan: travel follows from the number.
    moving = [f for f in seen.frames if f.encoder_stop > f.encoder_start]
    step = (moving[-1].encoder_stop - moving[0].encoder_start) / (moving[-1].number - moving[0].number + 1)
    travel = np.array([moving[0].encoder_start + (n - moving[0].number) * step for n in missing])
    span_um = max(read(scanner.folder / "lane.toml").scanner.column_offsets_um()) + 2 * step
    in_lossy = (travel > lossy["u_from_um"] - 2 * step) & (travel < lossy["u_to_um"] + span_um)
    in_cut = (travel > cut["u_from_um"] + 20_000 - 2 * step) & (travel < cut["u_to_um"] + span_um)
    assert in_lossy.any()
    assert in_cut.sum() > 50, "silent to the end of the bag"
    assert (in_lossy | in_cut).all(), "frames of air and of the other bags are untouched"
    assert fine["tag"] == "fine"


def test_sigterm_ends_it_and_the_axis_keeps_its_place(launch: Launch) -> None:
    with launch([]) as scanner:
        with EspAxis(scanner.folder / "dev" / "esp-1", 1) as axis:
            axis.move_to_um(21.5)
        os.kill(scanner.process.pid, signal.SIGTERM)
        assert scanner.process.wait(10) == 0
        assert sorted(p.name for p in (scanner.folder / "dev").iterdir()) == ["positions.json"]
    with launch([]) as scanner, EspAxis(scanner.folder / "dev" / "esp-1", 1) as axis:
        assert axis.position_um() == pytest.approx(21.5)


def test_it_ends_with_whoever_started_it_and_leaves_its_devices_to_the_next_one(launch: Launch) -> None:
    with ExitStack() as stack:
        stdin, hold = os.pipe()
        stack.callback(os.close, stdin)
        with launch([], "--while-stdin", stdin=stdin) as scanner:
            with EspAxis(scanner.folder / "dev" / "esp-1", 1) as axis:
                axis.move_to_um(-7.25)
            os.close(hold)
            # A second one may be started at once: it waits for the first.
            with launch([], stdin=stdin) as second:
                assert scanner.process.wait(20) == 0
                with EspAxis(second.folder / "dev" / "esp-1", 1) as axis:
                    assert axis.position_um() == pytest.approx(-7.25)


@pytest.mark.parametrize(
    ("lane", "plan", "words"),
    [
        ("[scanner]\nframe_rate_hz = -1\n", "{}", "frame_rate_hz = -1"),
        ("[emulator]\nspeeed = 2\n", "{}", "speeed"),
        ("", '{"items": [{"kind": "ufo"}]}', "items.0.kind = 'ufo'"),
    ],
)
def test_bad_files_are_named(tmp_path: Path, lane: str, plan: str, words: str) -> None:
    (tmp_path / "lane.toml").write_text(lane)
    code, said = refused(tmp_path, plan, "--config", str(tmp_path / "lane.toml"))
    assert code == 2
    assert words in said
