"""Flags and YAML: both spellings, strictness, one-line messages."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest
import tyro

from itp.cli.flags import fits, parse_config, type_name
from itp.errors import ConfigError, DataError


@dataclass
class Optim:
    """Optimiser."""

    lr: float = 1e-3
    """Peak rate."""


@dataclass
class Config:
    """Train a thing."""

    out: Path
    """Run folder."""
    max_seq_len: int = 128
    """Tokens."""
    fp16: bool = False
    """Half precision."""
    levels: tuple[float, ...] = (0.0,)
    """Noise levels."""
    name: str | None = None
    """A name."""
    kind: Literal["a", "b"] = "a"
    """A choice."""
    optim: Optim = field(default_factory=lambda: Optim(lr=0.5))
    """Optimiser."""


def parse(*words: str) -> Config:
    return parse_config(Config, words, prog="itp x")


def with_yaml(tmp_path: Path, text: str, *words: str) -> Config:
    file = tmp_path / "c.yaml"
    file.write_text(text)
    return parse("--config", str(file), *words)


def test_defaults_and_flags() -> None:
    assert parse("--out", "o") == Config(Path("o"))
    config = parse("--out=o", "--fp16", "--levels", "0.1", "0.2", "--name", "n", "--kind", "b", "--lr", "3e-4")
    assert config == Config(Path("o"), 128, True, (0.1, 0.2), "n", "b", Optim(3e-4))


@pytest.mark.parametrize(
    "words", [["--max_seq_len", "7"], ["--max-seq-len", "7"], ["--max_seq_len=7"], ["--max-seq-len=7"]]
)
def test_both_spellings(words: list[str]) -> None:
    assert parse("--out", "o", *words).max_seq_len == 7


def test_bare_booleans_and_the_last_word_wins() -> None:
    assert parse("--out", "o", "--fp16").fp16
    assert not parse("--out", "o", "--fp16", "--no-fp16").fp16
    assert parse("--out", "o", "--max-seq-len", "7", "--max_seq_len", "8").max_seq_len == 8


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--out", "o", "--max-seq-length", "7"], "unknown flag --max-seq-length: did you mean --max-seq-len?"),
        (["--out", "o", "--zzz"], "unknown flag --zzz: see `itp x --help`"),
        (["--out", "o", "--no-name"], "unknown flag --no-name: did you mean"),
        ([], "--out is required: give it a value; see `itp x --help`"),
        (["--out"], "Missing value for argument '--out'"),
        (
            ["--out", "o", "--max-seq-len", "x"],
            "Error parsing --max-seq-len: invalid literal for int() with base 10: 'x'",
        ),
        (["--out", "o", "stray"], "stray"),
        (["--out", "o", "--kind", "c"], "--kind"),
        (["--config"], "--config needs a file"),
        (["--config", "a", "--config", "b"], "--config is given twice"),
        (["--out", "o", "--levels", "1", "--levels", "2"], "--levels is given twice, and the last would win"),
    ],
)
def test_mistakes_are_one_line(words: list[str], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(*words)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "│" not in str(caught.value)


def test_yaml_gives_defaults_that_flags_override(tmp_path: Path) -> None:
    text = "out: o\nmax-seq-len: 9\nfp16: true\nlevels: [0.3, 1]\nname: null\nlr: 1e-5\nkind: b\n"
    assert with_yaml(tmp_path, text) == Config(Path("o"), 9, True, (0.3, 1.0), None, "b", Optim(1e-5))
    overridden = with_yaml(tmp_path, text, "--no-fp16", "--max_seq_len", "5", "--levels", "2")
    assert overridden == Config(Path("o"), 5, False, (2.0,), None, "b", Optim(1e-5))
    assert with_yaml(tmp_path, "", "--out", "o") == Config(Path("o"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "max_seq_length: 9",
            "unknown key 'max_seq_length': did you mean max_seq_len? allowed are out, max_seq_len, fp16",
        ),
        ("max_seq_len: long", "max_seq_len is 'long' (str), expected int"),
        ("max_seq_len: 1.5", "max_seq_len is 1.5 (float), expected int"),
        ("max_seq_len: true", "max_seq_len is True (bool), expected int"),
        ("fp16: 1", "fp16 is 1 (int), expected bool"),
        ("name: 3", "name is 3 (int), expected str or null"),
        ("levels: 0.3", "levels is 0.3 (float), expected a list of float"),
        ("levels: [a]", "expected a list of float"),
        ("kind: c", "kind is 'c' (str), expected one of a, b"),
        ("max_seq_len: 1\nmax-seq-len: 2", "is given twice"),
        ("- out", "must hold `key: value` lines, not a list"),
        ("out: [", "is not valid YAML"),
    ],
)
def test_yaml_is_strict(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        with_yaml(tmp_path, text, "--out", "o")
    assert message in str(caught.value)
    assert "c.yaml" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_yaml_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        parse("--config", str(tmp_path / "absent.yaml"))


def test_help_comes_from_the_strings_under_the_fields(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        parse("--max-seq-len", "x", "--help")
    assert caught.value.code in (0, None)
    text = capsys.readouterr().out
    for part in (
        "Train a thing.",
        "--max-seq-len INT",
        "Tokens. (default: 128)",
        "--fp16, --no-fp16",
        "--lr",
        "--config",
    ):
        assert part in text


def test_positional_words_are_no_flags() -> None:
    @dataclass
    class Runs:
        runs: tyro.conf.Positional[tuple[Path, ...]]
        plain: bool = False

    assert parse_config(Runs, ["a", "b", "--plain"], prog="p") == Runs((Path("a"), Path("b")), True)
    with pytest.raises(ConfigError, match="unknown flag --runs"):
        parse_config(Runs, ["--runs", "a"], prog="p")


def test_two_fields_with_one_flag_are_a_bug() -> None:
    @dataclass
    class Clash:
        lr: int = 0
        optim: Optim = field(default_factory=Optim)

    with pytest.raises(TypeError, match="two fields named lr"):
        parse_config(Clash, [], prog="p")


@pytest.mark.parametrize(
    ("value", "hint", "expected"),
    [
        ("1e-5", float, True),
        ("fast", float, False),
        (True, float, False),
        (3, float, True),
        ([1, "a"], tuple[int, str], True),
        ([1], tuple[int, str], False),
        ([], list[int], True),
        ({}, dict[str, int], False),
    ],
)
def test_fits(value: Any, hint: Any, expected: bool) -> None:
    assert fits(value, hint) is expected


def test_type_names_are_words() -> None:
    assert type_name(Path | None) == "a path or null"
    assert type_name(tuple[int, ...]) == "a list of int"
