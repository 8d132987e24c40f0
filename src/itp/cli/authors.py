"""What the authors' commands share: `python -m itp.training.train_adaptive_k` and `python -m foresight_eval`.

They are thin: each has a Config with the authors' flags, makes the Config of an `itp` command from it, and runs that
command. What cannot have its effect on this machine, or has none in this implementation, is said in one line on stderr.
docs/authors-commands.md has the whole list.
"""

from __future__ import annotations

import contextlib
import re
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from itp.errors import CheckpointError, ConfigError, ItpError
from itp.run_folder import is_main

DTYPES = {
    "fp32": "float32", "float32": "float32", "bf16": "bfloat16", "bfloat16": "bfloat16", "fp16": "float16",
    "float16": "float16",
}  # fmt: skip
ACTION_TOKENS, IMAGINED_ACTION_TOKENS, OBSERVATION_TOKENS = 16, 12, 192
"""Token limits of the paper: a real action, an imagined action, one world-model step."""
_MARKS = 4
"""Special tokens around an imagined step, and around an action."""
_LEAST_STATE = 64


def run_entry(module: str, words: Sequence[str], *, prog: str) -> int:
    """Run a module with a Config of the authors' flags, as `itp` runs its commands; returns the exit code."""
    from itp.cli.main import guarded, run_module

    return guarded(lambda: run_module(module, words, prog=prog), again=shlex.join([*prog.split(), *words]))


def warn(text: str) -> None:
    """One line on stderr, from the main process."""
    if is_main():
        print(f"warning: {' '.join(text.split())}", file=sys.stderr, flush=True)


def without_effect(reasons: Mapping[str, str]) -> None:
    """One line that names the given flags that change nothing here, each with its reason. Nothing for none."""
    if reasons:
        warn("without effect here: " + "; ".join(f"{flag} ({reason})" for flag, reason in reasons.items()))


@contextlib.contextmanager
def flags_named(names: Mapping[str, str]) -> Iterator[None]:
    """Errors raised inside speak of the authors' flags: our flag -> theirs."""
    try:
        yield
    except ItpError as error:
        text = str(error)
        for ours, theirs in names.items():
            text = re.sub(rf"{re.escape(ours)}(?![\w-])", theirs, text)
        raise type(error)(text) from error


def check_choice(flag: str, value: object, allowed: Sequence[object]) -> None:
    """Raise ConfigError unless the value is allowed."""
    if value not in allowed:
        raise ConfigError(f"{flag} {value} is unknown: choose one of {', '.join(map(str, allowed))}")


def has_cuda() -> bool:
    """Whether this machine has a CUDA device."""
    import torch

    return torch.cuda.is_available()


def devices(**given: str) -> dict[str, str]:
    """Devices that exist, for flags and what was given for them; "" is the first GPU, or the CPU. Warns at most once.

    Raises:
        ConfigError: a value names no kind of device.
    """
    import torch

    count = torch.cuda.device_count() if has_cuda() else 0
    found: dict[str, str] = {}
    moved: list[str] = []
    for name, value in given.items():
        kind, _, index = value.partition(":")
        if kind not in ("", "cpu", "cuda", "mps") or (index and not index.isdecimal()):
            raise ConfigError(f"--{name} {value} is no device: give cpu, cuda, cuda:1 or mps")
        if kind == "cuda" and int(index or 0) >= count:
            moved.append(f"--{name} {value}")
        if kind in ("cpu", "mps"):
            found[name] = value
        elif count == 0:
            found[name] = "cpu"
        else:
            found[name] = value if kind == "cuda" and int(index or 0) < count else "cuda:0"
    if moved:
        here = f"there is no CUDA device beyond cuda:{count - 1}" if count else "there is no CUDA device"
        warn(f"{here}: {', '.join(moved)} -> {'cuda:0' if count else 'cpu'}")
    return found


def half_precision(fp16: bool, bf16: bool) -> str:
    """The dtype that `--fp16` or `--bf16` asks for, where this machine has it; "float32" for neither.

    Raises:
        ConfigError: both are given.
    """
    if fp16 and bf16:
        raise ConfigError("--fp16 and --bf16 exclude each other: give one")
    if fp16 and not has_cuda():
        warn("--fp16 needs a GPU: bf16 on this CPU")
        return "bfloat16"
    return "float16" if fp16 else "bfloat16" if bf16 else "float32"


def checkpoint(flag: str, path: str) -> str:
    """The checkpoint at a path: the folder itself, or that of the run folder it names; a model id stays as it is.

    Raises:
        CheckpointError: a folder without a checkpoint.
    """
    folder = Path(path)
    if not folder.is_dir():
        if path.startswith(("/", ".", "~")) or path.count("/") > 1:
            raise CheckpointError(f"{flag} {path} does not exist: name a checkpoint folder, or a Hugging Face id")
        return path
    for candidate in (folder, folder / "model", folder / "merged_full"):
        if (candidate / "config.json").is_file():
            return str(candidate)
    raise CheckpointError(
        f"{flag} {path} holds no checkpoint: there is no config.json in it, in model or in merged_full"
    )


def tells_history(policy: str) -> bool:
    """Whether a policy checkpoint's state text is a list of steps, which can be shortened."""
    from itp.policy.checkpoint import read_itp_config
    from itp.state_text.renderers import get_renderer

    return get_renderer(read_itp_config(policy).renderer).droppable


def state_limit(
    max_seq_len: int,
    k_max: int,
    *,
    observation_tokens: int = OBSERVATION_TOKENS,
    imagined_action_tokens: int = IMAGINED_ACTION_TOKENS,
    action_tokens: int = ACTION_TOKENS,
) -> int:
    """Tokens left for the state in a prompt of `--max_seq_len`, with K_max imagined steps and the action behind it.

    Raises:
        ConfigError: too few are left.
    """
    step = imagined_action_tokens + observation_tokens + _MARKS
    left = max_seq_len - k_max * step - action_tokens - _MARKS
    if left < _LEAST_STATE:
        raise ConfigError(
            f"--max_seq_len {max_seq_len} leaves {max(left, 0)} tokens for the state beside {k_max} imagined steps of "
            f"up to {step} tokens: raise it, or lower the token limits or K_max"
        )
    return left
