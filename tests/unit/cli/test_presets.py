"""The paper's settings in configs/ are read by the commands they are for, and hold the paper's values."""

from __future__ import annotations

from pathlib import Path

import pytest

from itp.cli.flags import load_yaml
from itp.training import a2c, pseudo_label, warmup, world_model

CONFIGS = Path(__file__).parents[3] / "configs"


@pytest.mark.parametrize(
    ("name", "config_type", "values"),
    [
        ("world-model-paper", world_model.Config, {"lora_r": 8, "batch_size": 16, "epochs": 3}),
        ("label-paper", pseudo_label.Config, {"foresight": "teacher-forced", "lambda_k": 0.2, "k_max": 5}),
        ("warmup-paper", warmup.Config, {"eta": 0.5, "foresight": "label", "batch_size": 16}),
        ("a2c-paper", a2c.Config, {"gae_lambda": 0.0, "cost": "paper", "lambda_k": 0.2, "action": "generate"}),
    ],
)
def test_a_preset_is_read_by_its_command(name: str, config_type: type, values: dict[str, object]) -> None:
    read = load_yaml(config_type, CONFIGS / f"{name}.yaml")
    assert values.items() <= read.items()


def test_no_preset_is_forgotten() -> None:
    assert {path.stem for path in CONFIGS.glob("*.yaml")} == {
        "world-model-paper",
        "label-paper",
        "warmup-paper",
        "a2c-paper",
    }
