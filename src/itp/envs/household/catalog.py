"""What exists in a household: kinds of receptacles and of objects, and what may lie where.

First stage of the household generator (catalog -> rooms -> layout -> goals -> problem -> generator). The tables are our
own common sense about homes; only the type names and traits follow ALFWorld, so that both worlds share one vocabulary.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class ReceptacleKind:
    """A kind of furniture or appliance that holds objects; `capacity` bounds how many start in one of them."""

    name: str
    capacity: int
    openable: bool = False


@dataclass(frozen=True, slots=True)
class ObjectKind:
    """A kind of object.

    Args:
        name: type name, for example "Mug".
        traits: PDDL predicates that hold for every instance, for example "cleanable".
        homes: receptacle kind -> weight of starting there.
        allowed: receptacle kinds it may be put in (`canContain`), homes included.
    """

    name: str
    traits: tuple[str, ...]
    homes: Mapping[str, int]
    allowed: frozenset[str]


def _receptacles(capacity: int, names: str, *, openable: bool = False) -> dict[str, ReceptacleKind]:
    return {name: ReceptacleKind(name, capacity, openable) for name in names.split()}


RECEPTACLES: Mapping[str, ReceptacleKind] = MappingProxyType(
    _receptacles(1, "CoffeeMachine HandTowelHolder StoveBurner Toaster ToiletPaperHanger TowelHolder")
    | _receptacles(3, "ArmChair BathtubBasin GarbageCan LaundryHamper Ottoman Toilet TVStand")
    | _receptacles(4, "Bed Cart Shelf SideTable SinkBasin Sofa")
    | _receptacles(9, "CoffeeTable CounterTop Desk DiningTable Dresser")
    | _receptacles(3, "Cabinet Drawer Microwave Safe", openable=True)
    | _receptacles(7, "Fridge", openable=True)
)
"""Receptacle kinds by name."""

_TRAITS = {
    "clean": "cleanable",
    "heat": "heatable",
    "cool": "coolable",
    "slice": "sliceable",
    "hold": "isReceptacleObject",
}
_TABLES = "CounterTop DiningTable SideTable"
_SURFACES = "Desk Dresser SideTable Shelf DiningTable CoffeeTable CounterTop"
_SEATS = "Sofa ArmChair Bed Ottoman"


def _kind(name: str, traits: str, homes: str, also: str = "") -> tuple[str, ObjectKind]:
    """One row: `homes` is "Kind*weight ..." (weight 1 when absent), `also` names further places it may be put."""
    weights: dict[str, int] = {}
    for entry in homes.split():
        place, _, weight = entry.partition("*")
        weights[place] = int(weight or 1)
    predicates = ("pickupable", *(_TRAITS[trait] for trait in traits.split()))
    return name, ObjectKind(name, predicates, MappingProxyType(weights), frozenset(weights) | set(also.split()))


def _lamp(name: str, homes: str) -> tuple[str, ObjectKind]:
    _, kind = _kind(name, "", homes)
    return name, ObjectKind(name, ("toggleable",), kind.homes, frozenset())


_FOOD_HOMES = "Fridge*3 CounterTop*3 DiningTable*2 SinkBasin GarbageCan SideTable"
_DISH_HOMES = "Cabinet*3 CounterTop*3 DiningTable*2 SinkBasin SideTable Shelf"
_CUTLERY_HOMES = "Drawer*4 CounterTop*3 DiningTable*2 SinkBasin SideTable"
_DESK_HOMES = "Desk*4 Drawer*3 Dresser*2 SideTable*2 Shelf*2 CoffeeTable*2 DiningTable TVStand"
_BATH_HOMES = "CounterTop*3 Cabinet*3 Toilet*2 Shelf*2 Cart*2 Drawer SideTable GarbageCan"

OBJECTS: Mapping[str, ObjectKind] = MappingProxyType(
    dict(
        [
            # Food
            _kind("Apple", "clean heat cool slice", _FOOD_HOMES, "Microwave"),
            _kind("Potato", "clean heat cool slice", _FOOD_HOMES, "Microwave"),
            _kind("Tomato", "clean heat cool slice", _FOOD_HOMES, "Microwave"),
            _kind("Egg", "clean heat cool slice", "Fridge*5 CounterTop*2 SinkBasin Microwave GarbageCan", _TABLES),
            _kind("Bread", "heat cool slice", "CounterTop*4 DiningTable*3 Fridge SideTable", "Microwave GarbageCan"),
            _kind("Lettuce", "clean cool slice", "Fridge*4 CounterTop*2 DiningTable SinkBasin", "GarbageCan SideTable"),
            # Dishes and cookware
            _kind("Mug", "clean heat cool hold", "CoffeeMachine*3 Desk*2 " + _DISH_HOMES, "Microwave Fridge Dresser"),
            _kind("Cup", "clean heat cool hold", _DISH_HOMES + " Microwave", "Fridge"),
            _kind("Plate", "clean heat cool hold", _DISH_HOMES, "Microwave Fridge CoffeeTable"),
            _kind("Bowl", "clean cool hold", _DISH_HOMES + " Fridge", "Microwave Desk Dresser CoffeeTable"),
            _kind("Pan", "clean cool hold", "StoveBurner*5 Cabinet*2 CounterTop*2 SinkBasin", "Fridge " + _TABLES),
            _kind("Pot", "clean cool hold", "StoveBurner*5 Cabinet*2 CounterTop Shelf SinkBasin", "Fridge " + _TABLES),
            _kind("Kettle", "clean", "StoveBurner*3 Cabinet*2 CounterTop Shelf", "SinkBasin " + _TABLES),
            # Cutlery and kitchen tools
            _kind("Fork", "clean", _CUTLERY_HOMES),
            _kind("Spoon", "clean", _CUTLERY_HOMES),
            _kind("Knife", "clean", _CUTLERY_HOMES),
            _kind("ButterKnife", "clean", _CUTLERY_HOMES),
            _kind("Spatula", "clean", _CUTLERY_HOMES),
            _kind("Ladle", "clean", "Drawer*2 Cabinet*2 CounterTop DiningTable", "SinkBasin"),
            _kind(
                "DishSponge", "clean", "SinkBasin*3 CounterTop*2 Drawer*2 Cabinet*2 BathtubBasin Cart", "Shelf Toilet"
            ),
            _kind("SaltShaker", "", "CounterTop*2 Cabinet*3 Drawer*2 DiningTable*2 Shelf", "SideTable"),
            _kind("PepperShaker", "", "CounterTop*2 Cabinet*3 Drawer*2 DiningTable*2 Shelf", "SideTable"),
            _kind("WineBottle", "cool", "Cabinet*2 CounterTop*2 Fridge*2 DiningTable Shelf", "GarbageCan SideTable"),
            # Bedroom and living room
            _kind("AlarmClock", "", "SideTable*4 Dresser*3 Desk*3 Shelf*2", "DiningTable CounterTop"),
            _kind("Book", "", "Bed*3 Desk*3 Drawer*2 Sofa*2 Shelf*2 CoffeeTable*2 Dresser ArmChair SideTable Cabinet"),
            _kind("CD", "", _DESK_HOMES + " GarbageCan Safe", "Cabinet"),
            _kind("CellPhone", "", "Bed*2 Sofa*2 ArmChair Safe " + _DESK_HOMES, "CounterTop Ottoman"),
            _kind("CreditCard", "", "ArmChair Safe Sofa " + _DESK_HOMES, "Ottoman CounterTop"),
            _kind("KeyChain", "", "Safe*2 ArmChair Sofa " + _DESK_HOMES, "Ottoman CounterTop"),
            _kind("Laptop", "", "Desk*4 Bed*3 Sofa*2 CoffeeTable*2 DiningTable ArmChair", "Dresser Ottoman SideTable"),
            _kind("Newspaper", "", "Sofa*3 CoffeeTable*3 ArmChair*2 DiningTable Drawer", "Ottoman GarbageCan Dresser"),
            _kind("Pen", "", _DESK_HOMES, "GarbageCan CounterTop"),
            _kind("Pencil", "", _DESK_HOMES, "GarbageCan CounterTop"),
            _kind("Pillow", "", "Bed*5 Sofa*4 ArmChair*2", "Ottoman"),
            _kind(
                "RemoteControl",
                "",
                "Sofa*3 CoffeeTable*3 TVStand*3 ArmChair*2 Ottoman Drawer SideTable Dresser",
                "Desk",
            ),
            _kind("Statue", "", "Shelf*3 CoffeeTable*2 Dresser*2 SideTable*2 TVStand DiningTable", "Desk Safe"),
            _kind("Vase", "", "Shelf*3 CoffeeTable*2 DiningTable*2 Dresser SideTable Cabinet", "Desk Safe"),
            _kind("Watch", "", "Drawer*3 SideTable*2 Dresser*2 CoffeeTable Shelf Desk TVStand", "Safe DiningTable"),
            _kind(
                "Box",
                "hold",
                "CoffeeTable*2 DiningTable*2 Sofa*2 Cabinet Shelf SideTable ArmChair",
                "Ottoman Dresser Desk",
            ),
            _kind("TissueBox", "", _SURFACES + " Drawer TVStand Toilet", "Cabinet GarbageCan Cart"),
            _lamp("DeskLamp", "Desk*4 SideTable*4 Dresser*2 Shelf DiningTable"),
            # Bathroom
            _kind(
                "Candle", "", "Toilet*2 CounterTop*3 Drawer*2 Cabinet*2 Cart Shelf SideTable", "CoffeeTable DiningTable"
            ),
            _kind("Cloth", "clean", "BathtubBasin*3 Drawer*2 " + _BATH_HOMES, "SinkBasin LaundryHamper"),
            _kind("SoapBar", "clean", "SinkBasin*3 BathtubBasin*2 " + _BATH_HOMES),
            _kind("SoapBottle", "", _BATH_HOMES, "DiningTable"),
            _kind("SprayBottle", "", _BATH_HOMES),
            _kind("ToiletPaper", "", "ToiletPaperHanger*3 " + _BATH_HOMES),
            _kind(
                "HandTowel", "", "HandTowelHolder*6 CounterTop Cabinet", "GarbageCan Toilet SinkBasin BathtubBasin Cart"
            ),
            _kind("Towel", "", "TowelHolder"),
        ]
    )
)
"""Object kinds by name."""


def can_contain(receptacle: str, thing: str) -> bool:
    """Whether a receptacle of that kind accepts an object of that kind (a `canContain` fact)."""
    return receptacle in OBJECTS[thing].allowed
