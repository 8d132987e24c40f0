"""The presets for `accelerate launch` are what accelerate itself can read, and say what their names promise."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from accelerate import DistributedType
from accelerate.commands.config.config_args import load_config_from_file

PRESETS = Path(__file__).parents[3] / "configs" / "accelerate"
KINDS = {
    "one_gpu": DistributedType.NO,
    "ddp": DistributedType.MULTI_GPU,
    "fsdp2": DistributedType.FSDP,
    "deepspeed_zero2": DistributedType.DEEPSPEED,
    "deepspeed_zero3": DistributedType.DEEPSPEED,
    "cpu_2_processes": DistributedType.MULTI_GPU,
}


def test_every_preset_is_listed_here() -> None:
    assert {path.stem for path in PRESETS.glob("*.yaml")} == set(KINDS)


@pytest.mark.parametrize("name", list(KINDS))
def test_accelerate_reads_the_preset(name: str) -> None:
    config = load_config_from_file(str(PRESETS / f"{name}.yaml"))
    assert config.distributed_type == KINDS[name]
    assert config.mixed_precision == "no", "precision is the command's own"


def test_sharding_presets_shard_what_they_say() -> None:
    fsdp, two, three = (
        yaml.safe_load((PRESETS / f"{name}.yaml").read_text())
        for name in ("fsdp2", "deepspeed_zero2", "deepspeed_zero3")
    )
    assert fsdp["fsdp_config"]["fsdp_version"] == 2
    assert fsdp["fsdp_config"]["fsdp_state_dict_type"] == "FULL_STATE_DICT", "OUT/model must load anywhere"
    assert (two["deepspeed_config"]["zero_stage"], three["deepspeed_config"]["zero_stage"]) == (2, 3)
    assert three["deepspeed_config"]["zero3_save_16bit_model"], "OUT/model must load anywhere"
