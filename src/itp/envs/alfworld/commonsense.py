"""Plain facts about the household that hold in every ALFWorld game, as a player knows them from the world at large.

Used by the rule-based memory model (`belief.predict_observation`) to tell possible actions from impossible ones, and by
the expert to put things where they fit. Types missing here are treated as permissive.
"""

from __future__ import annotations

OPENABLE = frozenset({"cabinet", "drawer", "fridge", "microwave", "safe"})
"""Receptacle types that have a door, as a rule: some cabinets, drawers and safes have none."""

LAMPS = frozenset({"desklamp", "floorlamp"})
KNIVES = frozenset({"knife", "butterknife"})
VESSELS = frozenset({"bowl", "box", "cup", "mug", "pan", "plate", "pot"})
"""Objects that are described by what is in them."""
SLICEABLE = frozenset({"apple", "bread", "egg", "lettuce", "potato", "tomato"})

DEVICE = {"clean": "sinkbasin", "heat": "microwave", "cool": "fridge"}
"""Receptacle type at which each verb works."""

QUALITY = {"clean": "clean", "heat": "hot", "cool": "cool"}

TREATABLE = {
    verb: frozenset(objects.split())
    for verb, objects in {
        "clean": "apple bowl butterknife cloth cup dishsponge egg fork kettle knife ladle lettuce mug pan plate pot"
        " potato soapbar spatula spoon tomato",
        "heat": "apple bread cup egg mug plate potato tomato",
        "cool": "apple bowl bread cup egg lettuce mug pan plate pot potato tomato winebottle",
    }.items()
}
"""Object types each verb works on."""

_SMALL = "cellphone creditcard keychain"
_WASH = "cloth dishsponge soapbar"
_BATH = f"candle {_WASH} handtowel soapbottle spraybottle tissuebox toiletpaper"
_SEAT = f"book box {_SMALL} laptop newspaper pillow remotecontrol"
_OFFICE = f"alarmclock book bowl cd {_SMALL} mug pen pencil statue tissuebox vase"
_FOOD = "apple bread egg lettuce potato tomato"
_CUTLERY = "butterknife fork knife ladle spatula spoon"
_CROCKERY = "bowl cup glassbottle mug pan plate pot"
_SHAKERS = "peppershaker saltshaker"
_SURFACE = f"{_OFFICE} {_FOOD} butterknife fork knife spatula spoon bowl cup pan plate pot kettle {_SHAKERS} candle"
_SURFACE += " laptop remotecontrol soapbottle spraybottle winebottle"

ACCEPTS = {
    receptacle: frozenset(objects.split())
    for receptacle, objects in {
        "armchair": f"{_SEAT} cloth",
        "bathtubbasin": f"{_WASH} handtowel",
        "bed": "baseballbat basketball book cellphone laptop pillow tennisracket",
        "cabinet": f"{_BATH} {_CROCKERY} {_SHAKERS} book box cd kettle ladle newspaper plunger vase wateringcan"
        " winebottle",
        "cart": f"{_BATH} plunger",
        "coffeemachine": "mug",
        "coffeetable": f"book bowl box candle {_SMALL} laptop newspaper pen pencil plate remotecontrol statue tissuebox"
        " vase watch wateringcan",
        "countertop": f"{_SURFACE} {_WASH} glassbottle handtowel ladle toiletpaper",
        "desk": f"{_OFFICE} basketball box cloth laptop remotecontrol tennisracket watch wateringcan",
        "diningtable": f"{_SURFACE} baseballbat basketball box cloth dishsponge glassbottle ladle newspaper"
        " tennisracket watch wateringcan",
        "drawer": f"{_SMALL} {_WASH} {_CUTLERY} {_SHAKERS} book candle cd handtowel newspaper pen pencil remotecontrol"
        " soapbottle spraybottle tissuebox toiletpaper watch wateringcan",
        "dresser": f"{_OFFICE} basketball box candle cloth laptop newspaper plate remotecontrol spraybottle"
        " tennisracket toiletpaper watch wateringcan",
        "fridge": f"{_FOOD} {_CROCKERY} winebottle",
        "garbagecan": f"{_FOOD} {_WASH} cd handtowel newspaper pen pencil soapbottle spraybottle tissuebox toiletpaper"
        " winebottle",
        "handtowelholder": "handtowel",
        "laundryhamper": "cloth",
        "microwave": "apple bowl bread cup egg glassbottle mug plate potato tomato",
        "ottoman": _SEAT,
        "safe": f"cd {_SMALL} statue vase",
        "shelf": f"{_BATH} {_OFFICE} {_SHAKERS} box cup glassbottle kettle newspaper plate pot remotecontrol watch"
        " wateringcan winebottle",
        "sidetable": f"{_SURFACE} {_WASH} baseballbat basketball box handtowel newspaper tennisracket toiletpaper watch"
        " wateringcan",
        "sinkbasin": f"apple egg lettuce potato tomato {_CROCKERY} {_CUTLERY} {_WASH} handtowel kettle",
        "sofa": _SEAT,
        "stoveburner": "kettle pan pot",
        "toaster": "",
        "toilet": _BATH,
        "toiletpaperhanger": "toiletpaper",
        "towelholder": "towel",
        "tvstand": "tissuebox",
    }.items()
}
"""Object types each receptacle type takes."""


def type_of(name: str) -> str:
    """Type in a numbered name: "mug 1" -> "mug"."""
    return name.rpartition(" ")[0] or name


def number_of(name: str) -> int:
    """Number in a numbered name: "mug 1" -> 1; 0 when there is none."""
    tail = name.rpartition(" ")[2]
    return int(tail) if tail.isdigit() else 0


def game_order(name: str) -> tuple[str, int]:
    """Key of the game's lists: by type, and within a type the highest number first."""
    return type_of(name), -number_of(name)


def accepts(receptacle: str, obj: str) -> bool:
    """Whether `receptacle` takes `obj` (numbered names); an unknown receptacle type takes anything."""
    allowed = ACCEPTS.get(type_of(receptacle))
    return allowed is None or type_of(obj) in allowed
