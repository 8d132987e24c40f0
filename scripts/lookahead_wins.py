"""A planning problem where lookahead must win, with everything but the planner held fixed.

    python scripts/lookahead_wins.py                    # 200 valid games, K = 0 to 5; under a minute

Household games whose irreversible hazards are not announced, the engine itself as the world model, and one policy by
rule for all rows: it plays as the heedless expert does, and where the foresight that it is shown tells of a loss it
takes the next command that this expert would think of. With K = 0 nobody shows it anything, which is `act`. So the
difference between rows is what imagination brings when neither the policy's words nor the world model's can be wrong.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import partial

from itp import make_env
from itp.envs.alfworld.belief import Belief
from itp.envs.alfworld.expert import Expert
from itp.envs.alfworld.hazards import parse_fates
from itp.evaluation.metrics import summarize
from itp.lm.base import Completion, Sampling, Scores
from itp.planners.horizon import FixedHorizon
from itp.planners.itp import ItpPlanner
from itp.rollout.lockstep import run_episodes
from itp.types import ImaginedTrajectory, State
from itp.world_model.exact import ExactWorldModel


class RulePolicy:
    """The heedless expert, who draws back from a command whose imagined future tells of a loss."""

    def __init__(self) -> None:
        self.expert = Expert(heeds=False)

    def propose(self, states: Sequence[State], sampling: Sampling) -> list[Completion]:
        """The expert's command, as the policy inside the imagination."""
        return [Completion(self.expert.act(Belief.of(state)), 0.0, 0, 0) for state in states]

    def score_actions(
        self,
        states: Sequence[State],
        foresights: Sequence[ImaginedTrajectory],
        candidates: Sequence[Sequence[str]],
    ) -> list[Scores]:
        """0 for the chosen command, -1 for all others."""
        chosen = [self.choose(*row) for row in zip(states, foresights, candidates, strict=True)]
        return [
            Scores(tuple(0.0 if command == own else -1.0 for command in commands), 0, 0)
            for own, commands in zip(chosen, candidates, strict=True)
        ]

    def choose(self, state: State, foresight: ImaginedTrajectory, commands: Sequence[str]) -> str:
        """The expert's command, or its next thought where that one's future tells of a loss."""
        belief = Belief.of(state)
        command = self.expert.act(belief, commands)
        if not any(is_loss(step.observation) for step in foresight.steps):
            return command
        return self.expert.act(
            belief, [other for other in commands if other not in (command, foresight.steps[0].action)]
        )


def is_loss(observation: str) -> bool:
    """Whether something was lost for good; a device that has done its work once is not."""
    return any(fate != "is used up" for _, fate in parse_fates(observation))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--episodes", type=int, default=200)
    parser.add_argument("--max-steps", type=int, default=30)
    parser.add_argument("--horizons", type=int, nargs="+", default=[0, 1, 2, 3, 4, 5])
    parser.add_argument("--kinds", action="store_true", help="success by kind of hazard too")
    args = parser.parse_args()
    games = partial(
        make_env, "household", split="valid", family="irreversible", announce=False, max_steps=args.max_steps
    )
    tasks = list(games().task_ids)[: args.episodes]
    print("| K | n | success % | 95% interval | irreversible failures |")
    print("|---:|---:|---:|---|---:|")
    for k in args.horizons:
        planner = ItpPlanner(RulePolicy(), ExactWorldModel(games), FixedHorizon(k))  # pyright: ignore[reportArgumentType]
        played = run_episodes(games, planner, tasks, batch_size=64, max_steps=args.max_steps, seed=0)
        found = summarize(played, env="household", split="valid", planner=planner.name)
        low, high = found["success_ci95"]
        print(
            f"| {k} | {found['n']} | {100 * found['success_rate']:.1f} | {100 * low:.1f}-{100 * high:.1f} "
            f"| {found['irreversible_failures']} |",
            flush=True,
        )
        if args.kinds:
            print({name: f"{100 * group['success_rate']:.0f}" for name, group in found["by_task_type"].items()})


if __name__ == "__main__":
    main()
