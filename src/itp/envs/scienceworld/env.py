"""ScienceWorld episodes behind the `TextEnv` contract: tasks, step limits, scores, fatal mistakes, gold paths.

What `itp.make_env("scienceworld")` builds. The simulator counts moves of its own (a `wait` is ten); here an action is a
step, and the limit is the field's for each task.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

from itp.envs.base import InfoDict, TextEnv, check_step
from itp.envs.scienceworld.aliases import NAMES, aliases
from itp.envs.scienceworld.grammar import grammar
from itp.envs.scienceworld.plan_store import PlanStore, TidyPlan
from itp.envs.scienceworld.plans import Plan, detours
from itp.envs.scienceworld.readings import READINGS, compared
from itp.envs.scienceworld.rehearsal import WON, Rehearsal, after
from itp.envs.scienceworld.simulator import POOL, SIMPLIFICATIONS, TIMEOUT, Answer, Simulator, official_env
from itp.envs.scienceworld.splits import max_steps as field_max_steps
from itp.envs.scienceworld.splits import task_ids
from itp.errors import ConfigError, EnvError

ENGINES = ("fast", "official")
COMMANDS = ("none", "valid", "grammar", "detours", "focuses")
EXPERTS = (False, True, "tidy")
_HEADER = "Task Description:"
_PLANS = PlanStore()


def make_scienceworld_env(
    *,
    split: str = "train",
    engine: str = "fast",
    data: str | Path | None = None,
    max_steps: int | None = None,
    simplifications: str = "easy",
    commands: str = "none",
    expert: bool | str = False,
    readings: str = "plain",
    names: str = "plain",
    moved: int = 0,
    timeout: float = TIMEOUT,
) -> TextEnv:
    """Create the environment; a JVM is started at the first reset.

    Args:
        split: "train", "test_seen", "test_unseen" (the field's), "fit" and "valid" (nine tenths and one of train), or
            "sim-train", "sim-dev", "sim-test" (the simulator's, all 30 tasks); for training "wide", "rare", "more" and
            "spare", for choosing "dev": see `itp.envs.scienceworld.splits`.
        engine: "fast" steps the simulator alone; "official" goes through the library's `step`, which recomputes look,
            inventory and all valid actions. The text is the same.
        data: folder of the field's split files; None takes SCIENCEWORLD_DATA, or the same lists recreated.
        max_steps: actions before an episode is truncated; None takes the field's limit of each task.
        simplifications: names with commas between, out of `SIMPLIFICATIONS`; "easy" is all of them, "" none.
        commands: "valid" fills `info["admissible_commands"]` at every step (tens of milliseconds); "none" leaves it
            None, and `valid_actions` gives them on demand. "grammar" leaves it None and fills `info["command_grammar"]`
            (`itp.envs.scienceworld.grammar`). "detours" is for noise in `itp collect`: about twenty
            commands, right and wrong, that seldom spoil the plan; needs `expert` "tidy". "focuses" is noise for
            a policy at play: the grammar, and a list of focuses on all that is in sight, most of them fatal.
        expert: fill `info["expert_plan"]` with the rest of the simulator's gold path, as long as it is followed.
            "tidy" is half as long and outlives detours: see `itp.envs.scienceworld.plans`.
        readings: "compared" says after every temperature on which side of the task's limit it is; "plain" leaves the
            simulator's text as it is.
        names: "target" calls the thing that the task names "target" in every text, and understands that in commands;
            "roles" does so with the boxes and rooms that it names too (`itp.envs.scienceworld.aliases`); "plain" with
            nothing.
        moved: other than 0, where the expert looks for the thing that a task names, it is carried to another room
            before the episode begins; the number draws the room (`itp.envs.scienceworld.moved`). For training; needs
            `expert` "tidy".
        timeout: seconds that one call of the simulator may take.

    Raises:
        ConfigError: an argument has a value that is not allowed.
        DataError: a split file is missing.
    """
    for name, value, allowed in (
        ("engine", engine, ENGINES),
        ("commands", commands, COMMANDS),
        ("readings", readings, READINGS),
        ("names", names, NAMES),
    ):
        if value not in allowed:
            raise ConfigError(f"{name} {value!r} is unknown; scienceworld has {', '.join(allowed)}")
    for word in filter(None, simplifications.split(",")):
        if word not in SIMPLIFICATIONS:
            raise ConfigError(f"simplification {word!r} is unknown; allowed are {', '.join(SIMPLIFICATIONS)}")
    if expert not in EXPERTS:
        raise ConfigError(f"expert {expert!r} is unknown; scienceworld has {', '.join(map(str, EXPERTS))}")
    if commands == "detours" and expert != "tidy":
        raise ConfigError("commands=detours are detours from a tidy plan: give expert=tidy as well")
    if expert == "tidy" and "easy" not in simplifications.split(","):
        raise ConfigError("expert=tidy teleports and finds all doors open: leave simplifications at easy")
    if not isinstance(moved, int) or moved < 0:
        raise ConfigError(f"moved={moved!r} must be a whole number, at least 0")
    if moved and expert != "tidy":
        raise ConfigError("moved needs a plan that finds what was moved: give expert=tidy as well")
    if max_steps is not None and (not isinstance(max_steps, int) or max_steps < 1):
        raise ConfigError(f"max_steps={max_steps!r} must be a whole number, at least 1")
    if not isinstance(timeout, int | float) or timeout <= 0:
        raise ConfigError(f"timeout={timeout!r} must be a number of seconds above 0")
    return ScienceWorldTextEnv(
        task_ids(split, data),
        official=engine == "official",
        max_steps=max_steps,
        simplifications=simplifications,
        commands=commands,
        expert=expert,
        readings=readings,
        names=names,
        moved=moved,
        timeout=timeout,
    )


class ScienceWorldTextEnv(TextEnv):
    """ScienceWorld tasks. A task id is "NAME/VARIATION", the task type the name.

    The score runs from 0 to 100, or is negative after a fatal mistake (focusing on the wrong thing), which ends the
    episode with `info["irreversible"]`. Reward is the change of score over 100. Won means a score of 100.

    Args:
        task_ids: tasks in order, each once.
        official: step through the library instead of the bare simulator.
        max_steps: actions before an episode is truncated; None takes the field's limit of each task.
        simplifications: see `make_scienceworld_env`; electrical tasks go without noElectricalAction.
        commands: fill `info["admissible_commands"]`: see `make_scienceworld_env`.
        expert: fill `info["expert_plan"]`.
        readings: "compared" or "plain": see `make_scienceworld_env`.
        names: out of `NAMES`: see `make_scienceworld_env`.
        moved: see `make_scienceworld_env`.
        timeout: seconds that one call of the simulator may take.
    """

    dear_clones = True

    def __init__(
        self,
        task_ids: Sequence[str],
        *,
        official: bool = False,
        max_steps: int | None = None,
        simplifications: str = "easy",
        commands: str = "none",
        expert: bool | str = False,
        readings: str = "plain",
        names: str = "plain",
        moved: int = 0,
        timeout: float = TIMEOUT,
    ) -> None:
        super().__init__()
        self._task_ids = tuple(task_ids)
        self.max_steps = max_steps
        self._official, self._commands, self._expert, self._readings = official, commands, expert, readings
        self._simplifications, self._names, self._moved = simplifications, names, moved
        self._timeout = timeout
        self._say, self._mean = aliases("", names)
        self._simulator: Simulator | None = None
        self._library_env: Any = None
        self._task_id = self._task = ""
        self._actions: list[str] = []
        self._plan = Plan()
        self._score = 0
        self._running: bool | None = None

    @property
    def task_ids(self) -> Sequence[str]:
        """Task ids of the split, in a fixed order."""
        return self._task_ids

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, InfoDict]:
        """Start the task that `options["task_id"]` names, or one drawn with the seed; see `TextEnv.reset`.

        Raises:
            EnvError: the simulator died or hung; a new environment starts another.
        """
        self._running, self._task_id = None, self.choose_task(seed, options)
        if self._simulator is not None and not self._simulator.usable:
            self._simulator.close()  # it died, or has grown too large
            self._simulator = None
        if self._simulator is None:
            self._simulator = POOL.take(self._timeout)
        text = self._start(self._simulator)
        self._actions, self._score, self._running = [], 0, True
        return self._say(text), self._info(self._simulator, text)

    def _start(self, simulator: Simulator) -> str:
        name, _, variation = self._task_id.partition("/")
        if "noElectricalAction" in self._simplifications and ("power" in name or "conductivity" in name):
            raise ConfigError(f"task {name} needs electrical actions: leave noElectricalAction out of simplifications")
        expert = self._expert if self.tells_plans or self._moved else False  # what is moved before, a plan tells
        prelude, plan = self._tidy_plan(simulator) if expert == "tidy" else ([], None)
        text = simulator.load(name, int(variation), self._simplifications, expert is True)
        text = after(simulator, prelude) or text
        self._plan = Plan.start(plan if plan is not None else simulator.gold_path() if expert else [], text)
        self._task = simulator.task_description().removeprefix(_HEADER).strip()
        self._say, self._mean = aliases(self._task, self._names)
        if self._official:
            self._library_env = official_env(simulator, name, int(variation), self._simplifications)
        return text

    def step(self, action: str) -> tuple[str, float, bool, bool, InfoDict]:
        """Carry out an action.

        Raises:
            EnvError: before reset, after the end, with an action that is not a string, or when the simulator died or
                hung.
        """
        check_step(self._running, action)
        simulator = self._playing()
        action = self._mean(action)
        answer = self._act(simulator, action)
        reward, self._score = (answer.score - self._score) / 100, answer.score
        self._actions.append(action)
        terminated = answer.completed or answer.score < 0
        if not terminated and (self._expert == "tidy" or action in self._plan.left[:1]):
            self._plan.took(action, answer.text)
        else:
            self._plan = Plan()  # off the path, or over: a gold path may go on after it has won
        limit = self.max_steps or field_max_steps(self._task_id.partition("/")[0])
        truncated = not terminated and len(self._actions) >= limit
        self._running = not (terminated or truncated)
        text = compared(answer.text, self._task) if self._readings == "compared" else answer.text
        return self._say(text), reward, terminated, truncated, self._info(simulator, answer.text)

    def _act(self, simulator: Simulator, action: str) -> Answer:
        if self._official:
            return simulator.official_step(self._library_env, action)
        return simulator.step(action)

    def valid_actions(self) -> list[str]:
        """Every command that the simulator takes now, sorted: 100 to 1,600 of them.

        Raises:
            EnvError: before reset, or when the simulator died or hung.
        """
        return [self._say(command) for command in self._playing().valid_actions()]

    def _playing(self) -> Simulator:
        if self._simulator is None:
            raise EnvError("there is no episode yet; call reset first")
        return self._simulator

    def clone(self) -> Self:
        """A copy on another JVM, brought into the same state by the same actions."""
        twin = type(self)(
            self._task_ids,
            official=self._official,
            max_steps=self.max_steps,
            simplifications=self._simplifications,
            commands=self._commands,
            expert=self._expert,
            readings=self._readings,
            names=self._names,
            moved=self._moved,
            timeout=self._timeout,
        )
        if self._simulator is not None:
            twin._task_id, twin._simulator = self._task_id, POOL.take(self._timeout)
            twin._start(twin._simulator)
            for action in self._actions:
                twin._act(twin._simulator, action)
        twin._actions, twin._plan, twin._score = self._actions.copy(), replace(self._plan), self._score
        twin._running = self._running
        return twin

    def _tidy_plan(self, simulator: Simulator) -> TidyPlan:
        """What happens before the episode, and the tidiest plan that wins then."""
        name, _, variation = self._task_id.partition("/")
        rehearsal = Rehearsal(simulator, name, int(variation), self._simplifications)
        found = _PLANS.find(self._task_id, self._simplifications, 0, rehearsal.plan)
        if not self._moved:
            return found
        return _PLANS.find(
            self._task_id, self._simplifications, self._moved, lambda: rehearsal.moved(found.plan, self._moved)
        )

    def close(self) -> None:
        """Give the JVM back to the pool, which ends with this process. Calling it twice is harmless."""
        if self._simulator is not None:
            POOL.give(self._simulator)
        self._simulator, self._library_env, self._running = None, None, None

    def _info(self, simulator: Simulator, observation: str) -> InfoDict:
        info = InfoDict(
            task=self._say(self._task),
            task_id=self._task_id,
            task_type=self._task_id.partition("/")[0],
            admissible_commands=None if (listed := self._listed(simulator)) is None else [*map(self._say, listed)],
            won=self._score >= WON,
            score=float(self._score),
            irreversible=self._score < 0,
        )
        if self._commands in ("grammar", "focuses") and self._running:
            info["command_grammar"] = grammar(simulator.names(), observation, self._say)
        if self._expert and self.tells_plans:
            info["expert_plan"] = [self._say(command) for command in self._plan.commands()]
        return info

    def _listed(self, simulator: Simulator) -> list[str] | None:
        if self._commands == "detours":
            draw = random.Random(f"{self._task_id} {len(self._actions)}")
            return detours(self._plan.commands(), self._plan.room, draw)
        if self._commands == "focuses":
            return [f"focus on {name}" for name in simulator.names()]
        return simulator.valid_actions() if self._commands == "valid" else None
