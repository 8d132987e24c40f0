"""Flags and YAML files to a config dataclass: the one reader behind every `itp` command.

Order of precedence: defaults of the dataclass, then `--config FILE.yaml`, then flags. tyro parses and writes the help;
this module adds strict YAML, one-line errors with the closest allowed name, and nothing else.
"""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import io
import types
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from itp.errors import ConfigError, DataError

C = TypeVar("C")


def parse_config(config_type: type[C], argv: Sequence[str], *, prog: str) -> C:
    """Build a config from command-line words.

    Args:
        config_type: a flat dataclass; each field is documented by the string under it.
        argv: the words after the command, for example `["--out", "runs/a", "--no-fp16"]`.
        prog: how the command is called, for help and messages.

    Raises:
        ConfigError: an unknown flag or key, a value of the wrong type, a missing required flag.
        DataError: the YAML file is missing.
        SystemExit: after `--help`.
    """
    words, yaml_path = _take_config_flag(list(argv))
    if _wants_help(words):
        return _run_tyro(config_type, ["--help"], prog)
    names = [field.name for field in dataclasses.fields(config_type)]  # pyright: ignore[reportArgumentType]
    given = _check_flags(config_type, words, prog)
    defaults = load_yaml(config_type, yaml_path) if yaml_path is not None else {}
    for field in dataclasses.fields(config_type):  # pyright: ignore[reportArgumentType]
        required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        if required and field.name not in given and field.name not in defaults:
            raise ConfigError(f"{_flag(field.name)} is required: give it a value; see `{prog} --help`")
    preset = [word for name in names if name in defaults for word in _as_words(name, defaults[name])]
    return _run_tyro(config_type, [*preset, *words], prog)


def load_yaml(config_type: type, path: Path) -> dict[str, Any]:
    """Read a YAML mapping of field names to values; unknown keys and wrong types are refused."""
    import yaml

    if not path.is_file():
        raise DataError(f"--config {path}: there is no such file")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"--config {path} is not valid YAML: {' '.join(str(error).split())}") from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ConfigError(f"--config {path} must hold `key: value` lines, not a {type(content).__name__}")
    hints = get_type_hints(config_type)
    allowed = [field.name for field in dataclasses.fields(config_type)]
    values = {}
    for key, value in content.items():
        name = str(key).replace("-", "_")
        if name not in allowed:
            raise ConfigError(f"--config {path}: unknown key {key!r}{_closest(name, allowed)}; {_listed(allowed)}")
        if name in values:
            raise ConfigError(f"--config {path}: key {key!r} is given twice")
        if not fits(value, hints[name]):
            raise ConfigError(
                f"--config {path}: {key} is {value!r} ({type(value).__name__}), expected {type_name(hints[name])}"
            )
        values[name] = value
    return values


def fits(value: Any, hint: Any) -> bool:
    """Whether a YAML value may stand for a field of this type. YAML reads `1e-5` as text, so a float may be text."""
    origin, args = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return any(fits(value, part) for part in args)
    if origin is Literal:
        return value in args
    if origin in (list, tuple, Sequence) or hint in (list, tuple):
        items = args[:1] if origin is not tuple or (len(args) == 2 and args[1] is Ellipsis) else args
        if not isinstance(value, list) or (len(items) > 1 and len(items) != len(value)):
            return False
        kinds = items * len(value) if len(items) == 1 else items
        return all(fits(item, kind) for item, kind in zip(value, kinds, strict=False))
    if hint is type(None):
        return value is None
    if hint is float:
        return _is_float(value)
    if hint is Path:
        return isinstance(value, str)
    if hint in (bool, int, str):
        return type(value) is hint
    return False


def type_name(hint: Any) -> str:
    """A type as a user would say it: `int`, `PATH`, `str or none`, `one of act, itp`."""
    origin, args = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return " or ".join(type_name(part) for part in args)
    if origin is Literal:
        return f"one of {', '.join(map(str, args))}"
    if origin is not None:
        inner = ", ".join(type_name(part) for part in args if part is not Ellipsis)
        return f"a list of {inner}"
    return {type(None): "null", Path: "a path"}.get(hint, getattr(hint, "__name__", str(hint)))


def closest(name: str, allowed: Iterable[str]) -> str | None:
    """The allowed name most like `name`, or None when nothing is near."""
    matches = difflib.get_close_matches(name, list(allowed), n=1, cutoff=0.5)
    return matches[0] if matches else None


def _closest(name: str, allowed: Iterable[str]) -> str:
    match = closest(name, allowed)
    return f", did you mean {match}?" if match else ""


def _listed(names: Iterable[str]) -> str:
    return f"allowed: {', '.join(names)}"


def _is_float(value: Any) -> bool:
    if isinstance(value, bool):
        return False
    if isinstance(value, str):
        with contextlib.suppress(ValueError):
            float(value)
            return True
        return False
    return isinstance(value, int | float)


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def _wants_help(words: Sequence[str]) -> bool:
    return any(word in ("-h", "--help") for word in words)


def _take_config_flag(words: list[str]) -> tuple[list[str], Path | None]:
    rest: list[str] = []
    path: Path | None = None
    remaining = iter(words)
    for word in remaining:
        if word == "--config":
            value = next(remaining, "")
        elif word.startswith("--config="):
            value = word.partition("=")[2]
        else:
            rest.append(word)
            continue
        if not value or value.startswith("--"):
            raise ConfigError("--config needs a file: --config FILE.yaml")
        if path is not None:
            raise ConfigError("--config is given twice: put all keys into one file")
        path = Path(value)
    return rest, path


def _check_flags(config_type: type, words: Sequence[str], prog: str) -> set[str]:
    """Refuse unknown flags before tyro sees them; return the names of the fields that are set."""
    hints = get_type_hints(config_type)
    flags: dict[str, str] = {}
    for field in dataclasses.fields(config_type):
        flags[_flag(field.name)] = field.name
        if hints[field.name] is bool:
            flags[_flag("no_" + field.name)] = field.name
    given: set[str] = set()
    for word in words:
        if not word.startswith("--") or word == "--":
            continue
        flag = word.partition("=")[0]
        normalized = flag.replace("_", "-")
        if normalized not in flags:
            near = closest(normalized, [*flags, "--config"])
            hint = f"did you mean {near}?" if near else f"see `{prog} --help`"
            raise ConfigError(f"unknown flag {flag}: {hint}")
        given.add(flags[normalized])
    return given


def _as_words(name: str, value: Any) -> list[str]:
    if isinstance(value, bool):
        return [_flag(name) if value else _flag("no_" + name)]
    if isinstance(value, list):
        return [_flag(name), *(str(item) for item in value)]
    return [f"{_flag(name)}={value}"]


def _run_tyro(config_type: type[C], words: Sequence[str], prog: str) -> C:
    import tyro

    captured = io.StringIO()
    try:
        with contextlib.redirect_stderr(captured):
            return tyro.cli(config_type, args=list(words), prog=prog)
    except SystemExit as stop:
        if stop.code in (0, None):
            raise
        raise ConfigError(f"{_first_paragraph(captured.getvalue())}; see `{prog} --help`") from None


def _first_paragraph(box: str) -> str:
    """tyro's framed message as one line, without its frame and without the hints below the first rule."""
    lines = []
    for line in box.splitlines():
        text = line.strip(" │╭╮╰╯")
        if set(text) == {"─"}:
            break
        if not line.startswith("╭") and text:
            lines.append(text)
    return " ".join(lines).rstrip(".") or "the flags cannot be read"
