"""Checkpoints come back as they were, load with plain transformers, and are refused where they do not fit."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import LlamaConfig, LlamaForCausalLM

from itp.errors import CheckpointError, ConfigError
from itp.lm.base import Sampling
from itp.lm.tokens import SPECIAL_TOKENS
from itp.policy.calibration import stored_cut
from itp.policy.checkpoint import CERTAINTY, HORIZON_CUTS, ItpConfig, read_itp_config, save_checkpoint
from itp.policy.model import Policy
from itp.training.scratch import SIZES
from itp.world_model.text import TextWorldModel
from models import (
    foreign_lm,
    imagined,
    make_policy,
    random_model,
    save_policy,
    save_world_model,
    some_states,
    tokenizer,
)

FORESIGHT = imagined(("go to drawer 1", "You arrive at loc 2."))


def test_a_policy_with_heads_comes_back_the_same(tmp_path: Path) -> None:
    policy = make_policy(k_max=3)
    policy.save(tmp_path / "model", stage="warmup", parent="out/policy/model", card="some words")
    loaded = Policy.load(str(tmp_path / "model"))
    for name, tensor in policy.lm.model.state_dict().items():
        assert torch.equal(tensor, loaded.lm.model.state_dict()[name])
    assert policy.heads is not None
    assert loaded.heads is not None
    for name, tensor in policy.heads.state_dict().items():
        assert torch.equal(tensor, loaded.heads.state_dict()[name])
    assert loaded.config == ItpConfig(renderer="memory-v1", k_max=3, stage="warmup", parent="out/policy/model")
    states = some_states()
    before, after = policy.control(states), loaded.control(states)
    assert torch.equal(before.horizon_logits_BK, after.horizon_logits_BK)
    assert torch.equal(before.values_B, after.values_B)
    card = (tmp_path / "model" / "README.md").read_text()
    assert "k_max: 3" in card
    assert "some words" in card


def test_a_checkpoint_loads_with_plain_transformers_and_without_pickle(tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    path = save_policy(tmp_path / "model", k_max=2)
    model = AutoModelForCausalLM.from_pretrained(path)
    ids = torch.tensor([AutoTokenizer.from_pretrained(path)("<TASK>put a mug<CTRL>")["input_ids"]])
    assert ids.tolist()[0] == tokenizer()("<TASK>put a mug<CTRL>")["input_ids"]
    assert torch.equal(model(ids).logits, random_model()(ids).logits)
    assert not [file.name for file in Path(path).iterdir() if file.suffix in (".bin", ".pt", ".pkl", ".pth")]


def test_what_was_calibrated_on_the_weights_before_goes_with_them(tmp_path: Path) -> None:
    path = tmp_path / "best"
    make_policy(k_max=1).save(path, stage="a2c", parent="")
    for file in (HORIZON_CUTS, CERTAINTY, "mine.json"):
        (path / file).write_text("{}")
    make_policy(k_max=1).save(path, stage="a2c", parent="")
    with pytest.raises(ConfigError, match="run `itp policy calibrate"):
        stored_cut(str(path), "share:0.45")
    assert not (path / CERTAINTY).exists()
    assert (path / "mine.json").exists()


def test_a_policy_without_heads_has_none_after_loading_and_says_what_to_do(tmp_path: Path) -> None:
    loaded = Policy.load(save_policy(tmp_path / "model"))
    assert loaded.heads is None
    assert loaded.config.k_max == 0
    with pytest.raises(CheckpointError, match="has no K-head: run `itp train warmup` first"):
        loaded.control(some_states())


def test_another_k_max_than_the_heads_have_is_refused(tmp_path: Path) -> None:
    path = save_policy(tmp_path / "model", k_max=3)
    assert Policy.load(path, k_max=3).config.k_max == 3
    with pytest.raises(CheckpointError, match=r"K_max=3, but K_max=5 is asked for: pass --k-max 3"):
        Policy.load(path, k_max=5)


def test_a_world_model_given_as_policy_is_refused_and_the_reverse(tmp_path: Path) -> None:
    world_model, policy = save_world_model(tmp_path / "world_model"), save_policy(tmp_path / "policy")
    with pytest.raises(CheckpointError, match=r"is a world_model checkpoint: --policy needs a policy"):
        Policy.load(world_model)
    with pytest.raises(CheckpointError, match=r"is a policy checkpoint: --world-model needs a world model"):
        TextWorldModel.load(policy)


def test_missing_incomplete_and_damaged_folders_are_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"does not exist: give a model folder"):
        Policy.load(str(tmp_path / "nothing"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(CheckpointError, match=r"holds no config.json"):
        Policy.load(str(tmp_path / "empty"))
    damaged = Path(save_policy(tmp_path / "damaged"))
    (damaged / "model.safetensors").write_bytes(b"half")
    with pytest.raises(CheckpointError, match=r"could not be loaded") as caught:
        Policy.load(str(damaged))
    assert "\n" not in str(caught.value)


def test_damaged_heads_are_refused_in_one_line(tmp_path: Path) -> None:
    path = save_policy(tmp_path / "model", k_max=2)
    (Path(path) / "itp_heads.safetensors").write_bytes(b"half")
    with pytest.raises(CheckpointError, match="holds no readable heads"):
        Policy.load(path)


def test_a_model_larger_than_a_shard_is_saved_in_shards_and_comes_back_equal(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = LlamaForCausalLM(LlamaConfig(vocab_size=9_000, tie_word_embeddings=True, **SIZES["base"]))
    for _ in range(2):  # over the shards of an earlier save as well
        save_checkpoint(tmp_path / "model", model, tokenizer(), ItpConfig(stage="policy"))
    weights = sorted((tmp_path / "model").glob("*.safetensors"))
    assert len(weights) > 1
    assert all(file.stat().st_size <= 16_000_000 for file in weights)
    assert sum(file.stat().st_size for file in weights) > 20_000_000
    assert not (tmp_path / "model" / "model.safetensors").exists()
    loaded = Policy.load(str(tmp_path / "model")).lm.model.state_dict()
    assert loaded.keys() == model.state_dict().keys()
    assert all(torch.equal(tensor, loaded[name]) for name, tensor in model.state_dict().items())


def test_weights_kept_as_float16_are_read_as_float32_and_give_the_rounded_weights_outputs(tmp_path: Path) -> None:
    half, rounded = make_policy(k_max=2, fresh=True), make_policy(k_max=2, fresh=True)
    half.lm.model.half()
    half.save(tmp_path / "half", stage="warmup", parent="")
    for parameter in rounded.lm.model.parameters():
        parameter.data = parameter.data.half().float()
    stored = load_file(tmp_path / "half" / "model.safetensors")
    assert {tensor.dtype for tensor in stored.values()} == {torch.float16}
    loaded = Policy.load(str(tmp_path / "half"))
    assert {parameter.dtype for parameter in loaded.lm.model.parameters()} == {torch.float32}
    states, actions = some_states(3), [("look", "go to drawer 1")] * 3
    for one, two in zip(
        rounded.score_actions(states, [FORESIGHT] * 3, actions),
        loaded.score_actions(states, [FORESIGHT] * 3, actions),
        strict=True,
    ):
        assert one.logprobs == two.logprobs
    assert torch.equal(rounded.control(states).horizon_logits_BK, loaded.control(states).horizon_logits_BK)


def test_an_unreadable_or_older_itp_config_is_refused(tmp_path: Path) -> None:
    path = save_policy(tmp_path / "model")
    file = Path(path) / "itp_config.json"
    config = json.loads(file.read_text())
    file.write_text(json.dumps(config | {"prompt_version": "itp-prompt-v0"}))
    with pytest.raises(CheckpointError, match=r"trained with prompts itp-prompt-v0, this version writes itp-prompt-v1"):
        read_itp_config(path)
    file.write_text(json.dumps(config | {"colour": "blue"}))
    with pytest.raises(CheckpointError, match="not readable as an itp checkpoint config"):
        read_itp_config(path)
    file.unlink()
    assert read_itp_config(path) == ItpConfig()


def test_an_unknown_dtype_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--dtype float8 is unknown: choose one of float32"):
        Policy.load(save_policy(tmp_path / "model"), dtype="float8")


@pytest.mark.parametrize("renderer", ["memory-v1", "history-v1"])
def test_training_scores_are_the_scores_of_acting(renderer: str) -> None:
    policy = make_policy(renderer, k_max=3)
    states = some_states(3)
    foresights = [FORESIGHT, imagined(), imagined(*[("look", "You see nothing.")] * 3)]
    candidates = [("look", "go to drawer 1"), ("look",), ("inventory", "go to drawer 1", "go to drawer 12")]
    output = policy.forward(states, foresights, [policy.lm.trie(texts) for texts in candidates])
    scores = policy.score_actions(states, foresights, candidates)
    for row, score in zip(output.action_logprobs, scores, strict=True):
        assert row.tolist() == pytest.approx(score.logprobs, abs=1e-4)
    control = policy.control(states)
    torch.testing.assert_close(output.horizon_logits_BK, control.horizon_logits_BK, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(output.values_B, control.values_B, atol=1e-4, rtol=1e-4)
    assert control.horizon_logits_BK.shape == (3, 4)


def test_the_heads_do_not_see_the_foresight_nor_the_other_states_of_the_batch() -> None:
    policy, states = make_policy(k_max=2), some_states(4)
    with_foresight = policy.forward(states, [FORESIGHT] * 4, [policy.lm.trie(("look",))] * 4)
    alone = torch.cat([policy.control([state]).horizon_logits_BK for state in states])
    torch.testing.assert_close(with_foresight.horizon_logits_BK, alone, atol=1e-4, rtol=1e-4)


def test_a_foresight_changes_the_scores_of_actions() -> None:
    policy, states = make_policy(), some_states(1)
    plain = policy.score_actions(states, [imagined()], [("look", "go to drawer 1")])[0]
    ahead = policy.score_actions(states, [FORESIGHT], [("look", "go to drawer 1")])[0]
    assert plain.logprobs != ahead.logprobs


def test_a_foreign_model_with_heads_scores_the_same_before_and_after_saving(tmp_path: Path) -> None:
    policy = Policy(foreign_lm(), ItpConfig())
    eos = policy.lm.end_id
    before = policy.score_actions(some_states(1), [FORESIGHT], [("look",)])
    assert before[0].prompt_tokens > 0
    headed = policy.with_heads(2)
    assert all(len(headed.lm.encode(token)) == 1 for token in SPECIAL_TOKENS)
    assert headed.lm.end_id != eos
    headed.save(tmp_path / "model", stage="warmup", parent="")
    loaded = Policy.load(str(tmp_path / "model"))
    assert loaded.lm.end_id == headed.lm.end_id
    actions = [("look", "go to drawer 1")]
    one, two = (p.score_actions(some_states(1), [FORESIGHT], actions)[0] for p in (headed, loaded))
    assert one.logprobs == pytest.approx(two.logprobs, abs=1e-5)
    torch.testing.assert_close(
        headed.control(some_states(2)).horizon_logits_BK, loaded.control(some_states(2)).horizon_logits_BK
    )


def test_generated_actions_read_the_foresight_and_imagined_ones_do_not() -> None:
    policy, states = make_policy(), some_states(3)
    sampling = Sampling(max_new_tokens=6)
    plain = policy.propose(states, sampling)
    again = policy.generate_actions(states, [imagined()] * 3, sampling)
    assert [c.text for c in plain] == [c.text for c in again]
    assert [c.prompt_tokens for c in plain] == [c.prompt_tokens for c in again]
    ahead = policy.generate_actions(states, [FORESIGHT] * 3, sampling)
    assert [c.prompt_tokens for c in ahead] > [c.prompt_tokens for c in plain]
