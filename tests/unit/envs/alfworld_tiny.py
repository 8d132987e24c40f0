"""A hand-written game for the ALFWorld tests: one kitchen with every oddity of the shipped games.

The counter top and the drawer share a location; the mug stands on the counter and on the shelf at once; the plate's
location is not its receptacle's; a bowl holds an egg; the apple starts cool.
"""

from __future__ import annotations

from typing import Any

from itp.envs.alfworld.engine import FastGame
from itp.envs.alfworld.problem import Game, parse_game

INIT = """
    (atLocation agent1 loc_bar_0)
    (receptacleType CounterTop_bar_1 CounterTopType) (receptacleAtLocation CounterTop_bar_1 loc_bar_1)
    (receptacleType Drawer_bar_1 DrawerType) (receptacleAtLocation Drawer_bar_1 loc_bar_1) (openable Drawer_bar_1)
    (receptacleType Drawer_bar_2 DrawerType) (receptacleAtLocation Drawer_bar_2 loc_bar_2) (openable Drawer_bar_2)
    (receptacleType Fridge_bar_1 FridgeType) (receptacleAtLocation Fridge_bar_1 loc_bar_3) (openable Fridge_bar_1)
    (receptacleType Microwave_bar_1 MicrowaveType) (receptacleAtLocation Microwave_bar_1 loc_bar_4)
    (openable Microwave_bar_1)
    (receptacleType Shelf_bar_1 ShelfType) (receptacleAtLocation Shelf_bar_1 loc_bar_5)
    (receptacleType Sink_bar_1_bar_SinkBasin SinkBasinType) (receptacleAtLocation Sink_bar_1_bar_SinkBasin loc_bar_6)
    (objectType Apple_bar_1 AppleType) (inReceptacle Apple_bar_1 CounterTop_bar_1)
    (objectAtLocation Apple_bar_1 loc_bar_1) (pickupable Apple_bar_1) (sliceable Apple_bar_1) (heatable Apple_bar_1)
    (coolable Apple_bar_1) (cleanable Apple_bar_1) (isCool Apple_bar_1)
    (objectType Apple_bar_2 AppleType) (inReceptacle Apple_bar_2 Drawer_bar_2)
    (objectAtLocation Apple_bar_2 loc_bar_2) (pickupable Apple_bar_2) (sliceable Apple_bar_2) (heatable Apple_bar_2)
    (coolable Apple_bar_2) (cleanable Apple_bar_2)
    (objectType Bowl_bar_1 BowlType) (inReceptacle Bowl_bar_1 Shelf_bar_1) (objectAtLocation Bowl_bar_1 loc_bar_5)
    (pickupable Bowl_bar_1) (isReceptacleObject Bowl_bar_1) (inReceptacleObject Egg_bar_1 Bowl_bar_1)
    (objectType Egg_bar_1 EggType) (inReceptacle Egg_bar_1 Shelf_bar_1) (objectAtLocation Egg_bar_1 loc_bar_5)
    (pickupable Egg_bar_1)
    (objectType Knife_bar_1 KnifeType) (inReceptacle Knife_bar_1 CounterTop_bar_1)
    (objectAtLocation Knife_bar_1 loc_bar_1) (pickupable Knife_bar_1)
    (objectType DeskLamp_bar_1 DeskLampType) (inReceptacle DeskLamp_bar_1 CounterTop_bar_1)
    (objectAtLocation DeskLamp_bar_1 loc_bar_1) (toggleable DeskLamp_bar_1)
    (objectType Mug_bar_1 MugType) (inReceptacle Mug_bar_1 CounterTop_bar_1) (inReceptacle Mug_bar_1 Shelf_bar_1)
    (objectAtLocation Mug_bar_1 loc_bar_1) (pickupable Mug_bar_1)
    (objectType Plate_bar_1 PlateType) (inReceptacle Plate_bar_1 Drawer_bar_1) (objectAtLocation Plate_bar_1 loc_bar_5)
    (pickupable Plate_bar_1)
    (objectType Window_bar_1 WindowType) (objectAtLocation Window_bar_1 loc_bar_5)
    (canContain CounterTopType AppleType) (canContain CounterTopType MugType) (canContain CounterTopType KnifeType)
    (canContain DrawerType AppleType) (canContain DrawerType MugType) (canContain DrawerType KnifeType)
    (canContain FridgeType AppleType) (canContain ShelfType MugType) (canContain ShelfType AppleType)
"""

_SIMPLE = """(exists (?r - receptacle) (exists (?o - object) (and {extra} (inReceptacle ?o ?r)
    (objectType ?o {thing}Type) (receptacleType ?r {place}Type))))"""
GOALS = {
    "pick_and_place_simple": _SIMPLE.format(extra="", thing="Mug", place="Drawer"),
    "pick_clean_then_place_in_recep": _SIMPLE.format(extra="(cleanable ?o) (isClean ?o)", thing="Apple", place="Shelf"),
    "pick_heat_then_place_in_recep": _SIMPLE.format(extra="(heatable ?o) (isHot ?o)", thing="Apple", place="Shelf"),
    "pick_cool_then_place_in_recep": _SIMPLE.format(extra="(coolable ?o) (isCool ?o)", thing="Apple", place="Shelf"),
    "pick_two_obj_and_place": """(exists (?r - receptacle) (exists (?o1 - object) (and (objectType ?o1 AppleType)
        (receptacleType ?r ShelfType) (inReceptacle ?o1 ?r) (exists (?o2 - object) (and (not (= ?o1 ?o2))
        (objectType ?o2 AppleType) (receptacleType ?r ShelfType) (inReceptacle ?o2 ?r))))))""",
    "look_at_obj_in_light": """(exists (?ot - object ?r - receptacle ?a - agent ?l - location) (and
        (objectType ?ot DeskLampType) (toggleable ?ot) (isToggled ?ot) (receptacleAtLocation ?r ?l) (atLocation ?a ?l)
        (inReceptacle ?ot ?r))) (exists (?o - object ?a - agent) (and (objectType ?o MugType) (holds ?a ?o)))""",
}


def tiny_data(family: str = "pick_and_place_simple", init: str = INIT) -> dict[str, Any]:
    """Content of a game file whose goal belongs to `family`."""
    return {
        "pddl_domain": "",
        "grammar": '"task": [ { "rhs": "Your task is to: tidy up." } ]',
        "pddl_problem": f"(define (problem tiny) (:objects) (:init {init}) (:goal (and {GOALS[family]})))",
        "solvable": True,
    }


def tiny_game(family: str = "pick_and_place_simple", init: str = INIT) -> Game:
    return parse_game(tiny_data(family, init), f"{family}-Tiny/trial")


def play(*commands: str, family: str = "pick_and_place_simple") -> tuple[FastGame, list[str]]:
    """A game after some commands, and their feedback."""
    game = FastGame(tiny_game(family))
    return game, [game.step(command) for command in commands]
