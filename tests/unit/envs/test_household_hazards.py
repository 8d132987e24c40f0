"""Irreversible hazards: the test of a lost goal against exhaustive search, the texts, and who falls for them."""

from __future__ import annotations

import hashlib
import json
import pickle
import random
from collections import Counter, defaultdict

import pytest

from itp.envs.alfworld.belief import Belief, predict_observation
from itp.envs.alfworld.expert import Expert
from itp.envs.alfworld.hazards import Hazards, parse_fates, parse_hazards, tell
from itp.envs.alfworld.problem import parse_game
from itp.envs.household import generate_game, make_household_env, seed_of
from itp.envs.household.generator import wins
from itp.envs.household.goals import FAMILIES, Family, Goal
from itp.envs.household.hazard_game import HazardGame
from itp.envs.household.hazards import FAMILIES_OF, draw_hazards
from itp.envs.household.knobs import HAZARD_KINDS, Knobs
from itp.envs.household.layout import Layout, Place, Thing
from itp.envs.household.problem import game_data
from itp.errors import ConfigError
from itp.state_text.memory import render_memory
from itp.types import State

MIXED = Knobs(hazards="mixed")

# ---- exhaustive search --------------------------------------------------------------------------------------------


def tiny_room(places: str, things: str) -> Layout:
    """A room such as ("Safe Desk Sofa", "Watch@1 Statue@0"): kinds, and objects with the number of their receptacle."""
    spots = [Place(kind, f"{kind}_bar_{i}", f"loc_bar_{i}") for i, kind in enumerate(places.split())]
    lying = [entry.partition("@") for entry in things.split()]
    objects = [Thing(kind, f"{kind}_bar_{i}", spots[int(place)]) for i, (kind, _, place) in enumerate(lying)]
    return Layout("bedroom", tuple(spots), tuple(objects), "loc_bar_start")


def key(state: HazardGame) -> tuple[object, ...]:
    """All of a state that later commands can depend on."""
    qualities = (state.clean, state.hot, state.cool, state.opened, state.gone, state.spent)
    return state.location, state.held, tuple(state.contents), *(frozenset(q) for q in qualities)


def explore(start: HazardGame) -> tuple[dict[tuple[object, ...], HazardGame], set[tuple[object, ...]]]:
    """Every state that can be reached without winning first, and those from which a win can be reached."""
    states, before, won = {key(start): start}, defaultdict(list), []
    queue = [key(start)]
    while queue:
        here = queue.pop()
        for command in states[here].admissible_commands():
            if command.split()[0] in ("look", "inventory", "examine"):
                continue
            after = states[here].clone()
            after.step(command)
            there = key(after)
            before[there].append(here)
            if there not in states:
                states[there] = after
                (won if after.won else queue).append(there)
    good, queue = set(won), list(won)
    while queue:
        fresh = [state for state in before[queue.pop()] if state not in good]
        good.update(fresh)
        queue += fresh
    return states, good


ROOMS = {
    "lock, one safe": ("put", "Watch", "Safe", "Safe Desk Sofa SideTable", "Watch@1 Statue@0", 1),
    "lock, two drawers, junk that fits nowhere else": (
        "put",
        "Watch",
        "Drawer",
        "Drawer Drawer Desk SideTable",
        "Watch@3 Fork@0 Pen@1",
        1,
    ),
    "lock, wash first": ("clean", "Cloth", "Cabinet", "Cabinet Cabinet SinkBasin Toilet", "Cloth@3 SoapBar@0", 1),
    "lock, a target behind a lock": (
        "clean",
        "Cloth",
        "Drawer",
        "Drawer Drawer SinkBasin Toilet",
        "Cloth@0 Candle@3",
        1,
    ),
    "lock, the only target behind the only lock": ("clean", "Cloth", "Drawer", "Drawer SinkBasin Toilet", "Cloth@0", 1),
    "lock and a receptacle that swallows": (
        "put",
        "Watch",
        "Safe",
        "Safe Drawer SideTable Dresser",
        "Watch@2 Statue@3",
        2,
    ),
    "swallow, one of two": ("put", "Pen", "Drawer", "Drawer Drawer Desk", "Pen@2 Pen@2 Pencil@2", 1),
    "swallow, two wanted": ("two", "Pen", "Drawer", "Drawer Drawer Desk", "Pen@2 Pen@2 Pen@2", 1),
    "swallow, heat": ("heat", "Mug", "Shelf", "Shelf Shelf Microwave Fridge", "Mug@3 Cup@0", 1),
    "charge, heat": ("heat", "Mug", "Fridge", "Microwave Fridge Cabinet", "Mug@2 Mug@1 Kettle@2", 1),
    "charge, cool": ("cool", "Mug", "Cabinet", "Microwave Fridge Cabinet", "Mug@2 Mug@1 Kettle@2", 1),
    "charge, clean": ("clean", "Mug", "Cabinet", "SinkBasin Cabinet Desk", "Mug@2 Mug@1 Mug@2", 2),
    "fragile": ("put", "Vase", "Shelf", "Shelf Shelf Desk", "Vase@2 Vase@2 Statue@0", 1),
    "fragile, two wanted": ("two", "Vase", "Shelf", "Shelf Shelf Desk", "Vase@2 Vase@2 Book@2", 1),
    "fragile, clean": ("clean", "Mug", "Cabinet", "SinkBasin Cabinet Cabinet", "Mug@2 Fork@0", 1),
}

FAMILY: dict[str, Family] = dict(zip(["put", "look", "clean", "heat", "cool", "two"], FAMILIES, strict=True))


@pytest.mark.parametrize("name", ROOMS)
def test_the_goal_is_called_lost_exactly_when_no_commands_reach_it(name):
    family, target, destination, places, things, count = ROOMS[name]
    goal = Goal(FAMILY[family], target, destination, "put it there.")
    layout = tiny_room(places, things)
    drawn = draw_hazards(random.Random(0), name.split()[0].strip(","), count, layout, goal)
    assert drawn is not None
    start = HazardGame(parse_game(game_data(layout, goal), name), drawn.hazards)
    states, good = explore(start)
    assert [where for where, state in states.items() if state.possible() != (where in good)] == []
    lost = [state for where, state in states.items() if where not in good]
    assert lost  # The hazard is real, and
    assert (key(start) in good) == (name != "lock, the only target behind the only lock")  # it can be avoided.
    assert all(state.hopeless for state in lost if state is not start)
    assert not any(state.hopeless for where, state in states.items() if where in good)


@pytest.mark.parametrize("kind", HAZARD_KINDS)
def test_the_same_holds_for_generated_games_that_are_small_enough_to_search(kind):
    for index in range(3):
        made = generate_game(seed_of("train", index), knobs=Knobs(receptacles=5, distractors=0, hazards=kind))
        states, good = explore(HazardGame(made.game, made.hazards))
        assert [where for where, state in states.items() if state.possible() != (where in good)] == []
        assert all(state.hopeless == (where not in good) for where, state in states.items())
        assert 0 < len(good) < len(states)


@pytest.mark.parametrize("kind", HAZARD_KINDS)
def test_losses_on_generated_games_agree_with_replays_and_never_heal(kind):
    """Random play in real games: once hopeless the walkthrough wins no more, and the flag stays."""
    for index in range(12):
        made = generate_game(seed_of("valid", index), knobs=Knobs(hazards=kind))
        game, rng = HazardGame(made.game, made.hazards), random.Random(index)
        hopeless = False
        for _ in range(80):
            game.step(rng.choice(game.admissible_commands()))
            assert game.hopeless >= hopeless
            hopeless = game.hopeless
            assert not (game.won and hopeless)
            if game.won:
                break
        assert game.hopeless == (not game.possible())


# ---- games ---------------------------------------------------------------------------------------------------------


def test_published_hazard_seeds_keep_their_games():
    texts = []
    for index in range(8):
        for size in ("small", "full"):
            made = generate_game(seed_of("test", index), size=size, knobs=MIXED)
            texts.append(json.dumps(made.data) + HazardGame(made.game, made.hazards).reset())
    assert hashlib.sha256("".join(texts).encode()).hexdigest()[:16] == "0c85a9225cd24458"


def test_every_kind_is_played_with_each_of_its_families_and_is_proved():
    seen = defaultdict(set)
    for index in range(80):
        made = generate_game(seed_of("train", index), knobs=MIXED)
        assert wins(made.game, made.walkthrough, made.hazards)
        seen[made.task_type.removeprefix("irreversible_")].add(made.traj["task_type"])
    assert seen == {kind: {family.name for family in families} for kind, families in FAMILIES_OF.items()}


def test_what_the_exact_test_relies_on_holds():
    for index in range(80):
        made = generate_game(seed_of("train", index), size="full", knobs=Knobs(hazards="mixed", hazard_count=2))
        game = made.game
        assert len(set(game.receptacle_location)) == len(game.receptacle_location)
        assert all(
            thing in game.accepts[place] or thing in game.toggleable
            for place, inside in enumerate(game.contents)
            for thing in inside
        )
        if made.hazards.locks:
            assert made.hazards.locks == {game.receptacle_names[r] for r in game.goal.receptacles}
            assert game.goal.count == 1
        assert len(made.hazards.swallows) >= 1


@pytest.mark.parametrize("size", ["small", "full"])
def test_a_player_who_reads_the_warning_wins_and_one_who_does_not_often_fails(size):
    env = make_household_env("valid", size=size, family="irreversible", episodes=120)
    careful, heedless = Counter(), Counter()
    for task_id in env.task_ids:
        for tally, heeds in ((careful, True), (heedless, False)):
            info = play(env, task_id, heeds)
            tally[info["task_type"], info["won"], info.get("irreversible")] += 1
    kinds = {f"irreversible_{kind}" for kind in HAZARD_KINDS}
    assert careful == {(kind, True, False): 30 for kind in kinds}
    for kind in kinds:
        assert heedless[kind, False, True] >= 5
        assert heedless[kind, False, False] == 0


def play(env, task_id, heeds):
    observation, info = env.reset(options={"task_id": task_id})
    belief, expert = Belief.start(info["task"], observation), Expert(heeds=heeds)
    terminated = truncated = False
    while not (terminated or truncated):
        action = expert.act(belief, info["admissible_commands"])
        observation, _, terminated, truncated, info = env.step(action)
        belief.update(action, observation)
    return info


def test_the_expert_labels_states_that_noise_led_into():
    """From wherever noise led, the expert's own commands never lose the game, and it is silent once all is lost."""
    env, lost = make_household_env("train", family="irreversible", episodes=60, expert=True, max_steps=80), 0
    for number, task_id in enumerate(env.task_ids):
        rng = random.Random(number)
        _, info = env.reset(options={"task_id": task_id})
        terminated = truncated = False
        while not (terminated or truncated):
            commands, plan = info["admissible_commands"] or [], info.get("expert_plan")
            noisy = rng.random() < 0.3
            before = info.get("irreversible", False)
            *_, terminated, truncated, info = env.step(rng.choice(commands) if noisy or not plan else plan[0])
            if info.get("irreversible", False):
                assert info.get("expert_plan") == []
            lost += info.get("irreversible", False) and not before and not noisy
    assert lost == 0


# ---- texts ---------------------------------------------------------------------------------------------------------

ALL = Hazards(
    frozenset({"drawer 1", "desk 2"}),
    frozenset({"safe 1"}),
    frozenset({"microwave 1"}),
    frozenset({"mug 2", "mug 1"}),
    "mug",
    "shelf 3",
)


@pytest.mark.parametrize(
    "hazards", [ALL, Hazards(locks=frozenset({"cabinet 12"})), Hazards(fragile="cd", haven="bed 1")]
)
def test_the_announcement_says_all_and_is_read_back(hazards):
    text = f"You see a desk 1.\n{hazards.announcement()}"
    assert parse_hazards(text) == hazards
    assert parse_fates(hazards.announcement()) == []


def test_texts_without_hazards_are_read_as_such():
    assert parse_hazards("You are in the middle of a room.") is None
    assert parse_hazards("Beware: the dog.") is None
    assert not Hazards()


def test_losses_are_told_and_remembered():
    fates = [("mug 1", "breaks"), ("microwave 1", "is used up"), ("pen 2", "is gone"), ("safe 1", "locks")]
    assert parse_fates("You heat the mug 1 using the microwave 1." + tell(fates)) == fates


def test_a_game_tells_announcement_losses_and_what_is_over():
    goal = Goal(FAMILY["heat"], "Mug", "Fridge", "put a hot mug in fridge.")
    layout = tiny_room("Microwave Fridge Desk", "Mug@2 Mug@2 Mug@2")
    hazards = Hazards(
        single_use=frozenset({"microwave 1"}), cracked=frozenset({"mug 1"}), swallows=frozenset({"desk 1"})
    )
    game = HazardGame(parse_game(game_data(layout, goal), "task"), hazards)
    assert game.reset().splitlines()[3] == (
        "Beware: whatever is put in/on the desk 1 is gone for good; the microwave 1 works only once; "
        "the mug 1 is cracked, and breaks for good when cleaned, heated or cooled."
    )
    for command, feedback in (
        ("go to desk 1", "You arrive at loc 2. On the desk 1, you see a mug 3, a mug 2, and a mug 1."),
        ("take mug 3 from desk 1", "You pick up the mug 3 from the desk 1."),
        ("put mug 3 in/on desk 1", "You put the mug 3 in/on the desk 1. The mug 3 is gone for good."),
        ("examine desk 1", "On the desk 1, you see a mug 2, and a mug 1."),
        ("take mug 1 from desk 1", "You pick up the mug 1 from the desk 1."),
        ("go to microwave 1", "You arrive at loc 4. The microwave 1 is closed."),
    ):
        assert game.step(command) == feedback
        assert not game.hopeless
    assert game.step("heat mug 1 with microwave 1") == (
        "You heat the mug 1 using the microwave 1. The mug 1 breaks for good. The microwave 1 is used up for good."
    )
    assert game.hopeless
    assert game.step("inventory") == "You are not carrying anything."
    game.step("go to desk 1")
    game.step("take mug 2 from desk 1")
    game.step("go to microwave 1")
    assert "heat mug 2 with microwave 1" not in game.admissible_commands()
    assert game.step("heat mug 2 with microwave 1") == "Nothing happens."


def test_a_lock_locks_on_leaving_and_stays_so():
    goal = Goal(FAMILY["put"], "Watch", "Safe", "put a watch in safe.")
    layout = tiny_room("Safe Desk SideTable", "Watch@2 Statue@0")
    game = HazardGame(parse_game(game_data(layout, goal), "task"), Hazards(locks=frozenset({"safe 1"})))
    game.reset()
    game.step("go to safe 1")
    twin = game.clone()
    assert not game.hopeless
    assert game.step("open safe 1").startswith("You open the safe 1. The safe 1 is open.")
    assert game.hopeless  # It can be left only locked, and the watch is elsewhere.
    assert not twin.hopeless
    left = game.step("go to desk 1")
    assert left == "You arrive at loc 3. On the desk 1, you see nothing. The safe 1 locks for good."
    game.step("go to safe 1")
    assert "open safe 1" not in game.admissible_commands()
    assert game.step("open safe 1") == "Nothing happens."
    assert game.spent == {"safe 1"}
    assert twin.spent == set()


def test_memory_text_holds_the_warning_and_the_losses():
    env = make_household_env("valid", hazards="lock", episodes=1)
    observation, info = env.reset(options={"task_id": env.task_ids[0]})
    name = next(iter((parse_hazards(observation) or Hazards()).locks))
    text = render_memory(State(info["task"], observation))
    assert "beware once opened" in text
    assert f"lost {name}" not in text
    state = State(info["task"], observation)
    for action in (f"go to {name}", f"open {name}", f"close {name}"):
        state = state.extend(action, env.step(action)[0])
    assert f"lost {name}" in render_memory(state)


@pytest.mark.parametrize("kind", HAZARD_KINDS)
def test_the_rule_world_model_foresees_losses(kind):
    """Where it takes a command for possible, it tells exactly the losses that the game tells."""
    foreseen = 0
    for index in range(20):
        made = generate_game(seed_of("train", index), knobs=Knobs(hazards=kind))
        game, rng = HazardGame(made.game, made.hazards), random.Random(index)
        belief = Belief.start(made.task, game.reset().partition("\n\n")[2].partition("\n\nYour task")[0])
        for _ in range(60):
            commands = game.admissible_commands()
            deeds = [c for c in commands if c.split()[0] in ("put", "heat", "cool", "clean", "take", "close", "open")]
            command = rng.choice(deeds if deeds and rng.random() < 0.7 else commands)
            expected, feedback = predict_observation(belief, command), game.step(command)
            if expected != "Nothing happens.":  # Its common sense of what fits where is not the game's.
                assert parse_fates(expected) == parse_fates(feedback)
            foreseen += bool(parse_fates(feedback))
            belief.update(command, feedback)
            if game.won:
                break
    assert foreseen >= 1


def test_walkthroughs_avoid_what_does_not_serve():
    made = generate_game(seed_of("train", 1), knobs=MIXED)
    assert made.task_type == "irreversible_swallow"
    ends = {command.split(" in/on ")[1] for command in made.walkthrough if command.startswith("put")}
    assert not ends & made.hazards.swallows


def test_hidden_hazards_strike_without_a_warning_and_the_expert_knows_them():
    told = make_household_env("valid", family="irreversible", expert=True)
    hidden = make_household_env("valid", family="irreversible", announce=False, expert=True)
    for task in told.task_ids[:8]:
        warned, info_told = told.reset(options={"task_id": task})
        unwarned, info = hidden.reset(options={"task_id": task})
        assert parse_hazards(warned) is not None
        assert parse_hazards(unwarned) is None
        assert warned.startswith(unwarned)
        assert info["admissible_commands"] == info_told["admissible_commands"]
        while not info["won"]:
            observation, _, _, truncated, info = hidden.step(info.get("expert_plan", [""])[0])
            assert not truncated
            assert not info.get("irreversible")
            assert "for good" not in observation or "used up" in observation or "locks" in observation


def test_hidden_hazards_survive_the_way_to_another_process():
    hidden = make_household_env("valid", family="irreversible", announce=False)
    assert parse_hazards(pickle.loads(pickle.dumps(hidden)).reset(seed=0)[0]) is None


def test_only_games_with_hazards_can_hide_them():
    with pytest.raises(ConfigError, match="false with family=irreversible only"):
        make_household_env("valid", announce=False)
