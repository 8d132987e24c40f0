"""Parse one ALFWorld game file into a frozen `Game` record, the first stop of the fast engine.

A `game.tw-pddl` file is JSON with four keys: `pddl_domain`, `grammar`, `pddl_problem`, `solvable`. All games share one
domain and one grammar apart from the task line, so only the task line and the problem are read here.
"""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from itp.envs.alfworld.game import TASK_TYPES, Game, Goal
from itp.errors import GameFileError

__all__ = ["TASK_TYPES", "Game", "Goal", "demangle", "load_game", "parse_game", "task_id_of"]

_FACT = re.compile(r"\(\s*(\w+)((?:\s+[^()\s]+)*)\s*\)")
_TASK = re.compile(r'"(Your task is to: (?:[^"\\]|\\.)*)"')
_COMMENT = re.compile(r";[^\n]*")
_GOAL_OBJECT = re.compile(r"\(objecttype \?\w+ (\S+?)\)")
_GOAL_RECEPTACLE = re.compile(r"\(receptacletype \?\w+ (\S+?)\)")

Facts = Mapping[str, "list[tuple[str, ...]]"]


def load_game(path: str | Path, task_id: str = "") -> Game:
    """Read and parse one game file.

    Args:
        path: a `game.tw-pddl` file.
        task_id: name of the task; by default its last two folders, "TASKFOLDER/TRIALFOLDER".

    Raises:
        GameFileError: the file is missing, truncated or not a game.
    """
    path = Path(path)
    try:
        data = json.loads(path.read_bytes())
    except OSError as error:
        raise GameFileError(f"{path}: cannot be read ({error.strerror or error}); name a game.tw-pddl file") from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise GameFileError(f"{path}: not valid JSON ({error}); the file is truncated or damaged") from error
    try:
        return parse_game(data, task_id or task_id_of(path))
    except GameFileError as error:
        raise GameFileError(f"{path}: {error.args[0]}") from error


def task_id_of(path: Path) -> str:
    """Task id of a game file: "TASKFOLDER/TRIALFOLDER"."""
    return "/".join(path.absolute().parts[-3:-1])


def parse_game(data: Mapping[str, Any], task_id: str) -> Game:
    """Parse the JSON content of a game file.

    Args:
        data: mapping with at least the keys "grammar" and "pddl_problem".
        task_id: name of the task.

    Raises:
        GameFileError: a key is missing or the problem is not one of the six ALFWorld families.
    """
    if not isinstance(data, Mapping):
        raise GameFileError(f"a JSON object is expected, found {type(data).__name__}")
    for key in ("grammar", "pddl_problem"):
        if not isinstance(data.get(key), str):
            raise GameFileError(f"key {key!r} is missing or not a string; the file is no ALFWorld game")
    # The planner library that reads the problem officially folds case, hence lower-case names in every text.
    problem = _COMMENT.sub("", data["pddl_problem"]).lower()
    init, goal = problem.find("(:init"), problem.find("(:goal")
    if init < 0 or goal < init:
        raise GameFileError("pddl_problem has no (:init ...) followed by (:goal ...)")
    facts: dict[str, list[tuple[str, ...]]] = defaultdict(list)
    for name, arguments in _FACT.findall(problem[init:goal]):
        facts[name].append(tuple(arguments.split()))
    try:
        return _build(task_id, _task_text(data["grammar"]), facts, " ".join(problem[goal:].split()))
    except (KeyError, ValueError, IndexError) as error:
        if isinstance(error, GameFileError):
            raise
        raise GameFileError(f"pddl_problem is inconsistent ({type(error).__name__}: {error})") from error


def _task_text(grammar: str) -> str:
    match = _TASK.search(grammar)
    if not match:
        raise GameFileError('grammar has no "Your task is to: ..." line')
    return json.loads(f'"{match[1]}"').removeprefix("Your task is to: ").strip()


def demangle(ids: Iterable[str]) -> dict[str, str]:
    """Names shown to the player ("sinkbasin 1") for PDDL ids; numbers descend over the sorted ids of a name."""
    kinds = {}
    for entity in sorted(ids):
        kind, bar, _ = entity.partition("_bar_")
        kinds[entity] = (kind + "basin" if "basin" in entity else kind) if bar else None
    left = Counter(kinds.values())
    names = {}
    for entity, kind in kinds.items():
        # An id without "_bar_" gets an empty number, and the official format keeps the blank before it.
        names[entity] = f"{entity} " if kind is None else f"{kind} {left[kind]}"
        left[kind] -= 1
    return names


def _build(task_id: str, task: str, facts: Facts, goal_text: str) -> Game:
    names = demangle({argument for rows in facts.values() for row in rows for argument in row})
    receptacle_ids = sorted({r for r, _ in facts["receptacleatlocation"]})
    object_ids = sorted(
        {o for o, _ in (*facts["objectatlocation"], *facts["objecttype"], *facts["inreceptacle"])}
        | {o for pair in facts["inreceptacleobject"] for o in pair}
    )
    location_ids = sorted(
        {place for name in ("atlocation", "receptacleatlocation", "objectatlocation") for _, place in facts[name]}
    )
    objects = {name: index for index, name in enumerate(object_ids)}
    receptacles = {name: index for index, name in enumerate(receptacle_ids)}
    locations = {name: index for index, name in enumerate(location_ids)}
    if len(facts["atlocation"]) != 1 or len(receptacles) != len(set(facts["receptacleatlocation"])):
        raise GameFileError("the agent and each receptacle need exactly one location in (:init ...)")
    if facts["holds"]:
        raise GameFileError("games that start with an object in hand are not supported")

    of_type = _groups(facts["objecttype"], objects)
    rooms_of_type = _groups(facts["receptacletype"], receptacles)
    contents = _lists(((receptacles[r], objects[o]) for o, r in facts["inreceptacle"]), len(receptacles))
    objects_at = _lists(((locations[place], objects[o]) for o, place in facts["objectatlocation"]), len(locations))
    inner: dict[int, set[int]] = {objects[o]: set() for (o,) in facts["isreceptacleobject"] if o in objects}
    for o, outer in facts["inreceptacleobject"]:
        if objects[outer] in inner:
            inner[objects[outer]].add(objects[o])

    def having(predicate: str) -> frozenset[int]:
        return frozenset(objects[o] for (o,) in facts[predicate] if o in objects)

    def openings(predicate: str) -> frozenset[int]:
        return frozenset(receptacles[r] for (r,) in facts[predicate] if r in receptacles)

    task_type, goal = _goal(goal_text, of_type, rooms_of_type, having)
    return Game(
        task_id=task_id,
        task_type=task_type,
        task=task,
        goal=goal,
        object_names=tuple(names[o] for o in object_ids),
        receptacle_names=tuple(names[r] for r in receptacle_ids),
        location_names=tuple(names[place] for place in location_ids),
        start=locations[facts["atlocation"][0][1]],
        receptacle_location=tuple(locations[place] for _, place in sorted(set(facts["receptacleatlocation"]))),
        contents=contents,
        objects_at=objects_at,
        inner_objects={outer: tuple(sorted(inside)) for outer, inside in inner.items()},
        accepts=_accepts(facts["cancontain"], of_type, rooms_of_type, len(receptacles)),
        openable=openings("openable"),
        pickupable=having("pickupable"),
        cleanable=having("cleanable"),
        heatable=having("heatable"),
        coolable=having("coolable"),
        sliceable=having("sliceable"),
        toggleable=having("toggleable"),
        knives=of_type["knifetype"] | of_type["butterknifetype"],
        # Both domain texts that shipped clean in sinks and sink basins; no shipped game has a receptacle of "sinktype".
        sinks=rooms_of_type["sinkbasintype"] | rooms_of_type["sinktype"],
        microwaves=rooms_of_type["microwavetype"],
        fridges=rooms_of_type["fridgetype"],
        initial={
            "opened": openings("opened"),
            "clean": having("isclean"),
            "hot": having("ishot"),
            "cool": having("iscool"),
            "sliced": having("issliced"),
            "lit": having("istoggled"),
        },
    )


def _groups(pairs: Iterable[tuple[str, ...]], index: Mapping[str, int]) -> defaultdict[str, frozenset[int]]:
    """Members of each PDDL type."""
    members: defaultdict[str, set[int]] = defaultdict(set)
    for name, kind in pairs:
        if name in index:
            members[kind].add(index[name])
    return defaultdict(frozenset, {kind: frozenset(group) for kind, group in members.items()})


def _lists(pairs: Iterable[tuple[int, int]], size: int) -> tuple[tuple[int, ...], ...]:
    """Second members grouped by the first, sorted, without duplicates."""
    groups: list[set[int]] = [set() for _ in range(size)]
    for key, value in pairs:
        groups[key].add(value)
    return tuple(tuple(sorted(group)) for group in groups)


def _accepts(
    pairs: Iterable[tuple[str, ...]], of_type: Mapping[str, frozenset[int]], rooms: Mapping[str, frozenset[int]], n: int
) -> tuple[frozenset[int], ...]:
    accepted: list[frozenset[int]] = [frozenset()] * n
    for room_type, object_type in set(pairs):
        for receptacle in rooms.get(room_type, ()):
            accepted[receptacle] |= of_type.get(object_type, frozenset())
    return tuple(accepted)


def _goal(
    text: str, of_type: Mapping[str, frozenset[int]], rooms: Mapping[str, frozenset[int]], having: Any
) -> tuple[str, Goal]:
    """Recognise which of the six goal formulas `text` is: they differ in the predicates they use."""
    kinds = _GOAL_OBJECT.findall(text)
    places = _GOAL_RECEPTACLE.findall(text)
    states = re.findall(r"\(is(clean|hot|cool|toggled) ", text)
    if "(istoggled " in text and "(holds " in text and len(kinds) == 2:
        lamp = re.search(r"\(istoggled (\?\w+)\)", text)
        lamp_type = re.search(rf"\(objecttype {re.escape(lamp[1])} (\S+?)\)", text) if lamp else None
        if lamp_type:
            held = kinds[1] if kinds[0] == lamp_type[1] else kinds[0]
            lamps = of_type[lamp_type[1]] & having("toggleable")
            return TASK_TYPES[1], Goal(of_type[held], frozenset(), lamps=lamps)
    if len(set(kinds)) == len(set(places)) == 1 and "(inreceptacle " in text:
        objects, receptacles = of_type[kinds[0]], rooms[places[0]]
        if len(kinds) == 2 and not states:
            return TASK_TYPES[5], Goal(objects, receptacles, count=2)
        if len(kinds) == 1 and not states:
            return TASK_TYPES[0], Goal(objects, receptacles)
        if len(kinds) == 1 and len(states) == 1 and states[0] != "toggled":
            number, ability = {"clean": (2, "cleanable"), "hot": (3, "heatable"), "cool": (4, "coolable")}[states[0]]
            able = having(ability) if f"({ability} " in text else objects
            return TASK_TYPES[number], Goal(objects & able, receptacles, state=states[0])
    raise GameFileError(f"the goal is none of the six ALFWorld families: {text[:120]}")
