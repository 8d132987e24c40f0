"""A world model without parameters for household games: what a player's memory implies. The baseline to beat."""

from __future__ import annotations

from collections.abc import Sequence

from itp.envs.alfworld.belief import Belief, predict_observation
from itp.types import State
from itp.world_model.base import Prediction


class RuleWorldModel:
    """Predicts from remembered contents; what was never seen is guessed empty or closed."""

    name = "rules"

    def predict(self, states: Sequence[State], actions: Sequence[str]) -> list[Prediction]:
        """See `WorldModel.predict`."""
        return [
            Prediction(predict_observation(Belief.of(state), action))
            for state, action in zip(states, actions, strict=True)
        ]
