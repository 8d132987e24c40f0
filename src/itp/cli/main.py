"""The `itp` command: finds the module of a command, reads its flags, runs it and turns errors into one line.

Every command is a module with a `Config` dataclass and `run(config)`; only the chosen module is imported, so that
`itp --help` needs neither torch nor an environment. `run` may return an exit code of its own (`itp check-env`: 1 for an
environment with problems). Exit codes otherwise: 0 done, 1 a bug (with its traceback), 2 something the
user can mend, 130 interrupted, 141 the reader of our output went away.
"""

from __future__ import annotations

import importlib
import os
import shlex
import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from itp import __version__
from itp.cli.flags import closest, parse_config
from itp.errors import ConfigError, ItpError
from itp.run_folder import is_main
from itp.training.distributed import leave

EXIT_USER_ERROR = 2
EXIT_INTERRUPTED = 130
EXIT_BROKEN_PIPE = 141


@dataclass(frozen=True, slots=True)
class Command:
    """One command: the words that name it, the module that runs it, one line of help."""

    words: tuple[str, ...]
    module: str
    help: str
    resumes: bool = True
    """The same command, given again, goes on where it was interrupted."""

    @property
    def name(self) -> str:
        """The words as typed after `itp`."""
        return " ".join(self.words)


COMMANDS = (
    Command(("demo",), "itp.cli.demo", "Play the shipped checkpoints: a table, a decision in full, a report"),
    Command(("eval",), "itp.cli.eval", "Play a split with one planner: traces, results.json and a table"),
    Command(("sweep",), "itp.cli.sweep", "Evaluate tasks x planners x checkpoints x seeds, named in one YAML file"),
    Command(("report",), "itp.cli.report", "Write runs into one HTML file: figures, and every step", resumes=False),
    Command(("view",), "itp.cli.view", "Show runs in the browser while they go on", resumes=False),
    Command(("export",), "itp.cli.export", "Write runs in the format of another tool, or for a paper", resumes=False),
    Command(("merge",), "itp.cli.merge", "Put the shards of an evaluation or a sweep together"),
    Command(("compare",), "itp.cli.compare", "Print the results of several runs in one table", resumes=False),
    Command(("show",), "itp.cli.show", "Print an episode or one decision of a run in full", resumes=False),
    Command(("data", "alfworld"), "itp.cli.data", "Unpack the ALFWorld games, or say what is there and what is broken"),
    Command(("data", "convert"), "itp.data.convert", "Turn the authors' data formats and ETO conversations into ours"),
    Command(("check-env",), "itp.cli.check_env", "Say what is wrong with an environment, one line each", resumes=False),
    Command(("serve-env",), "itp.cli.serve_env", "Expose an environment over HTTP", resumes=False),
    Command(("serve",), "itp.cli.serve", "Decide over HTTP: lookahead for agents in any language", resumes=False),
    Command(("collect",), "itp.data.collect", "Record expert or policy episodes as training data"),
    Command(("train", "world-model"), "itp.training.world_model", "Train the world model on recorded steps (eq. 1)"),
    Command(("train", "policy"), "itp.training.policy_sft", "Train the policy by imitation, or IWM"),
    Command(("train", "wkm"), "itp.training.wkm", "Train the world knowledge model, a baseline"),
    Command(("label",), "itp.training.pseudo_label", "Label each expert step with its best horizon K (eq. 5)"),
    Command(("train", "warmup"), "itp.training.warmup", "Warm up the policy and its K-head on the labels (eq. 6)"),
    Command(("train", "a2c"), "itp.training.a2c", "Tune policy and K-head online with A2C (eqs. 7-8)"),
    Command(
        ("policy", "calibrate"),
        "itp.policy.calibration",
        "Find where the K-head asks for a share of the looks",
        resumes=False,
    ),
    Command(("world-model", "eval"), "itp.world_model.fidelity", "Measure how true the world model's words are"),
    Command(
        ("world-model", "calibrate"),
        "itp.world_model.calibration",
        "Find how sure the world model must be to be believed",
        resumes=False,
    ),
)

EXTRAS = {
    "train": (
        "torch",
        "transformers",
        "trl",
        "peft",
        "accelerate",
        "datasets",
        "safetensors",
        "tokenizers",
        "tensorboard",
    ),
    "alfworld": ("textworld", "alfworld"),
    "scienceworld": ("scienceworld", "py4j", "psutil"),
    "textworld": ("textworld_express",),
    "serve": ("fastapi", "uvicorn", "httpx"),
    "openai": ("openai", "diskcache"),
    "ray": ("ray",),
    "export": ("polars", "matplotlib"),
    "inspect": ("inspect_ai",),
    "report": ("jinja2", "markupsafe", "plotly"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code. Exceptions that are bugs pass through with their traceback."""
    words = list(sys.argv[1:] if argv is None else argv)
    command = _find(words)
    again = shlex.join(["itp", *words]) if command is not None and command.resumes else ""
    return guarded(lambda: _dispatch(words), again=again)


def guarded(call: Callable[[], int], *, again: str = "") -> int:
    """Run a command; whatever the user can mend becomes one line and an exit code, as this module's text says.

    Args:
        call: the command.
        again: what to type to resume it after an interruption; "" for a command that cannot.
    """
    try:
        code = call()
        sys.stdout.flush()
    except ItpError as error:
        return _fail(str(error))
    except ModuleNotFoundError as error:
        extra = next((name for name, roots in EXTRAS.items() if (error.name or "").split(".")[0] in roots), None)
        if extra is None:
            raise
        return _fail(f"this command needs {error.name}: pip install 'imagine-then-plan[{extra}]'")
    except KeyboardInterrupt:
        print(f"itp: interrupted{f'; to resume, run again: {again}' if again else ''}", file=sys.stderr)
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # The interpreter flushes stdout once more on its way out; give it somewhere to write.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return EXIT_BROKEN_PIPE
    return code


def _dispatch(words: list[str]) -> int:
    if not words:
        print(help_text(), file=sys.stderr)
        return EXIT_USER_ERROR
    if words[0] in ("-h", "--help"):
        print(help_text())
        return 0
    if words[0] == "--version":
        print(f"itp {__version__}")
        return 0
    command = _find(words)
    if command is None:
        return _without_command(words)
    return run_module(command.module, words[len(command.words) :], prog=f"itp {command.name}")


def run_module(name: str, words: Sequence[str], *, prog: str) -> int:
    """Import a command's module, read its flags and run it; returns the exit code."""
    with warnings.catch_warnings():
        _quiet_libraries()
        module = importlib.import_module(name)
        try:
            config = parse_config(module.Config, words, prog=prog)
        except SystemExit:
            return 0
        code = module.run(config) or 0
        leave()
        return code


def _find(words: Sequence[str]) -> Command | None:
    return next((command for command in COMMANDS if tuple(words[: len(command.words)]) == command.words), None)


def _without_command(words: Sequence[str]) -> int:
    """`itp train` and `itp train --help` list that group; anything else is a mistake to point out."""
    group = [command for command in COMMANDS if len(command.words) > 1 and command.words[0] == words[0]]
    if group and (len(words) == 1 or words[1] in ("-h", "--help")):
        print(help_text(group), file=sys.stdout if len(words) > 1 else sys.stderr)
        return 0 if len(words) > 1 else EXIT_USER_ERROR
    if words[0].startswith("-"):
        kind, tried, known = "flag", words[0], ["--help", "--version"]
    else:
        names = [word for word in words[:2] if not word.startswith("-")]
        kind, tried, known = "command", " ".join(names), [command.name for command in group or COMMANDS]
    near = closest(tried, known) or closest(words[0], known)
    call = "itp " + near if near else "itp --help"
    raise ConfigError(f"unknown {kind} {tried}: {'did you mean' if near else 'see'} `{call}`{'?' if near else ''}")


def help_text(commands: Sequence[Command] = COMMANDS) -> str:
    """The overview printed by `itp --help`: one line for each command."""
    width = max(len(command.name) for command in commands)
    lines = [f"  {command.name:<{width}}  {command.help}" for command in commands]
    return "\n".join(
        [
            "usage: itp COMMAND [--flag VALUE ...] [--config FILE.yaml]",
            "",
            "Imagine-then-Plan: language agents that look before they leap.",
            "",
            "commands:",
            *lines,
            "",
            "`itp COMMAND --help` lists a command's flags; a YAML file given by --config sets defaults for them.",
            "`itp --version` prints the version.",
        ]
    )


def _fail(message: str) -> int:
    if is_main():  # of the processes of a launcher, each of which comes here, one speaks
        print(f"itp: error: {' '.join(message.split())}", file=sys.stderr)
    return EXIT_USER_ERROR


def _quiet_libraries() -> None:
    """Keep third-party notices out of our output, unless the user asked for them through the usual variables."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("TRANSFORMERS_NO_ADVISORY_WARNINGS", "1")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    if not sys.warnoptions:
        for category in (DeprecationWarning, PendingDeprecationWarning, FutureWarning):
            warnings.simplefilter("ignore", category)
