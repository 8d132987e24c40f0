"""`python -m itp.training.train_adaptive_k label|sft|rl_k`: see docs/authors-commands.md."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from itp.cli.authors import run_entry
from itp.cli.flags import closest

PROG = "python -m itp.training.train_adaptive_k"
COMMANDS = {
    "label": "stage 1: pseudo-labels for K (itp label)",
    "sft": "stage 2: warm-up of policy and K-head (itp train warmup)",
    "rl_k": "stage 3: online A2C (itp train a2c)",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one stage; returns the exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    usage = "\n".join([f"usage: {PROG} STAGE [--flag VALUE ...]", *(f"  {n:<6} {h}" for n, h in COMMANDS.items())])
    if not words or words[0] in ("-h", "--help"):
        print(usage, file=sys.stdout if words else sys.stderr)
        return 0 if words else 2
    if words[0] not in COMMANDS:
        near = closest(words[0], COMMANDS)
        hint = f"did you mean {near}? " if near else ""
        print(f"itp: error: unknown stage {words[0]}: {hint}choose one of {', '.join(COMMANDS)}", file=sys.stderr)
        return 2
    return run_entry(f"itp.training.train_adaptive_k.{words[0]}", words[1:], prog=f"{PROG} {words[0]}")


if __name__ == "__main__":
    sys.exit(main())
