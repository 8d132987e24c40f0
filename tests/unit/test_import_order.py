"""Imports point one way, as DESIGN.md draws them, and playing needs neither textworld nor torch.

    types -> envs, lm -> state_text -> policy -> world_model -> planners -> rollout
          -> harness -> data, agent -> evaluation, training, serve -> cli
          -> the authors' commands (foresight_eval, itp.training.train_adaptive_k)

Imports inside functions follow the same order, with one exception: a command's module (`itp collect`, `itp world-model
eval`, ...) may reach anything below the command line while it runs.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import itp
from itp.cli.main import COMMANDS

ROOT = Path(itp.__file__).parent
LAYERS = (
    ("errors", "types"),
    ("run_folder", "trace", "envs", "lm"),
    ("state_text",),
    ("policy",),
    ("world_model",),
    ("planners",),
    ("rollout",),
    ("harness",),
    ("data", "agent"),
    ("evaluation", "training", "serve"),
    ("export", "report"),
    ("cli",),
)
RANK = {name: rank for rank, layer in enumerate(LAYERS) for name in layer}
PARTS = sorted(RANK)
ENTRY_POINTS = ("foresight_eval", "itp.training.train_adaptive_k")
"""The authors' commands stand above the command line, wherever they lie."""


def modules(part: str) -> Iterator[tuple[str, ast.Module]]:
    """Dotted name and syntax tree of every module of a part of the package."""
    folder = ROOT / part
    for file in sorted(folder.rglob("*.py")) if folder.is_dir() else [folder.with_suffix(".py")]:
        name = ".".join(("itp", *file.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__")
        yield name, ast.parse(file.read_text(encoding="utf-8"))


def imports(
    tree: ast.AST, *, inside_function: bool = False, of: tuple[str, ...] = ("itp",)
) -> Iterator[tuple[str, bool]]:
    """(dotted name, whether inside a function) of everything a tree imports from this package, or from those named."""
    for node in ast.iter_child_nodes(tree):
        inside = inside_function or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative import: write the full name"
            # `from itp import make_env` takes what the package offers at its root: an environment
            names = [f"itp.{a.name}" for a in node.names] if node.module == "itp" else [node.module or ""]
        else:
            names = []
        for name in names:
            if name.split(".")[0] in of:
                yield name, inside
        yield from imports(node, inside_function=inside, of=of)


def part_of(name: str) -> str:
    root = {"itp.make_env": "envs", "itp.__version__": "errors"}
    return root.get(name, name.split(".")[1])


def test_every_part_of_the_package_has_its_place_in_the_order() -> None:
    found = {path.stem for path in ROOT.iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file()}
    assert found - {"__init__"} == set(RANK)


@pytest.mark.parametrize("part", PARTS)
def test_imports_point_down_the_order(part: str) -> None:
    commands = {command.module for command in COMMANDS}
    for name, tree in modules(part):
        if name.startswith(ENTRY_POINTS):
            continue
        for imported, inside in imports(tree):
            other = part_of(imported)
            if other == part:
                continue
            allowed = RANK[other] < RANK[part]
            if inside and name in commands:
                allowed = other != "cli"
            assert allowed, f"{name} imports {imported}: {other} does not come before {part}"


def test_nothing_imports_the_authors_commands_but_they_themselves() -> None:
    for part in PARTS:
        for name, tree in modules(part):
            if not name.startswith(ENTRY_POINTS):
                assert not [i for i, _ in imports(tree, of=("itp", "foresight_eval")) if i.startswith(ENTRY_POINTS)], (
                    name
                )


def test_the_record_of_an_episode_needs_only_types_and_errors() -> None:
    used = {part_of(imported) for _, tree in modules("trace") for imported, _ in imports(tree)}
    assert used - {"trace"} <= {"types", "errors"}


def run(code: str) -> str:
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout


PLAY = """
import sys
from itp import make_env
from itp.planners.simple import ExpertPlanner
from itp.rollout.lockstep import run_episodes

env = make_env("household")
settings = {"batch_size": 2, "max_steps": 50, "seed": 0}
played = run_episodes(lambda: make_env("household"), ExpertPlanner(), env.task_ids[:2], **settings)
assert all(trajectory.won for trajectory in played)
print(*sorted({name.split(".")[0] for name in sys.modules}))
"""


def test_the_fast_engine_and_household_play_without_textworld_alfworld_or_torch() -> None:
    loaded = set(run(PLAY).split())
    assert "itp" in loaded
    assert not loaded & {"textworld", "alfworld", "fast_downward", "torch", "transformers"}


def test_the_command_line_starts_without_heavy_libraries() -> None:
    loaded = set(run("import sys, itp.cli.main; print(*{n.split('.')[0] for n in sys.modules})").split())
    assert not loaded & {"torch", "transformers", "textworld", "alfworld", "gymnasium", "numpy"}
