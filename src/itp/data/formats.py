"""Readers of the authors' data formats: JSON records in, trajectories out. `itp data convert` and the authors' commands
read through them; docs/authors-commands.md shows each format.

    expert        {"episode_id", "step", "state", "action", "next_state"}: the rows of an episode become one trajectory
    world-model   {"state", "action", "next_state"}: every row is a trajectory of one step
    eto           {"conversations": [{"from": "human" | "gpt", "value": ...}, ...]}: one trajectory, every action expert
    itp           our own trajectories, as `itp collect` writes them

A file is JSON Lines, or one JSON list. State texts are taken apart by `itp.data.state_texts`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from itp.data.records import Record, is_conversation, read_records
from itp.data.state_texts import read_action, read_state, same
from itp.errors import ConfigError, DataError
from itp.types import Decision, Step, StopReason, Task, Trajectory

FORMATS = ("expert", "world-model", "eto", "itp")
KEYS = {
    "expert": ("episode_id", "step", "state", "action", "next_state"),
    "world-model": ("state", "action", "next_state"),
    "eto": ("conversations",),
    "itp": ("schema_version", "task", "steps"),
}
_PEOPLE = {"human": "human", "user": "human", "gpt": "gpt", "assistant": "gpt", "system": "system"}


def format_of(record: Record) -> str:
    """Which of `FORMATS` a record follows. Raises ConfigError when it follows none."""
    value = record.value
    if is_conversation(value):
        return "eto"
    if isinstance(value, Mapping):
        if "episode_id" in value and "state" in value:
            return "expert"
        for name in ("eto", "itp", "world-model"):
            if all(key in value for key in KEYS[name]):
                return name
    shown = f"keys {', '.join(map(str, value))}" if isinstance(value, Mapping) else f"a {type(value).__name__}"
    known = "; ".join(f"{name}: {', '.join(keys)}" for name, keys in KEYS.items())
    raise ConfigError(f"{record.where} follows no known format ({shown}); known are {known}")


def read_trajectories(path: Path, form: str = "auto", *, expert: bool = False) -> Iterator[Trajectory]:
    """The trajectories of a file.

    Args:
        path: file in one of `FORMATS`.
        form: its format; "auto" goes by the first record.
        expert: an expert acted in rows of the world-model format too, which do not say so.

    Raises:
        ConfigError: a record does not follow the format; the message names file, line and what is missing.
        DataError: the file is missing or empty.
    """
    records = read_records(path)
    first = next(records, None)
    if first is None:
        raise DataError(f"{path} is an empty list: there is nothing to read")
    name = format_of(first) if form == "auto" else form
    every = _chain(first, records)
    if name == "expert":
        yield from _from_expert(every, path.stem)
    elif name == "world-model":
        yield from (_from_row(r, f"{path.stem}/{n}", expert) for n, r in enumerate(every, start=1))
    elif name == "eto":
        yield from _from_conversations(every, path.stem)
    else:
        yield from map(_from_ours, every)


def _from_expert(records: Iterable[Record], prefix: str) -> Iterator[Trajectory]:
    episodes: dict[str, dict[int, Record]] = {}
    for record in records:
        for key in KEYS["expert"]:
            if key not in record.fields:
                raise ConfigError(
                    f"{record.where}: key {key!r} is missing; an expert row has {', '.join(KEYS['expert'])}"
                )
        step = record.fields["step"]
        if not isinstance(step, int):
            raise ConfigError(f"{record.where}: step is {step!r}, expected a whole number")
        rows = episodes.setdefault(str(record.fields["episode_id"]), {})
        if step in rows:
            raise ConfigError(f"{record.where}: step {step} of this episode is given before, at {rows[step].where}")
        rows[step] = record
    for episode, rows in episodes.items():
        ordered = [rows[step] for step in sorted(rows)]
        yield from _linked(ordered, f"{prefix}/{episode}")


def _linked(rows: Sequence[Record], name: str) -> Iterator[Trajectory]:
    """One trajectory for each stretch of rows in which every state is the next_state of the row before."""
    goal, start = read_state(rows[0].text("state")).task, 0
    for end in range(1, len(rows) + 1):
        if end < len(rows) and same(rows[end].text("state"), rows[end - 1].text("next_state")):
            continue
        stretch = rows[start:end]
        first = read_state(stretch[0].text("state"))
        steps = tuple(_step(row.text("action"), row.text("next_state"), expert=True) for row in stretch)
        # The last stretch is taken to reach the goal: these are demonstrations.
        stop = StopReason.WON if end == len(rows) else StopReason.STEP_LIMIT
        task = Task(name if start == 0 else f"{name}#{start}", first.task or goal)
        yield Trajectory(task, first.told, steps, stop)
        start = end


def _from_row(record: Record, name: str, expert: bool) -> Trajectory:
    first = read_state(record.text("state"))
    expert = expert or record.fields.get("traj_type") == "expert"
    step = _step(record.text("action"), record.text("next_state"), expert=expert)
    return Trajectory(Task(name, first.task), first.told, (step,), StopReason.STEP_LIMIT)


def _step(action: str, next_state: str, *, expert: bool) -> Step:
    command, thought = read_action(action)
    command = " ".join((command or action).split())
    decision = Decision(command, thought=thought, raw_text=action if thought else "", parse="expert" if expert else "")
    return Step(decision, read_state(next_state).observation, expert_action=command if expert else "")


def _from_conversations(records: Iterable[Record], prefix: str) -> Iterator[Trajectory]:
    seen: dict[str, int] = {}
    for number, record in enumerate(records, start=1):
        given = {"conversations": record.value} if is_conversation(record.value) else record.fields
        if not isinstance(given.get("conversations"), list):
            raise ConfigError(f"{record.where}: key 'conversations' is missing, or no list of turns")
        name = str(given.get("id", number))
        seen[name] = seen.get(name, 0) + 1
        name = f"{prefix}/{name}" + (f"#{seen[name]}" if seen[name] > 1 else "")
        turns = _turns(given["conversations"], record.where)
        yield _from_turns(turns, record.where, name, won=given.get("reward", 1) == 1)


def _from_turns(turns: Iterable[tuple[str, str]], where: str, name: str, *, won: bool) -> Trajectory:
    """An episode: what humans say is observed, what gpt says is done. Talk before the first action is left out."""
    pairs: list[tuple[str, str]] = []
    opening = heard = ""
    for person, text in turns:
        if person == "human":
            heard = f"{heard}\n{text}".strip()
        elif person == "gpt" and not pairs and not read_action(text)[0]:
            heard = ""  # "OK" to the instructions: the game begins after it
        elif person == "gpt":
            if pairs:
                pairs[-1] = (pairs[-1][0], heard)
            else:
                opening = heard
            pairs.append((text, ""))
            heard = ""
    if not pairs:
        raise ConfigError(f"{where}: no gpt turn has an 'Action: ...' line")
    pairs[-1] = (pairs[-1][0], heard)
    first = read_state(opening)
    steps = tuple(_step(action, observation, expert=True) for action, observation in pairs)
    return Trajectory(Task(name, first.task), first.told, steps, StopReason.WON if won else StopReason.STEP_LIMIT)


def _turns(turns: Sequence[object], origin: str) -> Iterator[tuple[str, str]]:
    for number, turn in enumerate(turns, start=1):
        where = f"{origin}, turn {number}"
        if not isinstance(turn, Mapping):
            raise ConfigError(f"{where}: a {type(turn).__name__}, expected an object with from and value")
        person, text = turn.get("from", turn.get("role")), turn.get("value", turn.get("content"))
        if person not in _PEOPLE:
            raise ConfigError(f"{where}: from is {person!r}, expected one of {', '.join(_PEOPLE)}")
        if not isinstance(text, str):
            raise ConfigError(f"{where}: key 'value' is missing, or no text")
        yield _PEOPLE[person], text


def _from_ours(record: Record) -> Trajectory:
    from itp.trace.schema import TraceFormatError, trajectory_from_dict

    try:
        return trajectory_from_dict(record.fields)
    except TraceFormatError as error:
        raise ConfigError(f"{record.where} is no trajectory: {error}") from error


def _chain(first: Record, rest: Iterator[Record]) -> Iterator[Record]:
    yield first
    yield from rest
