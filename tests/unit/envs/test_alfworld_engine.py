"""The fast engine on a hand-written game: every documented oddity, without real data."""

from __future__ import annotations

import pytest
from alfworld_tiny import play, tiny_game
from hypothesis import given
from hypothesis import strategies as st

from itp.envs.alfworld.engine import NOTHING_HAPPENS, FastGame, join_names


def test_first_text_is_banner_room_and_task():
    assert FastGame(tiny_game()).reset() == (
        "-= Welcome to TextWorld, ALFRED! =-\n\n"
        "You are in the middle of a room. Looking quickly around you, you see a countertop 1, a drawer 2, a drawer 1, "
        "a fridge 1, a microwave 1, a shelf 1, and a sinkbasin 1.\n\nYour task is to: tidy up."
    )


def test_look_before_the_first_walk_sees_nothing():
    _, [text] = play("look")
    assert text == "You are in the middle of a room. Looking quickly around you, you see nothing."


def test_lists_have_the_official_commas():
    assert [join_names(["a x"] * n) for n in range(4)] == ["nothing", "a x", "a x, and a x", "a x, a x, and a x"]


def test_admissible_commands_at_a_shared_location():
    game, _ = play("go to drawer 2")
    assert game.admissible_commands() == [
        "examine countertop 1", "examine drawer 2",
        "go to drawer 1", "go to fridge 1", "go to microwave 1", "go to shelf 1", "go to sinkbasin 1",
        "inventory", "look", "open drawer 2",
        "take apple 2 from countertop 1", "take knife 1 from countertop 1", "take mug 1 from countertop 1",
        "use desklamp 1",
    ]  # fmt: skip


def test_going_describes_only_the_named_receptacle():
    _, [text] = play("go to drawer 2")
    assert text == "You arrive at loc 6. The drawer 2 is closed."


def test_look_names_every_receptacle_here():
    _, texts = play("go to drawer 2", "look")
    assert texts[1] == "You are facing the countertop 1, and drawer 2. Next to it, you see nothing."


def test_an_object_put_beside_its_old_receptacle_is_next_to_it():
    game, texts = play(
        "go to countertop 1", "take mug 1 from countertop 1", "open drawer 2", "put mug 1 in/on drawer 2", "look"
    )
    assert texts[-2] == "You put the mug 1 in/on the drawer 2."
    assert texts[-1] == "You are facing the countertop 1, and drawer 2. Next to it, you see a mug 1."
    assert game.step("take mug 1 from drawer 2") == "You pick up the mug 1 from the drawer 2."
    game.step("put mug 1 in/on countertop 1")
    # Back on the counter, but it was taken from the drawer too, and that is here as well.
    assert game.step("look").endswith("Next to it, you see a mug 1.")


def test_an_object_in_two_receptacles_stays_in_the_other():
    _, texts = play("go to countertop 1", "take mug 1 from countertop 1", "go to shelf 1")
    assert texts[2] == "You arrive at loc 2. On the shelf 1, you see a bowl 1, a egg 1, and a mug 1."


def test_put_needs_an_open_receptacle_that_accepts_the_object():
    game, texts = play("go to countertop 1", "take mug 1 from countertop 1", "put mug 1 in/on drawer 2")
    assert texts[2] == NOTHING_HAPPENS
    game.step("go to fridge 1")
    assert game.step("open fridge 1") == "You open the fridge 1. The fridge 1 is open. In it, you see nothing."
    assert game.step("put mug 1 in/on fridge 1") == NOTHING_HAPPENS


def test_doors_stay_open_until_closed():
    _, texts = play("go to drawer 1", "open drawer 1", "go to shelf 1", "go to drawer 1", "close drawer 1")
    assert texts[3] == "You arrive at loc 5. The drawer 1 is open. In it, you see a apple 1."
    assert texts[4] == "You close the drawer 1."


def test_examine_wording_follows_the_grammar():
    _, texts = play(
        "go to countertop 1", "take apple 2 from countertop 1", "examine apple 2",
        "go to microwave 1", "heat apple 2 with microwave 1", "examine apple 2",
        "go to sinkbasin 1", "clean apple 2 with sinkbasin 1", "examine apple 2",
        "go to fridge 1", "cool apple 2 with fridge 1", "examine apple 2",
    )  # fmt: skip
    assert texts[2::3] == [
        "This is a cold apple 2.",
        "This is a hot apple 2.",
        "This is a hot and clean apple 2.",
        "This is a cool and clean apple 2.",
    ]
    assert texts[4] == "You heat the apple 2 using the microwave 1."


def test_sliced_things_say_so():
    _, texts = play(
        "go to countertop 1", "take knife 1 from countertop 1",
        "slice apple 2 with knife 1", "slice apple 2 with knife 1",
        "put knife 1 in/on countertop 1", "take apple 2 from countertop 1", "examine apple 2",
    )  # fmt: skip
    assert texts[2] == texts[3] == "You sliced the apple 2 with the knife 1."
    assert texts[6] == "This is a cool sliced apple 2."


def test_slicing_reaches_into_a_closed_drawer_but_not_elsewhere():
    _, texts = play(
        "go to countertop 1", "take knife 1 from countertop 1", "slice apple 1 with knife 1", "go to drawer 1",
        "slice apple 1 with knife 1",
    )  # fmt: skip
    assert texts[2] == NOTHING_HAPPENS
    assert texts[4] == "You sliced the apple 1 with the knife 1."


def test_a_bowl_shows_what_is_inside():
    _, texts = play("go to shelf 1", "take bowl 1 from shelf 1", "examine bowl 1", "inventory", "examine egg 1")
    assert texts[2:] == [
        "This is a normal bowl 1. In it, you see a egg 1.",
        "You are carrying: a bowl 1.",
        NOTHING_HAPPENS,
    ]


def test_a_lamp_cannot_be_turned_off():
    _, texts = play("use desklamp 1", "go to countertop 1", "use desklamp 1", "use desklamp 1")
    assert texts == [NOTHING_HAPPENS, texts[1], "You turn on the desklamp 1.", "You turn on the desklamp 1."]


@pytest.mark.parametrize(
    "command",
    ["", "  ", "help", "LOOK", "look around", "inventory x", "go  to shelf 1", "go to shelf", "go shelf 1",
     "Go to shelf 1", "take egg 1", "put egg 1 in/on", "examine", "slice", "heat egg 1 with", "use lamp",
     "open shelf 1", "close shelf 1"],
)  # fmt: skip
def test_anything_else_changes_nothing(command: str):
    game, _ = play("go to shelf 1")
    before = game.admissible_commands()
    assert game.step(command) == NOTHING_HAPPENS
    assert game.admissible_commands() == before


def test_outer_white_space_is_ignored():
    _, [text] = play("  go to shelf 1\n")
    assert text.startswith("You arrive at")


WINS = {
    "pick_and_place_simple": ["go to countertop 1", "take mug 1 from countertop 1", "open drawer 2",
                              "put mug 1 in/on drawer 2"],
    "pick_clean_then_place_in_recep": ["go to countertop 1", "take apple 2 from countertop 1", "go to sinkbasin 1",
                                       "clean apple 2 with sinkbasin 1", "go to shelf 1", "put apple 2 in/on shelf 1"],
    "pick_heat_then_place_in_recep": ["go to countertop 1", "take apple 2 from countertop 1", "go to microwave 1",
                                      "heat apple 2 with microwave 1", "go to shelf 1", "put apple 2 in/on shelf 1"],
    "pick_cool_then_place_in_recep": ["go to countertop 1", "take apple 2 from countertop 1", "go to shelf 1",
                                      "put apple 2 in/on shelf 1"],
    "pick_two_obj_and_place": ["go to countertop 1", "take apple 2 from countertop 1", "go to shelf 1",
                               "put apple 2 in/on shelf 1", "go to drawer 1", "open drawer 1",
                               "take apple 1 from drawer 1", "go to shelf 1", "put apple 1 in/on shelf 1"],
    "look_at_obj_in_light": ["go to countertop 1", "use desklamp 1", "go to shelf 1", "take mug 1 from shelf 1",
                             "go to drawer 2"],
}  # fmt: skip


@pytest.mark.parametrize("family", WINS)
def test_the_last_command_wins_and_no_earlier_one(family: str):
    game = FastGame(tiny_game(family))
    won = []
    for command in WINS[family]:
        assert game.step(command) != NOTHING_HAPPENS
        won.append(game.won)
    assert won == [False] * (len(won) - 1) + [True]


def test_a_win_is_lost_again_when_the_object_is_taken_back():
    game, _ = play(*WINS["pick_and_place_simple"])
    game.step("take mug 1 from drawer 2")
    assert not game.won


def test_reset_forgets_everything():
    game, _ = play(*WINS["pick_heat_then_place_in_recep"], family="pick_heat_then_place_in_recep")
    fresh = FastGame(game.game)
    assert (game.reset(), game.won) == (fresh.reset(), False)
    assert game.admissible_commands() == fresh.admissible_commands()


def test_the_list_is_a_copy():
    game, _ = play()
    game.admissible_commands().clear()
    assert game.admissible_commands()


@given(st.lists(st.integers(0, 10_000), max_size=40), st.sampled_from(sorted(WINS)))
def test_admissible_means_accepted_and_clones_are_independent(choices: list[int], family: str):
    """Along any play: listed commands act, unlisted ones do not, and clones go their own way."""
    game = FastGame(tiny_game(family))
    seen: set[str] = set()
    for choice in choices:
        admissible = game.admissible_commands()
        assert admissible == sorted(set(admissible))
        seen.update(admissible)
        twin = game.clone()
        for command in seen:
            assert (twin.clone().step(command) != NOTHING_HAPPENS) == (command in admissible)
        command = admissible[choice % len(admissible)]
        feedback = game.step(command)
        assert twin.admissible_commands() == admissible
        assert twin.step(command) == feedback
        assert (twin.admissible_commands(), twin.won) == (game.admissible_commands(), game.won)
