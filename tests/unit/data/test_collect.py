"""`itp collect`: what is played, how it is labelled, and that a second run adds nothing twice."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from itp import make_env
from itp.cli.main import main
from itp.data.collect import NoisyPlanner, label_with_expert
from itp.envs.alfworld.belief import Belief
from itp.envs.alfworld.expert import Expert
from itp.planners.simple import ExpertPlanner
from itp.rollout.lockstep import run_episodes
from itp.trace.store import TraceStore
from itp.types import DecisionContext, State, Trajectory
from models import episodes, save_policy


def collect(out: Path, *words: str) -> int:
    return main(["collect", "--episodes", "3", "--max-steps", "8", *words, "--out", str(out)])


def read(file: Path) -> list[Trajectory]:
    return TraceStore(file).read()


def test_every_noise_level_plays_the_same_tasks_into_its_own_file(tmp_path: Path) -> None:
    assert collect(tmp_path / "out", "--epsilon", "0", "0.5", "1") == 0
    levels = [read(tmp_path / "out" / f"expert-{level}.jsonl") for level in ("0", "0.5", "1")]
    tasks = [{trajectory.task.task_id for trajectory in level} for level in levels]
    assert tasks[0] == tasks[1] == tasks[2]
    assert len(tasks[0]) == 3

    def agreement(level: list[Trajectory]) -> float:
        steps = [step for trajectory in level for step in trajectory.steps]
        return sum(step.decision.action == step.expert_action for step in steps) / len(steps)

    assert agreement(levels[0]) == 1
    assert agreement(levels[0]) > agreement(levels[1]) > agreement(levels[2])
    assert all(step.decision.parse == "random" for trajectory in levels[2] for step in trajectory.steps)


def test_a_second_run_resumes_and_doubles_nothing(tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert collect(out, "--epsilon", "0.3") == 0
    file = out / "expert-0.3.jsonl"
    whole = file.read_bytes()
    assert collect(out, "--epsilon", "0.3") == 0
    assert file.read_bytes() == whole
    lines = whole.splitlines(keepends=True)
    file.write_bytes(lines[0] + lines[1][:40])
    assert collect(out, "--epsilon", "0.3") == 0
    redone = {t.task.task_id: [s.decision.action for s in t.steps] for t in read(file)}
    file.write_bytes(whole)
    assert redone == {t.task.task_id: [s.decision.action for s in t.steps] for t in read(file)}


def test_a_policy_can_be_the_one_that_acts_while_the_expert_labels(tmp_path: Path) -> None:
    policy = save_policy(tmp_path / "policy")
    assert collect(tmp_path / "out", "--behaviour", "policy", "--policy", policy, "--epsilon", "0") == 0
    played = read(tmp_path / "out" / "policy-0.jsonl")
    steps = [step for trajectory in played for step in trajectory.steps]
    assert {step.decision.parse for step in steps} == {"scored"}
    assert any(step.decision.action != step.expert_action for step in steps)


def test_a_policy_writes_its_commands_where_none_are_listed(tmp_path: Path) -> None:
    policy = save_policy(tmp_path / "policy")
    play = ("--env", "workers_toys:told", "--behaviour", "policy", "--policy", policy, "--epsilon", "0")
    assert collect(tmp_path / "long", *play) == 0
    assert collect(tmp_path / "short", *play, "--action-tokens", "2") == 0
    long, short = (read(tmp_path / name / "policy-0.jsonl") for name in ("long", "short"))
    written = [step.decision.policy_usage.completion_tokens for trajectory in short for step in trajectory.steps]
    assert {*written} <= {1, 2}
    assert max(step.decision.policy_usage.completion_tokens for step in long[0].steps) > 2


def test_shards_play_every_task_once_between_them_as_the_whole_run_does(tmp_path: Path) -> None:
    for name, shard in (("all", ""), ("odd", "1/2"), ("even", "2/2")):
        assert (
            collect(tmp_path / name, "--epsilon", "0.3", "--episodes", "4", *(["--shard", shard] if shard else [])) == 0
        )
    everything, odd, even = (read(tmp_path / name / "expert-0.3.jsonl") for name in ("all", "odd", "even"))
    assert len(odd) == len(even) == 2
    actions = {t.task.task_id: [s.decision.action for s in t.steps] for t in everything}
    assert actions == {t.task.task_id: [s.decision.action for s in t.steps] for t in (*odd, *even)}


def test_a_shard_without_tasks_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert collect(tmp_path / "out", "--episodes", "2", "--shard", "3/3") == 2
    assert "make fewer shards" in capsys.readouterr().err
    assert collect(tmp_path / "out", "--action", "constrained") == 2
    assert "needs --behaviour policy" in capsys.readouterr().err


def test_a_policy_at_play_may_be_held_to_the_commands_that_are_listed(tmp_path: Path) -> None:
    play = ("--behaviour", "policy", "--policy", save_policy(tmp_path / "policy"), "--epsilon", "0", "--keep-commands")
    assert collect(tmp_path / "free", *play, "--action", "generate") == 0
    assert collect(tmp_path / "held", *play, "--action", "constrained", "--action-tokens", "40") == 0
    free, held = (read(tmp_path / name / "policy-0.jsonl") for name in ("free", "held"))
    assert all(step.decision.action in (step.admissible or ()) for t in held for step in t.steps)
    assert not all(step.decision.action in (step.admissible or ()) for t in free for step in t.steps)


TOLD = ("--env", "workers_toys:told", "--episodes", "0")


def test_an_environment_that_tells_its_plan_is_played_and_labelled_by_it(tmp_path: Path) -> None:
    assert collect(tmp_path / "out", *TOLD, "--epsilon", "0", "--env-option", "expert=true") == 0
    gold = read(tmp_path / "out" / "expert-0.jsonl")
    assert [trajectory.won for trajectory in gold] == [True] * 12
    assert {(step.decision.action, step.expert_action) for t in gold for step in t.steps} == {("up", "up")}


def test_a_policy_is_held_to_a_grammar_where_no_commands_are_listed(tmp_path: Path) -> None:
    policy = ("--behaviour", "policy", "--policy", save_policy(tmp_path / "policy", renderer="history-v1"))
    told = (*TOLD, *policy, "--epsilon", "0", "--env-option", "expert=true", "grammar=true", "count=4")
    assert collect(tmp_path / "held", *told, "--action", "constrained", "--action-tokens", "40") == 0
    held = read(tmp_path / "held" / "policy-0.jsonl")
    assert {step.decision.action.lower() for t in held for step in t.steps} <= {"up", "down"}  # in any case


def test_noise_gives_episodes_of_every_end_and_the_last_line_counts_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = (*TOLD, "--epsilon", "0.4", "--env-option", "expert=true", "commands=true", "count=60")
    assert collect(tmp_path / "out", *words) == 0
    noisy = read(tmp_path / "out" / "expert-0.4.jsonl")
    won, lost = (sum(t.stop.value == stop for t in noisy) for stop in ("won", "lost"))
    assert min(won, lost) > 10
    assert all(t.irreversible == (t.stop.value == "lost") for t in noisy)
    steps = [step for t in noisy for step in t.steps]
    assert {step.expert_action for step in steps} == {"up"}
    share = sum(step.decision.parse == "random" for step in steps) / len(steps)
    assert 0.25 < share < 0.55
    last = capsys.readouterr().out.splitlines()[-1]
    ends = f"won {won}, lost {lost}, out of steps {60 - won - lost}, failed 0; {lost} beyond repair"
    assert last == f"{tmp_path / 'out' / 'expert-0.4.jsonl'}: 60 episodes, {len(steps)} steps: {ends}"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--epsilon", "0", "0.1", "--env-option", "expert=true"), "this environment lists none: use --epsilon 0"),
        (("--epsilon", "1"), "noise needs admissible commands"),
        (("--epsilon", "0"), "add --env-option expert=true if it has one"),
        (("--epsilon", "0.3", "0.3"), "--epsilon 0.3 0.3: give each noise level once"),
    ],
)
def test_what_an_environment_cannot_play_is_refused_before_anything_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], message: str
) -> None:
    assert collect(tmp_path / "out", *TOLD, *words) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--action-tokens", "0"], "--action-tokens 0 is too small: give at least 1"),
        (["--behaviour", "cat"], "--behaviour cat is unknown: choose one of expert, policy"),
        (["--behaviour", "policy"], "--behaviour policy needs --policy PATH"),
        (["--epsilon", "1.5"], "--epsilon 1.5 is not a probability: give values from 0 to 1"),
        (["--split", "nowhere"], "nowhere"),
    ],
)
def test_wrong_settings_are_refused_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    assert collect(tmp_path / "out", *words) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_another_configuration_in_the_same_folder_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert collect(tmp_path / "out", "--epsilon", "0") == 0
    assert collect(tmp_path / "out", "--epsilon", "0", "--seed", "3") == 2
    assert "seed: 0 there, 3 now" in capsys.readouterr().err


def test_every_state_is_labelled_with_what_the_expert_would_do_in_it() -> None:
    expert = Expert()
    played = episodes(4, 0.5)
    assert any(step.decision.action != step.expert_action for t in played for step in t.steps)
    for trajectory in played:
        again = label_with_expert(trajectory, expert)
        assert [s.decision for s in again.steps] == [s.decision for s in trajectory.steps]
        for state, step in zip(again.states(), again.steps, strict=False):
            if not Belief.of(state).is_stuck:
                assert step.expert_action == expert.act(Belief.of(state))


def test_a_label_is_always_a_command_that_the_game_accepts_there() -> None:
    env = make_env("household")
    played = run_episodes(
        lambda: make_env("household", max_steps=10),
        NoisyPlanner(ExpertPlanner(), 0.6),
        list(env.task_ids)[:6],
        batch_size=6,
        max_steps=10,
        seed=1,
    )
    for trajectory in played:
        for before, after in zip(trajectory.steps, label_with_expert(trajectory, Expert()).steps, strict=True):
            assert before.admissible is not None
            assert after.expert_action in (*before.admissible, "")


def test_a_heedless_expert_loses_games_and_is_silent_after_a_loss(tmp_path: Path) -> None:
    words = ("--env-option", "family=irreversible", "--epsilon", "0", "--episodes", "24", "--max-steps", "20")
    assert collect(tmp_path / "heeds", *words) == 0
    assert collect(tmp_path / "heedless", *words, "--heedless") == 0
    careful, heedless = (read(tmp_path / name / "expert-0.jsonl") for name in ("heeds", "heedless"))
    assert all(t.won for t in careful)
    lost = [t for t in heedless if t.irreversible]
    assert 4 <= len(lost) <= 20
    for trajectory in lost:
        tells = [" for good." in step.observation for step in trajectory.steps].index(True)
        labels = [step.expert_action for step in trajectory.steps]
        assert all(labels[: tells + 1])
        assert not any(labels[tells + 1 :]), "a lost player's words are no label"


def test_noise_depends_on_the_context_alone() -> None:
    room = "You are in the middle of a room. Looking quickly around you, you see a desk 1, and a shelf 1."
    state = State("put a mug in desk.", room)
    contexts = [DecisionContext(state, ("go to desk 1", "go to shelf 1", "look"), seed) for seed in range(60)]
    planner = NoisyPlanner(ExpertPlanner(), 0.5)
    forwards, backwards = planner.decide(contexts), planner.decide(contexts[::-1])[::-1]
    assert forwards == backwards
    share = sum(decision.parse == "random" for decision in forwards) / 60
    assert 0.3 < share < 0.7


def test_the_documented_line_is_what_is_written_and_every_field_is_documented(tmp_path: Path) -> None:
    text = (Path(__file__).parents[3] / "docs" / "trajectories.md").read_text()
    documented = json.loads(next(line for line in text.splitlines() if line.startswith('{"schema_version"')))
    assert collect(tmp_path / "out", "--epsilon", "0", "--episodes", "1", "--max-steps", "1") == 0
    written = json.loads((tmp_path / "out" / "expert-0.jsonl").read_text())
    assert {**documented, "seconds": 0} == {**written, "seconds": 0}
    step = written["steps"][0]
    names = {part for name in re.findall(r"`([\w.]+)`", text) for part in name.split(".")}
    for record in (written, written["task"], step, step["decision"], step["decision"]["policy_usage"]):
        assert record.keys() <= names
