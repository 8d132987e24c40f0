"""Hardness knobs of the household generator: ids that name them, games that obey them, values that are refused."""

from __future__ import annotations

import hashlib
import json
import pickle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from itp.envs.alfworld.data import find_games
from itp.envs.alfworld.env import AlfworldEnv
from itp.envs.household import generate_game, make_household_env, seed_of, write_games
from itp.envs.household.generator import parse_task_id, task_id_of, wins
from itp.envs.household.knobs import HAZARDS, MOST_HAZARDS, RECEPTACLES, Knobs, check_knobs, parse_suffix
from itp.envs.registry import make_env
from itp.errors import ConfigError
from itp.planners.simple import ExpertPlanner, RandomPlanner
from itp.rollout.lockstep import run_episodes
from itp.types import StopReason


@st.composite
def any_knobs(draw: st.DrawFn) -> Knobs:
    receptacles = draw(st.none() | st.integers(*RECEPTACLES))
    hazards = draw(st.sampled_from(HAZARDS))
    return Knobs(
        receptacles,
        draw(st.none() | st.integers(0, 2 * (receptacles or 6))),
        draw(st.sampled_from([None, True, False])),
        hazards,
        draw(st.integers(1, MOST_HAZARDS)) if hazards != "none" else 1,
    )


@given(knobs=any_knobs(), seed=st.integers(0, 2_999_999))
def test_a_task_id_names_its_knobs(knobs, seed):
    assert check_knobs(knobs, "small") == knobs
    assert parse_suffix(knobs.suffix) == knobs
    assert parse_task_id(task_id_of(seed, "small", knobs)) == (seed, "small", knobs)


def test_a_task_id_reads_well():
    knobs = Knobs(12, 20, True, "lock", 2)
    assert task_id_of(123, "small", knobs) == "household-small-train-000123-r12-d20-hidden-lock2"
    assert task_id_of(123, "full", Knobs()) == "household-full-train-000123"
    assert task_id_of(123, "full", Knobs(hidden=False)) == "household-full-train-000123-visible"


@pytest.mark.parametrize(
    "suffix", ["-x", "-r", "-r012", "-d3-r12", "-r12-r12", "-lock", "-lock12", "-none1", "-hidden-visible", "-r12-"]
)
def test_other_endings_name_no_game(suffix):
    with pytest.raises(ConfigError, match="no household task id"):
        parse_task_id(f"household-small-train-000123{suffix}")


@pytest.mark.parametrize(
    ("suffix", "message"),
    [("-r40", "receptacles=40 is not allowed"), ("-r6-d13", "distractors=13"), ("-lock9", "hazard_count=9")],
)
def test_ids_with_values_out_of_range_are_refused(suffix, message):
    with pytest.raises(ConfigError, match=message):
        parse_task_id(f"household-small-train-000123{suffix}")


@settings(max_examples=40, deadline=None)
@given(knobs=any_knobs(), index=st.integers(0, 999_999), split=st.sampled_from(["train", "valid", "test"]))
def test_games_obey_their_knobs_and_are_proved(knobs, index, split):
    made = generate_game(seed_of(split, index), knobs=knobs)
    game = made.game
    assert wins(game, made.walkthrough, made.hazards)
    if knobs.receptacles is not None:
        assert len(game.receptacle_names) == knobs.receptacles
    if knobs.distractors is not None:
        assert len(game.object_names) == knobs.distractors + len(game.goal.objects | game.goal.lamps)
    if knobs.hidden is not None:
        inside = {t for place, things in enumerate(game.contents) if place in game.openable for t in things}
        assert (game.goal.objects <= inside) if knobs.hidden else not game.goal.objects & inside
    hazards = made.hazards
    assert bool(hazards) == (knobs.hazards != "none")
    if hazards:
        assert made.task_type.startswith("irreversible_")
        own = 0 if made.task_type != "irreversible_swallow" else 1
        assert len(hazards.swallows) >= own + knobs.hazard_count - 1
    assert parse_task_id(made.task_id) == (seed_of(split, index), "small", knobs)


@pytest.mark.parametrize(
    "knobs",
    [
        Knobs(5, 10, True),
        Knobs(5, 0, False),
        Knobs(29, 58, True),
        Knobs(29, 0, False),
        Knobs(5, 10, True, "mixed", 1),
        Knobs(5, 10, False, "mixed", 2),
        Knobs(29, 58, True, "mixed", 3),
        Knobs(6, 12, True, "mixed", 3),
    ],
)
def test_extremes_find_games_in_every_family(knobs):
    for index in range(40 if knobs.hazards != "none" else 12):
        generate_game(seed_of("test", index), knobs=knobs)


def test_published_knob_seeds_keep_their_games():
    knobs = (Knobs(receptacles=12), Knobs(distractors=3), Knobs(hidden=True), Knobs(20, 30, False))
    texts = [json.dumps(generate_game(seed_of("test", i), knobs=k).data) for k in knobs for i in range(6)]
    assert hashlib.sha256("".join(texts).encode()).hexdigest()[:16] == "e7b1bf97c7b555f2"


def test_signatures_tell_splits_apart_with_knobs_too():
    for split, buckets in (("train", {0, 1}), ("valid", {2}), ("test", {3})):
        made = [generate_game(seed_of(split, i), knobs=Knobs(hazards="mixed")) for i in range(24)]
        assert {int(game.signature[:8], 16) % 4 for game in made} <= buckets
        assert len({game.signature for game in made}) == 24


def test_games_with_knobs_are_written_and_played_as_alfworld_files(tmp_path):
    paths = write_games(tmp_path, "valid", 3, knobs=Knobs(receptacles=14, distractors=3))
    assert len({path.parent for path in paths}) == 3
    env = AlfworldEnv(find_games(tmp_path, "valid_seen"))
    for task_id in env.task_ids:
        observation, _ = env.reset(options={"task_id": task_id})
        assert observation.count(" a ") == 15  # "a room" and fourteen receptacles
    with pytest.raises(ConfigError, match="files cannot tell of hazards"):
        write_games(tmp_path, "valid", 1, knobs=Knobs(hazards="lock"))


# ---- the environment -----------------------------------------------------------------------------------------------


def test_a_task_id_alone_gives_the_same_game():
    options = {"receptacles": 12, "distractors": 9, "hidden": True, "hazards": "swallow", "hazard_count": 2}
    env = make_env("household", split="test", **options, episodes=3)
    task_id = env.task_ids[2]
    assert task_id == "household-small-test-000002-r12-d9-hidden-swallow2"
    observation, info = env.reset(options={"task_id": task_id})
    seed, size, knobs = parse_task_id(task_id)
    made = generate_game(seed, size=size, knobs=knobs)
    assert info["task"] == made.task
    assert observation.endswith(made.hazards.announcement())


def test_the_irreversible_family_is_hazards_of_all_kinds():
    env = make_env("household", split="valid", family="irreversible", episodes=4)
    assert env.task_ids[3] == "household-small-valid-000003-mixed1"
    types = {env.reset(options={"task_id": task_id})[1]["task_type"] for task_id in env.task_ids}
    assert types == {f"irreversible_{kind}" for kind in ("lock", "swallow", "charge", "fragile")}


def test_environments_travel_between_processes_and_branch():
    env = make_household_env("valid", family="irreversible", episodes=4)
    env.reset(options={"task_id": env.task_ids[0]})
    other = pickle.loads(pickle.dumps(make_household_env("valid", family="irreversible", episodes=4)))
    assert other.reset(options={"task_id": env.task_ids[0]})[1]["irreversible"] is False
    twin = env.clone()
    assert twin.step("look")[0] == env.step("look")[0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"receptacles": 4}, "receptacles=4 is not allowed: choose 5 to 29"),
        ({"receptacles": "many"}, "receptacles='many' is not allowed"),
        ({"receptacles": True}, "receptacles=True is not allowed"),
        ({"distractors": 13}, "distractors=13 is not allowed: choose 0 to 12"),
        ({"distractors": 41, "receptacles": 20}, "distractors=41 is not allowed: choose 0 to 40"),
        ({"hidden": "yes"}, "hidden='yes' is not allowed: choose true, false"),
        ({"hazards": "fire"}, "hazards='fire' is unknown: choose one of none, lock, swallow, charge, fragile, mixed"),
        ({"hazards": "lock", "hazard_count": 0}, "hazard_count=0 is not allowed: choose 1 to 3"),
        ({"hazards": "lock", "hazard_count": None}, "hazard_count=None is not allowed"),
        ({"hazard_count": 2}, "hazard_count=2 needs a kind"),
        ({"family": "hard"}, "family='hard' is unknown: choose standard or irreversible"),
        ({"family": "irreversible", "hazards": "none"}, "contradicts hazards=none"),
        ({"family": "irreversible", "engine": "textworld"}, "engine='textworld' has no hazards"),
        ({"expert": "yes"}, "expert='yes' is not allowed"),
    ],
)
def test_wrong_values_are_refused_in_one_line(options, message):
    with pytest.raises(ConfigError, match=message) as caught:
        make_household_env(**options)
    assert "\n" not in str(caught.value)


def test_rollouts_count_irreversible_failures():
    def factory():
        return make_household_env("valid", hazards="lock", episodes=24)

    ids = factory().task_ids
    careful = run_episodes(factory, ExpertPlanner(), ids, batch_size=8, max_steps=50, seed=0)
    assert all(t.stop is StopReason.WON and not t.irreversible for t in careful)
    chance = run_episodes(factory, RandomPlanner(), ids, batch_size=8, max_steps=50, seed=0)
    assert sum(t.irreversible for t in chance) >= 3
    assert not any(t.irreversible and t.won for t in chance)
    assert {t.task.task_type for t in chance} == {"irreversible_lock"}
