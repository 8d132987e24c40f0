"""Named, versioned renderings of a `State`. A checkpoint stores the name it was trained with.

`history-v1` tells the episode as it happened; any model and any environment can use it. `memory-v1` tells what a player
would remember in household games: much shorter, so that small models learn it in minutes; `memory-v2` adds how often
the player has been in the same situation. Imagined observations enter all of them exactly as real ones do.
"""

from __future__ import annotations

from typing import Protocol

from itp.errors import ConfigError
from itp.lm.tokens import ACT, CTRL, END, OBS, TASK, strip_special
from itp.state_text.memory import render_memory, situation
from itp.types import State


class Renderer(Protocol):
    """Turns a state into text. Renderings never depend on anything but the state."""

    name: str
    droppable: bool
    """Whether dropping the oldest steps makes the text shorter."""

    def render(self, state: State, drop: int = 0) -> str:
        """The text, with the oldest `drop` steps left out (the task and the first observation always stay)."""
        ...

    def situation(self, state: State) -> str:
        """What the player is in, whatever step led there: equal for two states between which nothing was achieved."""
        ...


class HistoryRenderer:
    """Task, first observation, then every action with the observation that followed."""

    name = "history-v1"
    droppable = True

    def render(self, state: State, drop: int = 0) -> str:
        """See `Renderer.render`."""
        head = f"{TASK}{strip_special(state.task)}{OBS}{strip_special(state.first_observation)}{END}"
        return head + "".join(render_step(action, observation) for action, observation in state.history[drop:])

    def situation(self, state: State) -> str:
        """See `Renderer.situation`. A history never repeats."""
        return self.render(state)


def render_step(action: str, observation: str) -> str:
    """One (action, observation) pair of a history: the act prompt of its time, without foresight, and what followed."""
    return f"{CTRL}{ACT}{strip_special(action)}{END}{OBS}{strip_special(observation)}{END}"


class MemoryRenderer:
    """What a player would remember; see `itp.state_text.memory`."""

    droppable = False

    def __init__(self, name: str, *, returns: bool) -> None:
        self.name, self.returns = name, returns

    def render(self, state: State, drop: int = 0) -> str:
        """See `Renderer.render`. Nothing is dropped: the memory holds no list of steps."""
        return render_memory(state, returns=self.returns)

    def situation(self, state: State) -> str:
        """See `Renderer.situation`."""
        return situation(state)


RENDERERS: dict[str, Renderer] = {
    renderer.name: renderer
    for renderer in (
        HistoryRenderer(),
        MemoryRenderer("memory-v1", returns=False),
        MemoryRenderer("memory-v2", returns=True),
    )
}


def get_renderer(name: str) -> Renderer:
    """Look a renderer up by its full name, or by its name without the version."""
    matches = [renderer for key, renderer in RENDERERS.items() if name in (key, key.rsplit("-", 1)[0])]
    if not matches:
        raise ConfigError(f"renderer {name} is unknown: choose one of {', '.join(RENDERERS)}")
    return matches[-1]
