"""docs/environments.md, as a reader would use it: the example is the file, and every command says what is printed."""

from __future__ import annotations

import ast
import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from itp.cli.main import main
from itp.envs.registry import env_names

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "environments.md").read_text(encoding="utf-8")
EXAMPLE = (ROOT / "examples" / "crossing.py").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", TEXT, flags=re.MULTILINE | re.DOTALL)


def commands() -> list[tuple[str, str]]:
    """Every command of the console blocks and what the page says it prints."""
    parts = [part for block in blocks("console") for part in block.split("$ ") if part]
    return [(command, printed) for command, _, printed in (part.partition("\n") for part in parts)]


def test_the_page_shows_the_example_and_it_is_short() -> None:
    assert EXAMPLE in blocks("python")
    tree = ast.parse(EXAMPLE)
    texts = [node for node in ast.walk(tree) if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)]
    documentation = {line for node in texts for line in range(node.lineno, (node.end_lineno or 0) + 1)}
    lines = [line for number, line in enumerate(EXAMPLE.splitlines(), 1) if line and number not in documentation]
    assert len(lines) <= 40


def test_every_command_of_the_page_does_what_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "examples").mkdir()
    shutil.copy(ROOT / "examples" / "crossing.py", tmp_path / "examples")
    installed = tmp_path / "crossing-1.0.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: crossing\nVersion: 1.0\n")
    entry = blocks("toml")[0].replace('[project.entry-points."itp.envs"]', "[itp.envs]").replace('"', "")
    (installed / "entry_points.txt").write_text(entry)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *(entry for entry in sys.path if entry and entry != str(ROOT))])
    for name in [name for name in sys.modules if name.split(".")[0] == "examples"]:
        monkeypatch.delitem(sys.modules, name)
    assert len(commands()) == 7
    for command, printed in commands():
        words = shlex.split(command)
        if words[0] != "itp":
            subprocess.run(command, shell=True, check=True, timeout=30)
            continue
        code = main(words[1:])
        out = capsys.readouterr().out
        if words[1] == "check-env":
            assert out == printed
            assert code == (0 if "nothing wrong found" in printed else 1)
        else:
            results = json.loads((Path(words[words.index("--out") + 1]) / "results.json").read_text())
            assert (code, results["errors"]) == (0, 0)
            assert results["n"] == (3 if "crossing" in command else 20)


def test_the_table_lists_every_environment() -> None:
    listed = re.findall(r"^\| `([^`]+)`", TEXT, flags=re.MULTILINE)
    assert {name for name in env_names() if "crossing" not in name} <= set(listed)
