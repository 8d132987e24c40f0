"""Flags and YAML files to a config dataclass: the one reader behind every `itp` command.

Order of precedence: defaults of the dataclass, then `--config FILE.yaml`, then flags. tyro parses and writes the help;
this module adds strict YAML and one-line errors with the closest allowed name. The fields of a nested dataclass are
flags like any other (`--lr`, not `--optim.lr`), and keys of the YAML file likewise.
"""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import io
import types
from collections.abc import Iterable, Mapping, Sequence
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
    if any(word in ("-h", "--help") for word in words):
        try:
            return _run_tyro(config_type, ["--help"], prog)
        finally:
            print("--config FILE.yaml sets defaults for these flags, one `key: value` line each.")
    options = _options(config_type)
    given = _check_flags(options, words, prog)
    defaults = load_yaml(config_type, yaml_path) if yaml_path is not None else {}
    for name, option in options.items():
        if option.required and name not in given and name not in defaults:
            raise ConfigError(f"{_flag(name)} is required: give it a value; see `{prog} --help`")
    preset = [word for name, value in defaults.items() for word in _as_words(name, value)]
    return _run_tyro(config_type, [*preset, *words], prog)


def load_yaml(config_type: type, path: Path) -> dict[str, Any]:
    """Read a YAML mapping of flag names to values; unknown keys and wrong types are refused."""
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
    return check_values(config_type, content, f"--config {path}")


def check_values(config_type: type, content: Mapping[Any, Any], where: str) -> dict[str, Any]:
    """Values for flags by the flags' names; unknown keys, keys given twice and wrong types are refused."""
    options = {name: option for name, option in _options(config_type).items() if not option.positional}
    values: dict[str, Any] = {}
    for key, value in content.items():
        name = str(key).replace("-", "_")
        if name not in options:
            near = closest(name, options)
            hint = f"did you mean {near}? " if near else ""
            raise ConfigError(f"{where}: unknown key {key!r}: {hint}allowed are {', '.join(options)}")
        if name in values:
            raise ConfigError(f"{where}: key {key!r} is given twice")
        hint = options[name].hint
        if not fits(value, hint):
            raise ConfigError(f"{where}: {key} is {value!r} ({type(value).__name__}), expected {type_name(hint)}")
        values[name] = value
    return values


def config_from(config_type: type[C], values: Mapping[str, Any], where: str, *, prog: str) -> C:
    """Build a config from values that a file gives, as if they were a command's flags; errors begin with `where`."""
    checked = check_values(config_type, values, where)
    for name, option in _options(config_type).items():
        if option.required and name not in checked:
            raise ConfigError(f"{where}: {name} is missing; see `{prog} --help`")
    try:
        return _run_tyro(
            config_type, [word for name, value in checked.items() for word in _as_words(name, value)], prog
        )
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from None


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


@dataclasses.dataclass(frozen=True, slots=True)
class _Option:
    hint: Any
    required: bool
    positional: bool


def _options(config_type: type) -> dict[str, _Option]:
    """Every field by its flag's name, those of nested dataclasses included."""
    options: dict[str, _Option] = {}
    hints = get_type_hints(config_type)
    annotated = get_type_hints(config_type, include_extras=True)
    for field in dataclasses.fields(config_type):
        hint = hints[field.name]
        if dataclasses.is_dataclass(hint):
            found = _options(hint)  # pyright: ignore[reportArgumentType]
        else:
            required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
            positional = any(str(mark) == "Positional" for mark in getattr(annotated[field.name], "__metadata__", ()))
            found = {field.name: _Option(hint, required and not positional, positional)}
        if clash := options.keys() & found.keys():
            raise TypeError(f"{config_type.__name__} has two fields named {', '.join(sorted(clash))}")
        options |= found
    return options


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


def _check_flags(options: Mapping[str, _Option], words: Sequence[str], prog: str) -> set[str]:
    """Refuse unknown flags before tyro sees them; return the names of the options that are set."""
    flags = {_flag(name): name for name, option in options.items() if not option.positional}
    flags |= {_flag("no_" + name): name for name, option in options.items() if option.hint is bool}
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
        name = flags[normalized]
        if name in given and get_origin(options[name].hint) in (tuple, list, Sequence):
            raise ConfigError(f"{flag} is given twice, and the last would win: give it once, with all values behind it")
        given.add(name)
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
            return tyro.cli(config_type, args=list(words), prog=prog, config=(tyro.conf.OmitArgPrefixes,))
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
