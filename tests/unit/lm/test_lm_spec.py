"""From a spec to a language model: every scheme, adapters, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from fault_server import FaultServer
from itp.errors import CheckpointError, ConfigError, ServerError
from itp.lm.base import Sampling
from itp.lm.chat import Chat, Prompt
from itp.lm.openai import OpenAILM
from itp.lm.response_cache import CachedLM
from itp.lm.scripted import ScriptedLM
from itp.lm.spec import load_lm
from itp.lm.transformers import TransformersLM
from models import foreign_lm, lm, save_world_model

SCRIPT = [["drawer", "Action: open drawer 1"], ["two\nlines", "b"], ["", "<think>hm</think>Action: look"]]


def script(path: Path, content: Any = SCRIPT) -> str:
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return f"scripted:{path}"


def test_a_script_answers_by_its_first_matching_pattern(tmp_path: Path) -> None:
    model = load_lm(script(tmp_path / "s.json"))
    assert isinstance(model, ScriptedLM)
    answers = model.generate(["a drawer", "two\nlines", Chat.of("else")], Sampling(stop=(" 1",)))
    assert [a.text for a in answers] == ["Action: open drawer", "b", "Action: look"]
    assert answers[2].thought == "hm"
    assert (answers[0].prompt_tokens, answers[0].completion_tokens) == (2, 5)
    assert model.score(["two\nlines"], [["a", "b"]])[0].logprobs == (-10.0, 0.0)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "cannot be read"),
        ({"a": "b"}, r"no script: give a JSON list of \[pattern, answer\] pairs"),
        ([["a"]], "no script"),
        ([["(", "b"]], "no regular expression"),
    ],
)
def test_scripts_that_cannot_be(tmp_path: Path, content: Any, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        load_lm(script(tmp_path / "s.json", content))


def test_a_prompt_that_the_script_does_not_know_is_named(tmp_path: Path) -> None:
    model = load_lm(script(tmp_path / "s.json", [["x", "y"]]))
    with pytest.raises(ConfigError, match='no pattern matches the prompt that ends "a b"'):
        model.generate(["a b"], Sampling())


def test_a_folder_of_weights(tmp_path: Path) -> None:
    path = save_world_model(tmp_path / "m")
    model = load_lm(f"transformers:{path}", thinking_tokens=5)
    assert isinstance(model, TransformersLM)
    assert model.thinking_tokens == 5
    asked: tuple[list[Prompt], Sampling] = (["go to"], Sampling(max_new_tokens=5))
    assert model.generate(*asked)[0].ids == lm(1).generate(*asked)[0].ids


def test_a_lora_adapter_is_merged_into_its_base(tmp_path: Path) -> None:
    peft = pytest.importorskip("peft")
    base = foreign_lm()
    base.model.save_pretrained(tmp_path / "base")
    base.tokenizer.save_pretrained(tmp_path / "base")
    before = base.generate(["go to the"], Sampling(max_new_tokens=8))
    torch.manual_seed(3)
    adapted = peft.get_peft_model(
        base.model, peft.LoraConfig(r=2, target_modules=["q_proj", "v_proj", "down_proj"], init_lora_weights=False)
    )
    adapted.peft_config["default"].base_model_name_or_path = str(tmp_path / "base")
    adapted.save_pretrained(tmp_path / "adapter")
    assert not (tmp_path / "adapter" / "config.json").exists()
    wanted = TransformersLM(adapted.merge_and_unload(), base.tokenizer, name="merged").generate(
        ["go to the"], Sampling(max_new_tokens=8)
    )
    loaded = load_lm(f"transformers:{tmp_path / 'adapter'}").generate(["go to the"], Sampling(max_new_tokens=8))
    assert [c.ids for c in loaded] == [c.ids for c in wanted] != [c.ids for c in before]

    settings = tmp_path / "adapter" / "adapter_config.json"
    settings.write_text(settings.read_text().replace(str(tmp_path / "base"), str(tmp_path / "gone")))
    with pytest.raises(CheckpointError, match="adapter could not be loaded"):
        load_lm(f"transformers:{tmp_path / 'adapter'}")
    settings.write_text("{}")
    with pytest.raises(CheckpointError, match="adapter could not be loaded"):
        load_lm(f"transformers:{tmp_path / 'adapter'}")


def test_device_auto_leaves_the_placing_to_accelerate(tmp_path: Path) -> None:
    pytest.importorskip("accelerate")
    model = load_lm(f"transformers:{save_world_model(tmp_path / 'm')}", device="auto", dtype="bfloat16")
    assert isinstance(model, TransformersLM)
    assert model.model.dtype is torch.bfloat16
    assert len(model.generate(["go to"], Sampling(max_new_tokens=2))) == 1


def test_a_server_with_one_model_needs_no_name() -> None:
    with FaultServer(models=["the-one"]) as server:
        model = load_lm(f"openai:{server.url}", thinking_tokens=9, logprobs=True)
        assert isinstance(model, OpenAILM)
        assert (model.name, model.thinking_tokens, model.logprobs) == ("the-one", 9, True)
        server.models = ["a", "b"]
        with pytest.raises(ConfigError, match=r"--model is missing: .* offers a, b; name one"):
            load_lm(f"openai:{server.url}")
        server.models = []
        with pytest.raises(ConfigError, match="none that it tells of"):
            load_lm(f"openai:{server.url}")
        server.models, server.faults = ["a"], ["404"]
        with pytest.raises(ConfigError, match="none that it tells of"):
            load_lm(f"openai:{server.url}")
        server.faults = ["401"]
        with pytest.raises(ServerError, match="put a key"):
            load_lm(f"openai:{server.url}")
        assert load_lm(f"openai:{server.url}", model="b").name == "b"


def test_a_server_that_is_not_there_is_named() -> None:
    with FaultServer() as server:
        url = server.url
    with pytest.raises(ServerError, match="check that a model server runs"):
        load_lm(f"openai:{url}")


def test_answers_are_kept_until_the_weights_change(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    spec = script(tmp_path / "s.json")
    first = load_lm(spec, cache=cache)
    assert isinstance(first, CachedLM)
    first.generate(["a drawer"], Sampling())
    (again,) = load_lm(spec, cache=cache).generate(["a drawer"], Sampling())
    assert again.cached_tokens == again.prompt_tokens
    script(tmp_path / "s.json", [["drawer", "close it"]])
    (other,) = load_lm(spec, cache=cache).generate(["a drawer"], Sampling())
    assert other.text == "close it"


def test_a_cache_knows_its_server(tmp_path: Path) -> None:
    for answer in ("a", "b"):
        with FaultServer(answer=lambda prompt, answer=answer: answer) as server:
            model = load_lm(f"openai:{server.url}", model="toy", cache=tmp_path)
            assert [model.generate(["x"], Sampling())[0].text for _ in range(2)] == [answer, answer]
            assert len(server.requests) == 1


@pytest.mark.parametrize("spec", ["vllm:x", "transformers:", "openai", "", "/some/folder", "scripted:"])
def test_unknown_specs_are_refused(spec: str) -> None:
    with pytest.raises(ConfigError, match="names no language model: give transformers:"):
        load_lm(spec)


def test_settings_that_do_not_belong_are_refused(tmp_path: Path) -> None:
    spec = script(tmp_path / "s.json")
    with pytest.raises(ConfigError, match="--model x names a model on a server"):
        load_lm(spec, model="x")
    with pytest.raises(ConfigError, match="--thinking-tokens -1"):
        load_lm(spec, thinking_tokens=-1)
