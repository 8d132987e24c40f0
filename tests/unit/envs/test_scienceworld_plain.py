"""Plain plans: the same choice every time where gold paths draw lots, and nothing else changed."""

from itp.envs.scienceworld.plain import by_full_name, first_listed, hurried, plain
from itp.envs.scienceworld.readings import compared

CIRCUIT = [
    "connect battery anode to orange wire terminal 1",
    "connect battery cathode to blue wire terminal 1",
    "connect orange wire terminal 2 to cathode in green light bulb",
    "connect black wire terminal 2 to anode in green light bulb",
    "connect metal fork terminal 1 to blue wire terminal 2",
    "connect metal fork terminal 2 to black wire terminal 1",
]


def test_a_circuit_is_laid_from_one_end_to_the_other_with_wires_in_order() -> None:
    assert plain(["look around", *CIRCUIT, "wait1"]) == [
        "look around",
        "connect battery anode to black wire terminal 1",
        "connect black wire terminal 2 to cathode in green light bulb",
        "connect anode in green light bulb to blue wire terminal 1",
        "connect blue wire terminal 2 to metal fork terminal 1",
        "connect metal fork terminal 2 to orange wire terminal 1",
        "connect orange wire terminal 2 to battery cathode",
        "wait1",
    ]


def test_connections_that_are_no_line_stay_as_they_are() -> None:
    apart = [CIRCUIT[0], "connect red wire terminal 1 to red light bulb anode"]
    assert plain(apart) == apart
    assert plain(["connect battery to lamp"]) == ["connect battery to lamp"]


def test_a_pot_is_taken_before_what_grows_in_it_is_named() -> None:
    gold = [
        "focus on adult apple tree",
        "pick up flower pot 8",
        "move flower pot 8 containing apple tree in inventory to red box",
    ]
    assert plain(gold) == [
        "pick up flower pot 8",
        "focus on apple tree in flower pot 8",
        "move flower pot 8 to red box",
    ]


def test_pots_are_planted_in_the_order_of_their_numbers() -> None:
    assert plain(["move soil to flower pot 3", "move soil to flower pot 1", "pour jug into flower pot 3"]) == [
        "move soil to flower pot 1",
        "move soil to flower pot 3",
        "pour jug into flower pot 1",
    ]


def test_long_waits_become_one_and_later_rounds_with_the_jug_a_wait() -> None:
    round_of_water = ["activate sink", "move jug to sink", "pour jug into flower pot 1", "deactivate sink"]
    gold = [*round_of_water, *["wait1"] * 5, "look around", *round_of_water, "wait1", "wait1"]
    assert hurried(gold, 1) == [*round_of_water, "wait", "look around", "wait", "wait1", "wait1"]
    assert hurried(gold, 2) == [*round_of_water, "wait", "look around", *round_of_water, "wait1", "wait1"]


def test_what_is_chosen_freely_is_the_first_that_was_listed() -> None:
    room = "flower pot 2 (containing a cherry tree in the adult stage)\nflower pot 8 (containing a pea plant in the"
    plan = ["look around", "pick up flower pot 8", "focus on pea plant in flower pot 8", "move flower pot 8 to red box"]
    assert first_listed(plan, ["", room, room, room], "find a plant") == [
        "look around",
        "pick up flower pot 2",
        "focus on cherry tree in flower pot 2",
        "move flower pot 2 to red box",
    ]
    shop = "a blue light bulb, which is off, a green light bulb, which is off"
    texts = [shop] * (len(CIRCUIT) + 1)
    assert "blue light bulb" in " ".join(first_listed(CIRCUIT, texts, "is the fork conductive?"))
    assert first_listed(CIRCUIT, texts, "turn on the green light bulb") == CIRCUIT


def test_things_are_named_as_the_task_names_them() -> None:
    task = "Your task is to determine if unknown substance F is electrically conductive."
    (named,) = by_full_name(["pick up unknown substance", "move unknown substance F to red box"], task)
    assert named == ["pick up unknown substance F", "move unknown substance F to red box"]
    grow = "Your task is to grow a banana. This will take long."
    assert list(by_full_name(["open door", "focus on banana in living thing", "0", "wait"], grow)) == [
        ["open door", "focus on banana"],
        ["open door", "focus on banana", "0"],
    ]
    assert list(by_full_name(["focus on dove"], "Your task is to find an animal.")) == []


def test_a_reading_is_compared_with_the_limit_that_the_task_names() -> None:
    task = "If the temperature is above -10.0 degrees celsius, place it in the red box."
    text = "the thermometer measures a temperature of {} degrees celsius"
    assert compared(text.format(-62), task) == text.format(-62) + " (below -10.0 degrees celsius)"
    assert compared(text.format(4), task) == text.format(4) + " (above -10.0 degrees celsius)"
    assert compared(text.format(4), "Your task is to boil water.") == text.format(4)
    assert compared("You move the fork.", task) == "You move the fork."
