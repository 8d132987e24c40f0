"""docs/agent.md and examples/wrap_your_loop.py do what they say."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fault_server import FaultServer

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "wrap_your_loop.py"
DOC = (ROOT / "docs" / "agent.md").read_text(encoding="utf-8")


def example(*flags: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(EXAMPLE), *flags], capture_output=True, text=True, timeout=120, check=False
    )


def outcomes(output: str) -> list[str]:
    """How each of the two loops ended."""
    return [block.splitlines()[-1].strip() for block in output.strip().split("\n\n")]


def test_the_example_loses_without_lookahead_and_wins_with_it() -> None:
    done = example()
    assert done.returncode == 0, done.stderr
    assert outcomes(done.stdout) == ["data lost", "done"]
    assert "(imagined: delete /backup (40 GB) -> " in done.stdout


def stand_in(prompt: str) -> str:
    """The example's own stand-in for a model."""
    names: dict[str, Any] = {"__name__": "example"}
    exec(compile(EXAMPLE.read_text(encoding="utf-8"), EXAMPLE, "exec"), names)
    return names["greedy"]([{"role": "user", "content": prompt}])


def test_the_example_does_so_too_with_a_model_behind_a_server() -> None:
    with FaultServer(answer=stand_in) as server:
        done = example("--policy", f"openai:{server.url}")
        assert done.returncode == 0, done.stderr
        assert outcomes(done.stdout) == ["data lost", "done"]
        assert len(server.requests) > 6


def test_the_python_of_the_page_runs(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    names: dict[str, Any] = {}
    blocks = re.findall(r"^```python\n(.*?)^```$", DOC, re.MULTILINE | re.DOTALL)
    assert len(blocks) == 5
    with FaultServer(answer=lambda prompt: "2" if "one integer" in prompt else "Action: look") as server:
        for block in blocks:
            exec(block.replace("http://127.0.0.1:8000/v1", server.url), names)
    printed = capsys.readouterr().out
    shown = DOC.partition('"steps")\n```\n\n```\n')[2].partition("```")[0]
    assert re.fullmatch(r"not .* for good\.\nTrue \d+ steps\n", shown)
    assert shown in printed
    assert printed.startswith("look\n(ImaginedStep(action='look', ")
    assert "[('look', 'You see nothing special.'), ('look', 'You see a mug 2.')]" in printed
    assert "{'look'} {'batches': 4, 'decisions': 19, 'waiting': 0}" in printed
    assert "HorizonChosen(horizon=1)" in printed


def test_the_page_names_flags_that_exist() -> None:

    shown = subprocess.run(
        [sys.executable, "-m", "itp.cli", "serve", "--help"], capture_output=True, text=True, timeout=60, check=True
    )

    flags = set(re.findall(r"--[a-z][a-z-]+", DOC.partition("benchmarks/serve.py")[0])) - {"--help", "--policy"}
    assert {flag for flag in flags if flag not in shown.stdout} == set()
