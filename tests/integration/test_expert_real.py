"""The expert, the belief and its predictions on real ALFWorld games (train only)."""

from __future__ import annotations

import random
from collections import Counter

import pytest

import itp
from itp.envs.alfworld.belief import Belief, parse_goal, predict_observation
from itp.envs.alfworld.expert import Expert, solve

pytestmark = pytest.mark.realdata

FAMILIES = {
    "pick_and_place_simple": "pick",
    "look_at_obj_in_light": "look",
    "pick_clean_then_place_in_recep": "clean",
    "pick_heat_then_place_in_recep": "heat",
    "pick_cool_then_place_in_recep": "cool",
    "pick_two_obj_and_place": "pick2",
}


@pytest.fixture(scope="module")
def env(alfworld_data):
    return itp.make_env("alfworld", split="train", data=alfworld_data, max_steps=10_000)


def test_every_fifth_goal_is_read_as_the_folder_name_says(env):
    for task_id in env.task_ids[::5]:
        _, info = env.reset(options={"task_id": task_id})
        goal = parse_goal(info["task"])
        _, target, _, destination, _ = task_id.split("/")[0].rsplit("-", 4)
        assert goal.family == FAMILIES[info["task_type"]]
        assert (goal.target, goal.destination) == (target.lower(), destination.lower())


@pytest.mark.parametrize(("use_admissible", "floor"), [(True, 0.99), (False, 0.99)])
def test_the_expert_solves_train_games_within_50_steps(env, use_admissible, floor):
    results = [solve(env, task_id, Expert(), 50, use_admissible) for task_id in env.task_ids[::9]]
    wins = [steps for won, steps in results if won]
    assert len(wins) / len(results) >= floor
    assert sum(wins) / len(wins) < 9.5


def test_after_random_play_only_lost_games_stay_unsolved(env):
    for task_id in env.task_ids[::11]:
        draw = random.Random(task_id)
        observation, info = env.reset(options={"task_id": task_id})
        belief, won = Belief.start(info["task"], observation), False
        for step in range(60):
            commands = info["admissible_commands"]
            action = draw.choice(commands) if step < 10 else Expert().act(belief, commands)
            observation, _, won, _, info = env.step(action)
            belief.update(action, observation)
            if won:
                break
        assert won or belief.is_stuck, task_id


def test_predictions_are_exact_where_the_belief_determines_the_answer(env):
    seen, hits = Counter(), Counter()
    for task_id in env.task_ids[::25]:
        draw = random.Random(task_id)
        observation, info = env.reset(options={"task_id": task_id})
        belief = Belief.start(info["task"], observation)
        for _ in range(40):
            commands = info["admissible_commands"]
            action = draw.choice(commands) if draw.random() < 0.6 else Expert().act(belief, commands)
            verb = action.split()[0]
            if verb == "go":
                verb = "revisit" if action[6:] in belief.visited and action[6:] in belief.places else "first visit"
            predicted = predict_observation(belief, action)
            observation, _, won, _, info = env.step(action)
            seen[verb] += 1
            hits[verb] += predicted == observation
            if won:
                break
            belief.update(action, observation)
    for verb in ("revisit", "close", "clean", "heat", "cool", "inventory"):
        assert seen[verb] == 0 or hits[verb] / seen[verb] == 1.0, verb
    for verb in ("take", "put", "use"):
        assert hits[verb] / seen[verb] > 0.95, verb
