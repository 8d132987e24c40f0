"""Writes a layout and a goal as a game: the JSON of an official `game.tw-pddl` file, and its `traj_data.json`.

Fourth stage of the household generator. The domain and grammar texts are our own, read once from `resources/`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import cache
from importlib import resources
from typing import Any

from itp.envs.household.catalog import OBJECTS, can_contain
from itp.envs.household.goals import LAMP, Goal
from itp.envs.household.layout import Layout

_NAMED_IN_DOMAIN = ("SinkBasin", "Microwave", "Fridge"), ("Knife", "ButterKnife")
"""Receptacle and object kinds that the domain mentions by name: every problem declares them."""


def game_data(layout: Layout, goal: Goal) -> dict[str, Any]:
    """The content of `game.tw-pddl`: keys pddl_domain, grammar, pddl_problem, solvable."""
    return {
        "pddl_domain": _resource("household.pddl"),
        # The place holder stands in a JSON string inside the grammar.
        "grammar": _resource("household.twl2").replace("UNKNOWN GOAL.", json.dumps(goal.text)[1:-1]),
        "pddl_problem": problem_text(layout, goal),
        "solvable": True,
    }


def traj_data(layout: Layout, goal: Goal, task_id: str, seed: int) -> dict[str, Any]:
    """A slim `traj_data.json`: what ALFWorld's loader and its experts read of it."""
    return {
        "task_id": task_id,
        "task_type": goal.family.name,
        "pddl_params": {
            "object_target": goal.target,
            "parent_target": "" if goal.is_look else goal.destination,
            "toggle_target": goal.destination if goal.is_look else "",
            "mrecep_target": "",
            "object_sliced": False,
        },
        "scene": {"floor_plan": f"Household-{layout.room}", "random_seed": seed},
        "turk_annotations": {"anns": [{"task_desc": goal.text}]},
    }


def problem_text(layout: Layout, goal: Goal) -> str:
    """The PDDL problem: entities, initial facts and goal, one per line as in the official files."""
    return "\n".join(
        [
            "(define (problem household)",
            "(:domain alfred)",
            "(:objects",
            *(f"        {line}" for line in _entities(layout)),
            "        )",
            "(:init",
            *(f"        ({' '.join(fact)})" for fact in _facts(layout)),
            "        )",
            f"(:goal (and {_goal_formula(goal)}))",
            ")",
            "",
        ]
    )


@cache
def _resource(name: str) -> str:
    return resources.files("itp.envs.household").joinpath("resources", name).read_text(encoding="utf-8")


def _kinds(names: Iterable[str], always: Iterable[str]) -> list[str]:
    return sorted({*names, *always})


def _entities(layout: Layout) -> list[str]:
    receptacle_kinds = _kinds((place.kind for place in layout.places), _NAMED_IN_DOMAIN[0])
    object_kinds = _kinds((thing.kind for thing in layout.things), _NAMED_IN_DOMAIN[1])
    locations = sorted({layout.start, *(place.location for place in layout.places)})
    return [
        "agent1 - agent",
        *(f"{kind}Type - otype" for kind in object_kinds),
        *(f"{kind}Type - rtype" for kind in receptacle_kinds),
        *(f"{thing.id} - object" for thing in layout.things),
        *(f"{place.id} - receptacle" for place in layout.places),
        *(f"{location} - location" for location in locations),
    ]


def _facts(layout: Layout) -> list[tuple[str, ...]]:
    receptacle_kinds = _kinds((place.kind for place in layout.places), ())
    object_kinds = _kinds((thing.kind for thing in layout.things), ())
    return [
        *(("receptacleType", place.id, f"{place.kind}Type") for place in layout.places),
        *(("objectType", thing.id, f"{thing.kind}Type") for thing in layout.things),
        *(
            ("canContain", f"{receptacle}Type", f"{thing}Type")
            for receptacle in receptacle_kinds
            for thing in object_kinds
            if can_contain(receptacle, thing)
        ),
        *(("openable", place.id) for place in layout.places if place.openable),
        ("atLocation", "agent1", layout.start),
        *((trait, thing.id) for thing in layout.things for trait in (*OBJECTS[thing.kind].traits, *thing.states)),
        *(("inReceptacle", thing.id, thing.place.id) for thing in layout.things),
        *(("receptacleAtLocation", place.id, place.location) for place in layout.places),
        *(("objectAtLocation", thing.id, thing.place.location) for thing in layout.things),
    ]


_STATES = {"clean": "isClean", "heat": "isHot", "cool": "isCool"}


def _goal_formula(goal: Goal) -> str:
    """The goal as PDDL; its shape and predicates are those of the official files, by which readers tell families."""
    kind, where = f"{goal.target}Type", f"(receptacleType ?r {goal.destination}Type)"
    if goal.is_look:
        lamp = (
            f"(objectType ?ot {LAMP}Type) (toggleable ?ot) (isToggled ?ot) "
            "(receptacleAtLocation ?r ?l) (atLocation ?a ?l) (inReceptacle ?ot ?r)"
        )
        return (
            f"(exists (?ot - object ?r - receptacle ?a - agent ?l - location) (and {lamp})) "
            f"(exists (?o - object ?a - agent) (and (objectType ?o {kind}) (holds ?a ?o)))"
        )
    if goal.family.copies == 2:
        second = f"(not (= ?o1 ?o2)) (objectType ?o2 {kind}) {where} (inReceptacle ?o2 ?r)"
        return (
            f"(exists (?r - receptacle) (exists (?o1 - object) (and (objectType ?o1 {kind}) {where} "
            f"(inReceptacle ?o1 ?r) (exists (?o2 - object) (and {second})))))"
        )
    changed = f"({goal.family.trait} ?o) ({_STATES[goal.family.verb]} ?o) " if goal.family.verb else ""
    placed = f"(objectType ?o {kind}) {where} (inReceptacle ?o ?r)"
    return f"(exists (?r - receptacle) (exists (?o - object) (and {changed}{placed})))"
