"""The one prompt builder. The K-head, the value head, action scoring, generation and training all read its prompts.

    control:      <state> <CTRL>                                            -> p(K | s), V(s)
    act:          <state> <CTRL> [<IMAGINE> â <END> <OBS> ŝ <END>]*K <ACT>  -> action
    world model:  <state> <CTRL> <ACT> action <END> <OBS>                   -> next observation
    knowledge:    <state> <CTRL> <TASK>  -> task knowledge        <state> <CTRL> <OBS>  -> state knowledge

An act prompt always starts with the control prompt of its state, so heads and action see the same text. What the agent
was told about its task (`State.knowledge`) stands in front, as <TASK> knowledge <END>. When a prompt is too long the
oldest steps go, never the knowledge, the task, `<CTRL>` or the cue at the end.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from itp.lm.tokens import ACT, CTRL, END, IMAGINE, OBS, TASK, strip_special
from itp.state_text.renderers import Renderer
from itp.types import ImaginedTrajectory, State

PROMPT_VERSION = "itp-prompt-v1"


@dataclass(frozen=True)
class PromptBuilder:
    """Builds prompts for one renderer.

    Args:
        renderer: how the state is told.
        count_tokens: the model's token counter; None when length is never a concern.
        max_state_tokens: limit of the state part. Foresight and cue come on top of it.
        history_steps: latest steps that a renderer of the history tells; None is all that fit.
    """

    renderer: Renderer
    count_tokens: Callable[[str], int] | None = None
    max_state_tokens: int = 1024
    history_steps: int | None = None

    def state(self, state: State) -> str:
        """The state part: as much of the latest history as fits into `max_state_tokens`."""
        if self.renderer.droppable:
            state = state.latest(self.history_steps)
        text = self._told(state)
        if self.count_tokens is None or not self.renderer.droppable or not state.history:
            return text
        # A text has no more tokens than bytes; the cheap test spares most calls a tokenisation.
        limit = self.max_state_tokens
        if len(text.encode(errors="replace")) <= limit or self.count_tokens(text) <= limit:
            return text
        low, high = 0, len(state.history)
        while low < high:
            drop = (low + high) // 2
            fits = self.count_tokens(self._told(state, drop)) <= limit
            low, high = (low, drop) if fits else (drop + 1, high)
        return self._told(state, low)

    def _told(self, state: State, drop: int = 0) -> str:
        """The state's text without its oldest `drop` steps, behind what the agent was told about the task."""
        text = self.renderer.render(state, drop)
        return f"{TASK}{strip_special(state.knowledge)}{END}{text}" if state.knowledge else text

    def world_model(self, state: State, action: str) -> str:
        """Prompt whose continuation is the next observation (Liu et al. 2026, eq. 1)."""
        return f"{self.act(state)}{strip_special(action)}{END}{OBS}"

    def control(self, state: State) -> str:
        """Prompt whose last token, `<CTRL>`, carries the heads' hidden state."""
        return f"{self.state(state)}{CTRL}"

    def task_knowledge(self, state: State) -> str:
        """Prompt whose continuation is knowledge about the task (Qiao et al. 2024); give it the state at reset."""
        return f"{self.control(state)}{TASK}"

    def state_knowledge(self, state: State) -> str:
        """Prompt whose continuation is a short text about the state (Qiao et al. 2024)."""
        return f"{self.control(state)}{OBS}"

    def act(self, state: State, foresight: ImaginedTrajectory | None = None) -> str:
        """Prompt whose continuation is the action; the whole foresight is in it (Liu et al. 2026, eq. 3)."""
        return self.control(state) + render_foresight(foresight) + ACT


def render_foresight(foresight: ImaginedTrajectory | None) -> str:
    """Every imagined pair, in order; empty for K = 0."""
    if foresight is None:
        return ""
    return "".join(
        f"{IMAGINE}{strip_special(step.action)}{END}{OBS}{strip_special(step.observation)}{END}"
        for step in foresight.steps
    )
