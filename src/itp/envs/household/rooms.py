"""The four kinds of rooms: which furniture they have, in what numbers, and which objects turn up in them.

Read by `layout`. A range is (least, most); a room first gets the least of everything and then furniture drawn at random
until it reaches its number of receptacles.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, get_args

from itp.errors import ConfigError

Size = Literal["small", "full"]
"""How large a room is: "small" for a model of minutes, "full" for one like ALFWorld's."""

Range = tuple[int, int]
SIZES: tuple[Size, ...] = get_args(Size)


@dataclass(frozen=True, slots=True)
class RoomKind:
    """A kind of room.

    Args:
        name: for example "kitchen".
        furniture: size -> receptacle kind -> range of how many there are.
        receptacles: size -> range of receptacles in all.
        objects: size -> range of objects in all.
        things: object kind -> weight of turning up.
    """

    name: str
    furniture: Mapping[Size, Mapping[str, Range]]
    receptacles: Mapping[Size, Range]
    objects: Mapping[Size, Range]
    things: Mapping[str, int]


def check_size(size: str) -> Size:
    """Return `size` when it is one of `SIZES`.

    Raises:
        ConfigError: it is not.
    """
    if size not in SIZES:
        raise ConfigError(f"household size {size!r} is unknown: choose one of {', '.join(SIZES)}")
    return size


def _ranges(text: str) -> Mapping[str, Range]:
    """Parse "Fridge=1 Cabinet=4-10" into ranges."""
    ranges: dict[str, Range] = {}
    for entry in text.split():
        name, _, span = entry.partition("=")
        least, _, most = span.partition("-")
        ranges[name] = (int(least), int(most or least))
    return MappingProxyType(ranges)


def _weights(text: str) -> Mapping[str, int]:
    """Parse "Mug*3 Cup" into weights (1 when absent)."""
    weights: dict[str, int] = {}
    for entry in text.split():
        name, _, weight = entry.partition("*")
        weights[name] = int(weight or 1)
    return MappingProxyType(weights)


def _room(name: str, *, small: str, full: str, full_receptacles: Range, full_objects: Range, things: str) -> RoomKind:
    return RoomKind(
        name=name,
        furniture=MappingProxyType({"small": _ranges(small), "full": _ranges(full)}),
        receptacles=MappingProxyType({"small": (6, 9), "full": full_receptacles}),
        objects=MappingProxyType({"small": (8, 12), "full": full_objects}),
        things=_weights(things),
    )


ROOMS: Mapping[str, RoomKind] = MappingProxyType(
    {
        "kitchen": _room(
            "kitchen",
            small="Fridge=1 SinkBasin=1 Microwave=1 CounterTop=1 Cabinet=0-2 Drawer=0-2 DiningTable=0-1 "
            "StoveBurner=0-1 CoffeeMachine=0-1 GarbageCan=0-1 Shelf=0-1 SideTable=0-1",
            full="Fridge=1 SinkBasin=1 Microwave=1 CoffeeMachine=1 Toaster=1 GarbageCan=1 CounterTop=1-3 "
            "Cabinet=4-12 Drawer=2-7 StoveBurner=2-4 DiningTable=0-1 Shelf=0-3 SideTable=0-1",
            full_receptacles=(20, 30),
            full_objects=(35, 50),
            things="Apple*3 Potato*3 Tomato*3 Egg*3 Bread*2 Lettuce*2 Mug*4 Cup*3 Plate*3 Bowl*3 Pan*2 "
            "Pot*2 Kettle Fork*2 Spoon*2 Knife*2 ButterKnife*2 Spatula*2 Ladle DishSponge*2 SaltShaker*2 "
            "PepperShaker*2 WineBottle SoapBottle Statue Vase Book CreditCard CellPhone",
        ),
        "bedroom": _room(
            "bedroom",
            small="Bed=1 Desk=1 Drawer=1-3 SideTable=0-1 Shelf=0-2 Dresser=0-1 GarbageCan=0-1 Safe=0-1 "
            "ArmChair=0-1 Cabinet=0-1 LaundryHamper=0-1",
            full="Bed=1-2 Desk=1-2 Drawer=3-9 SideTable=1-2 Shelf=2-6 Dresser=0-1 GarbageCan=1 Safe=0-1 "
            "ArmChair=0-2 Cabinet=0-3 LaundryHamper=0-1",
            full_receptacles=(15, 22),
            full_objects=(25, 35),
            things="AlarmClock*3 Book*3 CD*3 CellPhone*3 CreditCard*3 KeyChain*3 Laptop*2 Pen*3 Pencil*3 "
            "Pillow*3 Mug*2 Bowl*2 Statue Vase Watch TissueBox RemoteControl DeskLamp*2 Cloth",
        ),
        "bathroom": _room(
            "bathroom",
            small="SinkBasin=1 Toilet=1 CounterTop=1 Cabinet=1-2 GarbageCan=0-1 Drawer=0-2 "
            "BathtubBasin=0-1 Shelf=0-1 ToiletPaperHanger=0-1 HandTowelHolder=0-1 TowelHolder=0-1 Cart=0-1 "
            "SideTable=0-1",
            full="SinkBasin=1-2 Toilet=1 CounterTop=1-2 Cabinet=2-6 GarbageCan=1 Drawer=1-6 "
            "BathtubBasin=0-1 Shelf=0-3 ToiletPaperHanger=1 HandTowelHolder=1-2 TowelHolder=1-2 Cart=0-1 "
            "SideTable=0-1",
            full_receptacles=(15, 20),
            full_objects=(25, 30),
            things="Candle*3 Cloth*4 SoapBar*4 SoapBottle*3 SprayBottle*3 ToiletPaper*3 HandTowel*2 Towel "
            "DishSponge*2 TissueBox*2",
        ),
        "livingroom": _room(
            "livingroom",
            small="Sofa=1 CoffeeTable=1 SideTable=1-2 ArmChair=0-2 Drawer=0-2 TVStand=0-1 Shelf=0-2 "
            "Dresser=0-1 DiningTable=0-1 GarbageCan=0-1 Cabinet=0-1 Ottoman=0-1 Safe=0-1",
            full="Sofa=1-2 CoffeeTable=1-2 SideTable=1-3 ArmChair=1-3 Drawer=3-9 TVStand=1 Shelf=0-5 "
            "Dresser=0-1 DiningTable=0-1 GarbageCan=1 Cabinet=0-4 Ottoman=0-1 Safe=0-1",
            full_receptacles=(15, 22),
            full_objects=(25, 35),
            things="RemoteControl*4 Newspaper*3 CreditCard*3 KeyChain*3 Laptop*2 Pillow*3 Statue*3 Vase*3 "
            "Watch*3 Box*3 Book*2 TissueBox*2 CellPhone*2 Pen Pencil Plate Bowl Candle DeskLamp*2",
        ),
    }
)
"""Rooms by name."""
