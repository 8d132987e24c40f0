"""The authors' evaluation commands, `python -m foresight_eval` and `python -m foresight_eval.runner_sciworld`.

Thin entry points over `itp eval`; docs/authors-commands.md says what each flag does.
"""
