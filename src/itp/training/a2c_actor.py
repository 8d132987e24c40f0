"""A2C's actor: the policy at play in parallel environments, with imagination, writing down what an update needs.

Its state (tasks, episodes so far, random generators) can be saved and restored: environments are replayed to where they
were, so that a resumed run goes on as if it had never stopped.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from itp.envs.vector import Episode, Failure, Outcome, Turn, VectorEnv
from itp.errors import EnvError
from itp.lm.base import Sampling
from itp.lm.trie import TokenTrie
from itp.planners.avoiding import likeliest_first
from itp.planners.horizon import DrawnHorizon
from itp.policy.model import Policy
from itp.training.a2c import Config
from itp.training.a2c_eval import looking
from itp.training.advantages import horizon_cost
from itp.types import CommandGrammar, DecisionContext, ImaginedTrajectory, State, Usage
from itp.world_model.base import WorldModel
from itp.world_model.imagination import Imagination, imagine

MAX_FAILURES = 20
"""Episodes in a row that may fail in their environment before the run gives up."""


@dataclass(slots=True)
class Transition:
    """One decision of one environment, with all that the update needs to score it again.

    `actions` holds the candidates in `score` mode and the one generated action in `generate` mode; `action` is the
    index of the sampled one.
    """

    state: State
    horizon: int
    foresight: ImaginedTrajectory
    actions: TokenTrie
    action: int
    reward: float
    value: float
    next_value: float = 0.0
    terminated: bool = False
    truncated: bool = False


@dataclass(slots=True)
class _Slot:
    """What one environment plays."""

    episode: Episode
    state: State
    commands: tuple[str, ...]
    grammar: CommandGrammar | None = None


class Actor:
    """Plays the policy in parallel environments and remembers how it did.

    Args:
        config: settings of the run.
        policy: π with heads.
        world_model: M, frozen.
        envs: the environments; the actor uses all of their slots.
        task_ids: tasks to draw episodes from.
        seed: of everything that is drawn.
    """

    def __init__(
        self,
        config: Config,
        policy: Policy,
        world_model: WorldModel,
        envs: VectorEnv,
        task_ids: Sequence[str],
        seed: int,
    ) -> None:
        self.config, self.policy, self.world_model, self.envs = config, policy, world_model, envs
        self.task_ids = task_ids
        self.random = random.Random(seed)
        self.torch_random = torch.Generator().manual_seed(seed)
        self.wins: deque[bool] = deque(maxlen=100)
        self.progress = 0.0
        self.failures = 0
        self.slots: dict[int, _Slot] = {}
        self._orders: list[list[int]] = []

    def state_dict(self) -> dict[str, Any]:
        """Everything that decides how play goes on."""
        return {
            "random": self.random.getstate(),
            "torch_random": self.torch_random.get_state(),
            "wins": list(self.wins),
            "episodes": [
                (slot.episode.task_id, slot.episode.seed, [action for action, _ in slot.state.history])
                for slot in self.slots.values()
            ],
        }

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Go on from a saved state. An environment that does not come back to its state begins a new episode."""
        version, internal, gauss = saved["random"]
        self.random.setstate((version, tuple(internal), gauss))
        self.torch_random.set_state(saved["torch_random"])
        self.wins.extend(saved["wins"])
        for number, (task_id, seed, actions) in enumerate(saved["episodes"]):
            self._begin(number, Episode(task_id, seed))
            for action in actions:
                outcome = self.envs.step({number: action})[number]
                if isinstance(outcome, Failure) or outcome.terminated or outcome.truncated:
                    self._begin(number)
                    break
                self._extend(number, action, outcome)

    def collect(self) -> list[list[Transition]]:
        """Play `rollout` steps in every environment: a list of steps, each a list over environments."""
        for number in range(self.envs.num_envs):
            if number not in self.slots:
                self._begin(number)
        steps = [self._step() for _ in range(self.config.rollout)]
        last_values = self.policy.control(self._states()).values_B.tolist()
        for t, step in enumerate(steps):
            for n, transition in enumerate(step):
                if not (transition.terminated or transition.truncated):
                    transition.next_value = steps[t + 1][n].value if t + 1 < len(steps) else last_values[n]
        return steps

    def _states(self) -> list[State]:
        return [self.slots[number].state for number in range(self.envs.num_envs)]

    def _step(self) -> list[Transition]:
        states = self._states()
        control = self.policy.control(states)
        horizons = self._draw(control.horizon_logits_BK.softmax(-1))
        if self.config.avoid:
            transitions, commands, imagined = self._look_first(states, horizons)
        else:
            sampling = Sampling(max_new_tokens=self.config.imagined_action_tokens)
            imagined = imagine(states, horizons, self.policy, self.world_model, sampling=sampling)
            transitions, commands = self._act(states, horizons, imagined)
        values = control.values_B.tolist()
        outcomes = self.envs.step(dict(enumerate(commands)))
        for n, (transition, command) in enumerate(zip(transitions, commands, strict=True)):
            transition.value = values[n]
            self._finish(n, transition, command, imagined[n], outcomes[n])
        return transitions

    def _look_first(
        self, states: list[State], horizons: list[int]
    ) -> tuple[list[Transition], list[str], list[Imagination]]:
        """Commands in a drawn order, the first whose imagined future does not warn; see `itp.planners.avoiding`.

        What the policy answers for is its first draw: passing over it is the planner's doing. Commands that it writes
        are not drawn: then it answers for K alone.
        """
        self._orders.clear()
        writes, slots = self.config.writes, [self.slots[n] for n in range(len(states))]
        listed = [slot.commands for slot in slots]
        rank = likeliest_first if writes else self._draw_order
        planner = looking(self.policy, self.world_model, DrawnHorizon(horizons), self.config, rank)
        decisions = planner.decide([DecisionContext(slot.state, slot.commands, grammar=slot.grammar) for slot in slots])
        if writes:  # nothing was drawn, and nothing is learnt from the one candidate
            listed, self._orders = [(decision.action,) for decision in decisions], [[0]] * len(decisions)
        transitions = [
            Transition(state, k, ImaginedTrajectory(), self.policy.lm.trie(commands), order[0], 0.0, 0.0)
            for state, k, commands, order in zip(states, horizons, listed, self._orders, strict=True)
        ]
        imagined = [Imagination(d.foresight, d.imagination_usage, Usage()) for d in decisions]
        return transitions, [decision.action for decision in decisions], imagined

    def _draw_order(self, logprobs: Sequence[float]) -> list[int]:
        """All commands, drawn one after another without putting back, at the sampling temperature (Gumbel's trick)."""
        uniform = torch.rand(len(logprobs), generator=self.torch_random, dtype=torch.float64).clamp_min(1e-300)
        keys = torch.tensor(logprobs, dtype=torch.float64) / self.config.temperature - (-uniform.log()).log()
        self._orders.append(keys.argsort(descending=True).tolist())
        return self._orders[-1]

    def _act(
        self, states: list[State], horizons: list[int], imagined: list[Imagination]
    ) -> tuple[list[Transition], list[str]]:
        """Draw an action for every environment, by score or by generation."""
        foresights = [i.foresight for i in imagined]
        if self.config.generates:
            sampling = Sampling(
                self.config.action_tokens, self.config.temperature, self.config.top_p, self.random.getrandbits(32)
            )
            completions = self.policy.generate_actions(states, foresights, sampling)
            drawn = [(TokenTrie.build([c.ids]), 0, c.text) for c in completions]
        else:
            candidates = [self.slots[n].commands for n in range(len(states))]
            scores = self.policy.score_actions(states, foresights, candidates)
            drawn = []
            for texts, score in zip(candidates, scores, strict=True):
                logits = torch.tensor(score.logprobs) / self.config.temperature
                action = self._draw(logits.softmax(-1)[None])[0]
                drawn.append((self.policy.lm.trie(texts), action, texts[action]))
        transitions = [
            Transition(state, k, foresight, trie, action, 0.0, 0.0)
            for state, k, foresight, (trie, action, _) in zip(states, horizons, foresights, drawn, strict=True)
        ]
        return transitions, [text for _, _, text in drawn]

    def _finish(self, n: int, transition: Transition, command: str, imagination: Imagination, outcome: Outcome) -> None:
        """Reward one decision and move its environment on (Liu et al. 2026, eq. 7)."""
        config, slot = self.config, self.slots[n]
        if isinstance(outcome, Failure):  # nobody's fault: the episode is cut where it stands
            transition.truncated, transition.next_value = True, transition.value
            self._failed(outcome)
            self._begin(n)
            return
        self.failures = 0
        invalid = config.writes and bool(slot.commands) and command not in slot.commands
        cost = horizon_cost(
            config.cost,
            config.lambda_k,
            horizon=transition.horizon,
            imagined_tokens=imagination.policy_usage.completion_tokens
            + imagination.world_model_usage.completion_tokens,
            progress=self.progress,
        )
        bonus = config.success_bonus if outcome.info["won"] else 0.0
        penalty = config.invalid_penalty if invalid else 0.0
        transition.reward = outcome.reward + bonus - cost - config.lambda_step - penalty
        lost = (
            config.irreversible_penalty is not None
            and bool(outcome.info.get("irreversible"))
            and not outcome.info["won"]
        )
        if lost:
            transition.reward -= config.irreversible_penalty or 0.0
        lost = lost or (config.limit == "loss" and outcome.truncated)
        transition.terminated = outcome.terminated or lost
        transition.truncated = outcome.truncated and not transition.terminated
        self._extend(n, command, outcome)
        if transition.truncated:
            transition.next_value = float(self.policy.control([slot.state]).values_B[0])
        if transition.terminated or transition.truncated:
            self.wins.append(bool(outcome.info["won"]))
            self._begin(n)

    def _extend(self, n: int, command: str, outcome: Turn) -> None:
        slot = self.slots[n]
        slot.state = slot.state.extend(command, outcome.observation)
        slot.commands, slot.grammar = self._commands(outcome), outcome.info.get("command_grammar")

    def _begin(self, n: int, episode: Episode | None = None) -> None:
        """Start an episode; a task that cannot be started is passed over."""
        while True:
            episode = episode or Episode(self.random.choice(self.task_ids), self.random.getrandbits(31))
            outcome = self.envs.reset({n: episode})[n]
            if isinstance(outcome, Turn):
                state = State(outcome.info["task"], outcome.observation)
                grammar = outcome.info.get("command_grammar")
                self.slots[n] = _Slot(episode, state, self._commands(outcome), grammar)
                return
            self._failed(outcome)
            episode = None

    def _failed(self, failure: Failure) -> None:
        self.failures += 1
        if self.failures > MAX_FAILURES:
            raise EnvError(f"{self.failures} episodes in a row failed; the last said: {failure.message}")

    def _commands(self, outcome: Turn) -> tuple[str, ...]:
        commands = outcome.info["admissible_commands"]
        if not commands and self.config.action == "score" and not (outcome.terminated or outcome.truncated):
            raise EnvError(
                f"--action score needs admissible commands, and {self.config.env} lists none: use --action generate"
            )
        return tuple(commands or ())

    def _draw(self, probs: torch.Tensor) -> list[int]:
        return torch.multinomial(probs.float().cpu(), 1, generator=self.torch_random).squeeze(-1).tolist()
