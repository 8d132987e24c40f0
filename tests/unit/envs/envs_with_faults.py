"""A right environment and many with one deliberate fault each, for the tests of `check_text_env`."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, TypeVar

import gymnasium

from itp.envs.base import TextEnv
from itp.errors import EnvError


class Count(TextEnv):
    """A right environment: count to a number, neither more nor less."""

    goals: tuple[Any, ...] = ("five", "six", "seven")

    def __init__(self, max_steps: int | None = None) -> None:
        super().__init__()
        self.max_steps = 40 if max_steps is None else max_steps
        self.running = False

    @property
    def task_ids(self) -> Any:
        return self.goals

    def reset(self, *, seed=None, options=None) -> Any:
        gymnasium.Env.reset(self, seed=seed)
        task = (options or {}).get("task_id") or self.goals[int(self.np_random.integers(len(self.goals)))]
        if task not in self.goals:
            raise EnvError(f"task_id {task!r} is unknown")
        self.task, self.count, self.steps, self.running = task, 0, 0, True
        return "You have counted to 0.", self.info()

    def step(self, action) -> Any:
        if not self.running:
            raise EnvError("call reset first")
        if not isinstance(action, str):
            raise EnvError(f"an action must be a string, found {action!r}")
        self.count += {"add one": 1, "add two": 2}.get(action, 0)
        self.steps += 1
        over, truncated = self.count >= self.aim(), self.steps >= self.max_steps
        self.running = not (over or truncated)
        return f"You have counted to {self.count}.", float(self.count == self.aim()), over, truncated, self.info()

    def aim(self) -> int:
        return 5 + self.goals.index(self.task)

    def info(self) -> Any:
        return {
            "task": f"count to {self.task}",
            "task_id": self.task,
            "task_type": "count",
            "admissible_commands": ["add one", "add two", "look"],
            "won": self.count == self.aim(),
            "score": float(self.count),
        }

    def clone(self) -> Any:
        return copy.deepcopy(self)


FAULTS: list[tuple[str, type[Count]]] = []


Faulty = TypeVar("Faulty", bound=type[Count])


def fault(line: str) -> Callable[[Faulty], Faulty]:
    """Enter a faulty environment together with how its line begins."""

    def keep(faulty: Faulty) -> Faulty:
        FAULTS.append((line, faulty))
        return faulty

    return keep


@fault("task_ids: expected a property that lists the task ids, found NotImplementedError:")
class NoTasks(Count):
    @property
    def task_ids(self):
        raise NotImplementedError


@fault("task_ids: expected a sequence (list or tuple) of strings, found str 'five'")
class TasksAreAString(Count):
    task_ids = "five"  # pyright: ignore


@fault("task_ids: expected at least one task, found none")
class EmptyTasks(Count):
    task_ids = ()  # pyright: ignore


@fault("task_ids: expected strings, found int 1")
class NumberedTasks(Count):
    task_ids = (1, 2)  # pyright: ignore


@fault("task_ids: expected unique ids, found 1 repeated")
class RepeatedTasks(Count):
    goals = ("five", "six", "five")


@fault("task_ids: expected the same ids in the same order from every instance, found another list")
class ShuffledTasks(Count):
    number = 0

    def __init__(self, max_steps=None):
        super().__init__(max_steps)
        ShuffledTasks.number += 1
        self.goals = Count.goals if self.number % 2 else Count.goals[::-1]

    def aim(self):
        return 5 + Count.goals.index(self.task)

    def reset(self, *, seed=None, options=None):
        own, self.goals = self.goals, Count.goals
        try:
            return super().reset(seed=seed, options=options)
        finally:
            self.goals = own


@fault("observation_space: expected a space with contains(); TextEnv.__init__ sets it, found AttributeError:")
class NoSpaces(Count):
    def __init__(self, max_steps=None):
        self.max_steps, self.running = 40 if max_steps is None else max_steps, False


@fault("action_space: expected to contain every admissible command (use TextSpace), found str 'add one' is outside")
class NarrowActions(Count):
    def __init__(self, max_steps=None):
        super().__init__(max_steps)
        self.action_space = gymnasium.spaces.Text(3)


@fault("observation_space: expected to contain every observation (use TextSpace), found str 'You have")
class NarrowObservations(Count):
    def __init__(self, max_steps=None):
        super().__init__(max_steps)
        self.observation_space = gymnasium.spaces.Text(100)


@fault("step: expected an exception before the first reset, found an answer")
class StepsBeforeReset(Count):
    def step(self, action):
        if not hasattr(self, "task"):
            return "You have not begun.", 0.0, False, False, {}
        return super().step(action)


@fault("reset: expected a tuple (observation, info), found str 'You have counted to 0.'")
class OldReset(Count):
    def reset(self, *, seed=None, options=None):
        return super().reset(seed=seed, options=options)[0]


@fault("reset: expected a string as observation, found int 0")
class NumberAtReset(Count):
    def reset(self, *, seed=None, options=None):
        return 0, super().reset(seed=seed, options=options)[1]


@fault("reset: expected to play any of task_ids, found TypeError: ")
class ResetWithoutOptions(Count):
    def reset(self, *, seed=None):  # pyright: ignore
        return super().reset(seed=seed)


@fault("reset: expected to play the task named by options['task_id'], found task_id 'five'")
class AlwaysTheFirst(Count):
    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed, options=options)  # refuses what is unknown
        return super().reset(options={"task_id": "five"})


@fault("reset: expected an exception that names a task_id which is not in task_ids, found an episode for")
class TakesAnyTask(Count):
    def reset(self, *, seed=None, options=None):
        if options and options["task_id"] not in self.goals:
            options = {"task_id": "five"}
        return super().reset(seed=seed, options=options)


@fault("reset: expected an exception that names a task_id which is not in task_ids, found EnvError: wrong")
class RefusesUnclearly(Count):
    def reset(self, *, seed=None, options=None):
        if options and options["task_id"] not in self.goals:
            raise EnvError("wrong")
        return super().reset(seed=seed, options=options)


@fault("reset: expected the same task and text when reset twice with one seed, found ")
class IgnoresTheSeed(Count):
    drawn = 0

    def reset(self, *, seed=None, options=None):
        IgnoresTheSeed.drawn += 1
        return super().reset(options=options or {"task_id": self.goals[self.drawn % 3]})


@fault("info: expected a dict, found list []")
class InfoIsAList(Count):
    def info(self):
        return []


def without(key: str):
    def info(self):
        info = Count.info(self)
        del info[key]
        return info

    return info


def with_value(key: str, value: Any):
    return lambda self: {**Count.info(self), key: value}


for key in ("task", "task_id", "task_type", "admissible_commands", "won", "score"):
    every = "task, task_id, task_type, admissible_commands, won, score"
    line = f"info: expected the keys {every}, found no {key}"
    FAULTS.append((line, type(f"Without_{key}", (Count,), {"info": without(key)})))

for key, value, line in (
    ("task", None, "info['task']: expected a string, found NoneType None"),
    ("task", " ", "info['task']: expected the goal in words, found an empty string"),
    ("task_type", 3, "info['task_type']: expected a string, found int 3"),
    ("admissible_commands", ("look",), "info['admissible_commands']: expected a list of strings, or None, found tuple"),
    ("admissible_commands", [1], "info['admissible_commands']: expected a list of strings, or None, found list [1]"),
    ("admissible_commands", ["a", "a"], "info['admissible_commands']: expected each command once, found str 'a' more"),
    ("admissible_commands", [], "info['admissible_commands']: expected at least one command while the episode runs"),
    ("won", 0, "info['won']: expected a bool, found int 0"),
    ("won", None, "info['won']: expected a bool, found NoneType None"),
    ("won", True, "step: expected terminated (or truncated) as soon as info['won'] is true, found still running"),
    ("score", "1", "info['score']: expected a finite number, found str '1'"),
    ("score", float("nan"), "info['score']: expected a finite number, found float nan"),
    ("score", True, "info['score']: expected a finite number, found bool True"),
    ("irreversible", "no", "info['irreversible']: expected a bool, if given, found str 'no'"),
    ("max_score", "1", "info['max_score']: expected a finite number, if given, found str '1'"),
    (
        "command_grammar",
        ["add OBJ"],
        "info['command_grammar']: expected an itp.types.CommandGrammar, if given, found list ['add OBJ']",
    ),
    ("expert_plan", "add one", "info['expert_plan']: expected a list of strings, if given, found str 'add one'"),
):
    FAULTS.append((line, type(f"{key}_is_{value!r}", (Count,), {"info": with_value(key, value)})))


@fault("info['irreversible']: expected false when info['won'] is true, found both are true")
class WonAndHopeless(Count):
    goals = ("five",)

    def aim(self):
        return 1

    def info(self):
        return {**super().info(), "won": self.count > 0, "irreversible": self.count > 0}


def changed(line: str, position: int, value: Any) -> None:
    def step(self, action):
        answer = list(Count.step(self, action))
        answer[position] = value
        return tuple(answer)

    FAULTS.append((line, type(f"Step_{position}_{value!r}", (Count,), {"step": step})))


changed("step: expected a string as observation, found bytes b'text'", 0, b"text")
changed("step: expected a finite number as reward, found NoneType None", 1, None)
changed("step: expected a finite number as reward, found float inf", 1, float("inf"))
changed("step: expected terminated as a bool, found int 0", 2, 0)
changed("step: expected truncated as a bool, found NoneType None", 3, None)


@fault("step: expected a tuple (observation, reward, terminated, truncated, info), found tuple ('You have")
class OldStep(Count):
    def step(self, action):
        observation, reward, over, _, info = super().step(action)
        return observation, reward, over, info


@fault("step: expected an exception after the episode is over, found an answer")
class NeverOver(Count):
    def step(self, action):
        self.running = self.running or hasattr(self, "task")
        return super().step(action)


@fault("step: expected an answer to 'add one', found IndexError: no")
class AdmissibleButCrashes(Count):
    def step(self, action):
        if action == "add one":
            raise IndexError("no")
        return super().step(action)


@fault("reset: expected the same play again after reset with the same task, found after ")
class RemembersTheLastEpisode(Count):
    old = 0

    def reset(self, *, seed=None, options=None):
        answer = super().reset(seed=seed, options=options)
        self.count = self.old
        return answer

    def step(self, action):
        answer = super().step(action)
        self.old = 1
        return answer


@fault("reset: expected the same play from another instance with the same task and seed, found at reset observation")
class DiffersByInstance(Count):
    def reset(self, *, seed=None, options=None):
        return f"I am {id(self)}.", super().reset(seed=seed, options=options)[1]


@fault("info: expected task, task_id and task_type to stay the same over an episode, found ")
class ChangesItsGoal(Count):
    def info(self):
        return {**super().info(), "task": f"{self.aim() - self.count} to go"}


@fault("step: expected an answer to any text as action, such as '', found ValueError: empty")
class RefusesTheEmptyCommand(Count):
    def step(self, action):
        if action == "":
            raise ValueError("empty")
        return super().step(action)


@fault("step: expected an answer to any text as action, such as 'naïve ☃")
class OnlyAscii(Count):
    def step(self, action):
        return super().step(action.encode("ascii").decode() if isinstance(action, str) else action)


@fault("step: expected a string as observation, found NoneType None")
class NothingForLongCommands(Count):
    def step(self, action):
        answer = super().step(action)
        return answer if len(action) < 1000 else (None, *answer[1:])


@fault("step: expected an exception for an action that is no string, found an answer to NoneType None")
class TakesNumbers(Count):
    def step(self, action):
        return super().step(action if isinstance(action, str) else "look")


@fault("step: expected truncated exactly at the step limit it was made with, found max_steps=3, still running after")
class NoLimit(Count):
    def step(self, action):
        answer = super().step(action)
        self.running = not answer[2]
        return (*answer[:3], False, answer[4])  # truncated is never said


@fault("step: expected truncated exactly at the step limit it was made with, found max_steps=3, truncated at step 2")
class LimitOneEarly(Count):
    def __init__(self, max_steps=None):
        super().__init__(max_steps)
        self.max_steps -= 1


@fault("clone: expected an independent environment, found the environment itself")
class CloneIsItself(Count):
    def clone(self):
        return self


@fault("clone: expected another CloneIsAnother, found dict {}")
class CloneIsAnother(Count):
    def clone(self):
        return {}


@fault("clone: expected a copy, or an EnvError, found ValueError: no copies")
class CloneRaises(Count):
    def clone(self):
        raise ValueError("no copies")


@fault("clone: expected the original to go on as a clone of the same state did, each undisturbed by the others, found")
class CloneShares(Count):
    def __init__(self, max_steps=None):
        super().__init__(max_steps)
        self.counter = [0]

    def clone(self):
        return copy.copy(self)

    def reset(self, *, seed=None, options=None):
        self.counter[0] = 0
        return super().reset(seed=seed, options=options)

    def step(self, action):
        self.count = self.counter[0]
        answer = super().step(action)
        self.counter[0] = self.count
        return answer


@fault("close, called twice: expected no exception, found RuntimeError: closed already")
class ClosesOnce(Count):
    closed = False

    def close(self):
        if self.closed:
            raise RuntimeError("closed already")
        self.closed = True
