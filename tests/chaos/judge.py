"""What a run must have shown: the journal against the emulator's truth and against what a subscriber heard.""" ""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from itertools import zip_longest

from edge.messages import Decision, Verdict
from edge.verdict.journal import FILE_NAME
from edge.verdict.journal_reader import JournalReader
from tests.chaos.driver import Run

#: Frames at the two ends of a window that rounding may give to it or not.
FRAME_SLACK = 2
#: A verdict service that was killed is back in this time, s; two kills in a row and a busy machine included.
RESTART_S = 30.0
#: So many bags at least must have come through the storm with a judgement.
JUDGED_SHARE = 0.1


def judge(run: Run) -> tuple[str, list[str]]:
    """The line of counts, and every violation in words."""
    with JournalReader(run.config.state_dir / FILE_NAME) as reader:
        journal, waiting = reader.verdicts(), reader.open_bags()
    wrong = [f"bag {bag_id} has no final verdict" for bag_id in waiting]
    wrong += _one_final_per_bag(run, journal)
    wrong += _same_as_heard(run.heard, journal)
    wrong += _same_as_received(run, journal)
    wrong += _wrong_clears(run, journal)
    wrong += _late(run)
    scripted = sum(mishap.step is not None for mishap in run.storm.mishaps.values())
    if run.played != scripted:
        wrong.append(f"{run.played} of {scripted} faults of the scanner were played")
    judged = sum(verdict.final and verdict.decision is not Decision.UNKNOWN for verdict in journal)
    if judged < JUDGED_SHARE * run.storm.bags:
        wrong.append(f"only {judged} bags were judged: the lane does not recover")
    return _line(run, journal, wrong), wrong


def _one_final_per_bag(run: Run, journal: list[Verdict]) -> list[str]:
    wrong = []
    finals = Counter(verdict.bag_id for verdict in journal if verdict.final)
    wrong += [f"bag {bag_id} has {count} final verdicts" for bag_id, count in finals.items() if count != 1]
    tags = Counter(verdict.bag_tag for verdict in journal if verdict.final)
    scanned = {line["tag"] for line in run.truth}
    for bag in range(1, run.storm.bags + 1):
        tag = run.storm.tag(bag)
        if tag not in scanned:
            wrong.append(f"{tag} was never put on the belt")
        elif tags[tag] != 1:
            wrong.append(f"{tag} has {tags[tag]} final verdicts")
    known = {run.storm.tag(bag) for bag in range(1, run.storm.bags + 1)}
    for verdict in journal:
        if verdict.final and verdict.bag_tag not in known and verdict.decision is not Decision.UNKNOWN:
            wrong.append(f"{verdict.bag_id}, which nobody put on the belt, is {verdict.decision.value}")
    return wrong


def _same_as_received(run: Run, journal: list[Verdict]) -> list[str]:
    """A client that behaves well has every verdict of the journal once, in order, and never had to do without."""
    wrong = [f"the client was told: {item}" for item in run.client if not isinstance(item, Verdict)]
    received = [item for item in run.client if isinstance(item, Verdict)]
    # A supplement may still come while the lane is being stopped, when nobody listens any more.
    until = max([run.until_seq, *(verdict.seq for verdict in received[-1:])])
    for ours, theirs in zip_longest([verdict for verdict in journal if verdict.seq <= until], received):
        if ours != theirs:
            return [*wrong, f"journal and client part at {ours and ours.seq}: {ours!r} and {theirs!r}"]
    return wrong


def _same_as_heard(heard: list[Verdict], journal: list[Verdict]) -> list[str]:
    """What was published is what was journaled; repeats after a restart are the same verdict again."""
    wrong = []
    by_seq: dict[int, Verdict] = {}
    for verdict in heard:
        if by_seq.setdefault(verdict.seq, verdict) != verdict:
            wrong.append(f"verdict {verdict.seq} was published with two contents")
    for verdict in journal:
        told = by_seq.pop(verdict.seq, verdict)
        if told != verdict:
            wrong.append(f"verdict {verdict.seq}: published {told}, journaled {verdict}")
    wrong += [f"verdict {seq} of {v.bag_id} was published but is not in the journal" for seq, v in by_seq.items()]
    if [verdict.seq for verdict in journal] != list(range(1, len(journal) + 1)):
        wrong.append("the journal's sequence has gaps")
    return wrong


def _wrong_clears(run: Run, journal: list[Verdict]) -> list[str]:
    """A CLEAR needs every frame of the bag, and a bag that nothing harmful has hit."""
    wrong = []
    truth = {line["tag"]: line for line in run.truth}
    harmed = {run.storm.tag(bag): harm for bag in run.storm.mishaps if (harm := run.storm.harm(bag))}
    said: defaultdict[str, list[Verdict]] = defaultdict(list)
    for verdict in journal:
        said[verdict.bag_tag].append(verdict)
    for tag, line in truth.items():
        for verdict in said[tag]:
            if verdict.decision is not Decision.CLEAR or not verdict.final:
                continue
            if tag in harmed:
                wrong.append(f"{tag} is CLEAR, although {harmed[tag]} hit it")
            missing = frames_needed(run, line) - verdict.frames
            if missing > 0 or verdict.lost_frames:
                wrong.append(f"{tag} is CLEAR, although {missing} frames are missing")
            length = verdict.encoder_window[1] - verdict.encoder_window[0]
            if length != line["exit_encoder"] - line["entry_encoder"]:
                wrong.append(f"{tag} is CLEAR as a bag of {length} counts")
    return wrong


def _late(run: Run) -> list[str]:
    """A deadline holds whatever the wall clock does; a service that is killed has to come back first."""
    most_s = run.config.verdict.deadline_s + RESTART_S
    return [f"bag {bag_id} waited {s:.0f} s for its verdict" for bag_id, s in run.waited.items() if s > most_s]


def threats(run: Run, journal: list[Verdict]) -> str:
    """What the storm made of bags that alarm when nothing disturbs them: in words and numbers."""
    finals = {verdict.bag_tag: verdict for verdict in journal if verdict.final}
    alarming = {
        run.storm.threat(bag)
        for bag in range(1, run.storm.calm + 1)
        if (calm := finals.get(run.storm.tag(bag))) is not None and calm.decision is Decision.ALARM
    }
    said: Counter[str] = Counter()
    unseen = 0
    truth = {line["tag"]: line for line in run.truth}
    for bag in range(run.storm.calm + 1, run.storm.bags + 1):
        verdict = finals.get(run.storm.tag(bag))
        if verdict is None or run.storm.threat(bag) not in alarming:
            continue
        said[verdict.decision.value] += 1
        if verdict.decision is Decision.CLEAR:
            missing = frames_needed(run, truth[verdict.bag_tag]) - verdict.frames
            unseen += missing > 0 or verdict.lost_frames > 0 or bool(run.storm.harm(bag))
    return (
        f"{len(alarming)} of {run.storm.calm} threats alarm undisturbed; of {said.total()} such bags in the storm "
        f"{said['ALARM']} ALARM, {said['UNKNOWN']} UNKNOWN, {said['CLEAR']} CLEAR, {unseen} CLEAR with incomplete data"
    )


def frames_needed(run: Run, line: dict[str, float]) -> int:
    """Fewest frames in which a bag of this length is seen whole, with the air on both sides, by every column."""
    scanner = run.config.scanner
    offsets = scanner.column_offsets_um()
    lead_um = run.config.belt.lead_air_mm * 1e3
    window_um = line["u_to_um"] - line["u_from_um"] + 2 * lead_um + max(offsets) - min(offsets)
    return math.floor(window_um / scanner.step_um) - FRAME_SLACK


def _line(run: Run, journal: list[Verdict], wrong: list[str]) -> str:
    finals = Counter(verdict.decision.value for verdict in journal if verdict.final)
    reasons = Counter(verdict.reason.value for verdict in journal if verdict.final and verdict.reason)
    done = Counter(run.done)
    done["wall clock steps"] += 0
    for mishap in run.storm.mishaps.values():
        done[mishap.counted] += 1
    received = sum(isinstance(item, Verdict) for item in run.client)
    strangers = sum(1 for v in journal if v.final and not v.bag_tag)
    parts = [
        f"chaos seed {run.storm.seed}: {run.storm.bags} bags, {sum(finals.values()) - strangers} final verdicts",
        ", ".join(f"{count} {name}" for name, count in sorted(done.items()))
        + (f" ({run.clock_missing})" if run.clock_missing else ""),
        ", ".join(f"{finals[name]} {name}" for name in ("CLEAR", "ALARM", "UNKNOWN")),
        "UNKNOWN for " + ", ".join(f"{name} {count}" for name, count in reasons.most_common()),
        threats(run, journal),
        f"longest from entry to verdict {max(run.waited.values(), default=0.0):.1f} s",
        f"{strangers} pieces of bags that entered unseen, {sum(not v.final for v in journal)} supplements",
        f"{len(journal)} verdicts journaled, {received} received by a client",
        f"{len(wrong)} violations, {run.seconds:.0f} s",
    ]
    return "; ".join(parts)
