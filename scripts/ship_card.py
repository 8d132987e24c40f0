"""The model card of a shipped checkpoint: facts from its run folder and the runs before it, around the user's words.

Serves `scripts/ship.py`.
"""

from __future__ import annotations

import dataclasses
import importlib
import json
import os
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from itp.cli.main import COMMANDS
from itp.evaluation.table import interval, number, percent
from itp.policy.checkpoint import read_itp_config
from itp.run_folder import CONFIG_NAME, read_config

ALWAYS = ("seed", "epochs", "lr", "updates", "base", "batch_size")
"""Settings that a recipe names even where they are the defaults."""
LIBRARIES = ("itp", "python", "torch", "transformers", "trl", "tokenizers")
KEPT_PARTS = 2
"""Last parts of a path that stand for it where nothing better is known."""
FIGURES = (
    "planner",
    "environment/split",
    "n",
    "success %",
    "95% interval",
    "steps",
    "irreversible",
    "mean K",
    "score",
    "seed",
)


@dataclass(frozen=True)
class Figures:
    """What a card tells beside the recipe: the set's name, which part this is, its parameters, its results."""

    name: str
    part: str
    parameters: int
    results: Sequence[Mapping[str, Any]]


def card(source: Path, shipped: Path, words: str, figures: Figures) -> str:
    """The README.md of one checkpoint.

    Args:
        source: the checkpoint that was trained, in its run folder.
        shipped: the folder that ships.
        words: what it is; from a line `## Limits` on, what it cannot do.
        figures: the rest.
    """
    about, limits = split_words(words)
    role = figures.part.replace("_", " ")
    config = read_itp_config(str(shipped))
    facts = [
        f"- parameters: {figures.parameters:,}; weights float16, heads float32; loads with `AutoModelForCausalLM`",
        f"- state text: {config.renderer}, prompts {config.prompt_version}, at most {config.max_state_tokens} tokens",
    ]
    if config.k_max:
        facts.append(f"- K-head: horizons 0 to {config.k_max}")
    if figures.part == "world_model":
        facts.append(f"- at most {config.max_observation_tokens} tokens an imagined observation")
    parts = [
        front_matter(role),
        f"# {figures.name}: {role}",
        about,
        "\n".join(facts),
        "## Recipe",
        recipe(source),
        "## Figures",
        table(figures.results),
        *held_out(source, figures.part),
        limits,
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def front_matter(role: str) -> str:
    """The YAML block that Hugging Face reads."""
    content = {
        "license": "mit",
        "language": ["en"],
        "library_name": "transformers",
        "pipeline_tag": "text-generation",
        "tags": ["imagine-then-plan", role.replace(" ", "-"), "text-environments", "llm-agents"],
    }
    return f"---\n{yaml.safe_dump(content, sort_keys=False).strip()}\n---"


def split_words(words: str) -> tuple[str, str]:
    """What the user wrote before a line `## Limits`, and from it on."""
    before, mark, after = ("\n" + words.strip()).partition("\n## Limits")
    return before.strip(), (mark + after).strip()


def recipe(source: Path) -> str:
    """The commands that made a checkpoint, first to last, with what made them reproducible."""
    runs = chain(source)
    if not runs:
        return "(The run folder is lost.)"
    last = read_config(runs[-1])
    lines = [command_line(run, runs) for run in runs]
    versions = last.get("versions") or {}
    told = ", ".join(f"{name} {versions[name]}" for name in LIBRARIES if versions.get(name))
    commit = f" at commit {str(last['git'])[:12]}" if last.get("git") else ""
    return "\n".join(
        [
            f"Shipped: `{relative(source, runs)}` of these runs, which leave out what is a default.",
            "",
            "```sh",
            *lines,
            "```",
            "",
            f"The last one ran{commit}, {str(last.get('created', ''))[:10]}, with {told}.",
        ]
    )


def chain(checkpoint: Path) -> list[Path]:
    """Run folders of all that went into a checkpoint, as far as they are still there; its own comes last."""
    found: list[Path] = []

    def visit(run: Path) -> None:
        for path in inputs(run):
            if (before := run_of(path)) is not None and before not in found and before != run:
                visit(before)
        if run not in found:
            found.append(run)

    own = run_of(checkpoint)
    if own is not None:
        visit(own)
    return found


def inputs(run: Path) -> Iterator[Path]:
    """Paths that a run's settings name. One from another machine is looked for beside the run."""
    for value in flat(read_config(run)["config"]).values():
        for item in value if isinstance(value, list) else [value]:
            if not isinstance(item, str) or "/" not in item:
                continue
            path = Path(item)
            beside = [run.parent.joinpath(*path.parts[-n:]) for n in (1, 2, 3) if n < len(path.parts)]
            yield from [place for place in (path, *beside) if place.exists()][:1]


def run_of(path: Path) -> Path | None:
    """The run folder that holds a file or folder; None when there is none close above."""
    places = (path.resolve(), *path.resolve().parents)
    return next((place for place in places[:4] if (place / CONFIG_NAME).is_file()), None)


def command_line(run: Path, runs: Sequence[Path]) -> str:
    """A run's command, as it would be typed, without what is a default."""
    content = read_config(run)
    settings, defaults = flat(content["config"]), command_defaults(str(content["command"]))
    settings |= {key: value for key, value in metrics(run).items() if key == "updates"}  # config.yaml lets it grow
    words = ["itp", *str(content["command"]).split()]
    for key, value in settings.items():
        if value in (None, "", []) or (key in defaults and defaults[key] == value and key not in ALWAYS):
            continue
        flag = "--" + key.replace("_", "-")
        if isinstance(value, bool):
            words.append(flag if value else flag.replace("--", "--no-", 1))
            continue
        items = value if isinstance(value, list) else [value]
        words += [flag, *(relative(item, runs) if isinstance(item, str) else f"{item:g}" for item in items)]
    return shlex.join([*words, "--out", relative(run, runs)])


def metrics(run: Path) -> dict[str, float]:
    """What a training stage measured at its end; nothing for other runs."""
    file = run / "training.json"
    return json.loads(file.read_text(encoding="utf-8"))["metrics"] if file.is_file() else {}


def command_defaults(command: str) -> dict[str, Any]:
    """Defaults of a command's flags, as YAML holds them; none for a command that this version does not know."""
    from itp.run_folder import plain

    module = next((known.module for known in COMMANDS if known.name == command), None)
    return plain(dict(_defaults(importlib.import_module(module).Config))) if module else {}


def _defaults(kind: type) -> Iterator[tuple[str, Any]]:
    for field in dataclasses.fields(kind):
        value = field.default
        if field.default_factory is not dataclasses.MISSING:
            value = field.default_factory()
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            yield from ((inner.name, getattr(value, inner.name)) for inner in dataclasses.fields(value))
        elif value is not dataclasses.MISSING:
            yield field.name, value


def flat(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings with those of nested groups beside the others, as flags are."""
    content: dict[str, Any] = {}
    for key, value in settings.items():
        content |= flat(value) if isinstance(value, Mapping) else {key: value}
    return content


def relative(path: str | Path, runs: Sequence[Path]) -> str:
    """A path without what only this machine knows: below the folder that holds all runs, or its last two parts."""
    root = Path(os.path.commonpath([run.parent for run in runs])) if runs else Path("/")
    where = Path(path).resolve()
    if isinstance(path, str) and not Path(path).is_absolute():
        ours = "/" in path and where.exists() and bool(runs) and where.is_relative_to(root)
        if not ours:  # a name, a number, or a path that says enough
            return path
    parts = where.relative_to(root).parts if runs and where.is_relative_to(root) else where.parts[-KEPT_PARTS:]
    return "/".join(parts)


def named(parent: str, source: Path) -> str:
    """What `itp_config.json` calls the checkpoint that this one was trained from."""
    return relative(parent, chain(source)) if parent else ""


def table(results: Sequence[Mapping[str, Any]]) -> str:
    """The results as a Markdown table."""
    if not results:
        return "None yet: evaluate the files as they lie here, and ship again with `--results`."
    lines = ["| " + " | ".join(FIGURES) + " |", "|---|---|" + "---:|" * (len(FIGURES) - 2)]
    lines += ["| " + " | ".join(cells(result)) + " |" for result in results]
    return "\n".join(["Of the float16 weights that lie here, read as float32 (`itp eval`, one run each):", "", *lines])


def cells(result: Mapping[str, Any]) -> tuple[str, ...]:
    """One row, in the order of `FIGURES`."""
    settings = result["config"]
    options = "".join(f" {option}" for option in settings.get("env_option") or ())
    return (
        f"{result['planner']}{world_model(settings)}{writing(settings)}",
        f"{result['env']}/{result['split']}{options}",
        str(result["n"]),
        percent(result["success_rate"]),
        interval(result["success_ci95"]),
        number(result["mean_steps"], 1),
        str(result["irreversible_failures"]),
        number(result["mean_k"], 2),
        number(result["mean_score"], 2),
        str(settings["seed"]),
    )


def writing(settings: Mapping[str, Any]) -> str:
    """What sets free generation apart from scored commands, and the likeliest of several from the first."""
    freely = ", commands written freely" if settings.get("action") == "generate" else ""
    count = settings.get("proposals") or 1
    return f"{freely}, likeliest of {count}" if count > 1 else freely


def world_model(settings: Mapping[str, Any]) -> str:
    """Which world model a row imagined with."""
    path = str(settings.get("world_model") or "")
    if settings.get("planner") != "itp" or not path:
        return ""
    return f" ({path})" if path in ("exact", "rules") else " (its world model)"


def held_out(source: Path, part: str) -> Iterator[str]:
    """A world model's measures on held-out episodes, as training found them."""
    run = run_of(source)
    if part != "world_model" or run is None:
        return
    measured = {key.removeprefix("eval_"): value for key, value in metrics(run).items() if key.startswith("eval_")}
    shown = ", ".join(f"{key} {value:.3f}" for key, value in measured.items())
    if shown:
        yield f"On held-out episodes at the end of training (float32 weights): {shown}."
