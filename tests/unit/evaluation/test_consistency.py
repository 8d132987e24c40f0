"""The consistency ratio is 1 for the engine itself, and 0 for a model whose plans lead nowhere."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, cast

import pytest

from itp import make_env
from itp.envs.alfworld.belief import Belief
from itp.envs.alfworld.expert import Expert
from itp.evaluation.consistency import consistency
from itp.lm.base import Completion, Sampling
from itp.types import State
from itp.world_model.exact import ExactWorldModel
from models import ScriptedWorldModel, episodes

HOUSE = partial(make_env, "household", split="train")


class ExpertPolicy:
    """Names what the exploring expert would do."""

    def propose(self, states: Sequence[State], sampling: Sampling) -> list[Completion]:
        texts = [Expert().act(Belief.of(state), None) for state in states]
        return [Completion(text, 0.0, 1, 1) for text in texts]


def ratio(world_model: Any) -> dict[str, Any]:
    return consistency(cast("Any", ExpertPolicy()), world_model, HOUSE, episodes(4), tasks=4, steps=25)


def test_the_engine_is_consistent_with_itself() -> None:
    found = ratio(ExactWorldModel(HOUSE))
    assert found["n"] == 4
    assert found["real_won"] == found["replayed_won"] == found["both_won"] > 0
    assert found["consistency_ratio"] == found["pairwise_ratio"] == 1


def test_plans_of_a_model_that_knows_nothing_do_not_hold() -> None:
    found = ratio(ScriptedWorldModel(lambda state, action: "Nothing happens."))
    assert found["real_won"] > 0
    assert found["replayed_won"] == found["consistency_ratio"] == found["pairwise_ratio"] == 0


def test_without_a_real_win_there_is_no_ratio(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Expert, "act", lambda *_args: "look")
    found = ratio(ScriptedWorldModel(lambda state, action: "Nothing happens."))
    assert (found["real_won"], found["consistency_ratio"], found["pairwise_ratio"]) == (0, None, None)
