"""Is an environment one that this package can play? `check_text_env(env)` says what is wrong, one line each.

Stands beside the contract in `itp.envs.base`: authors run it on their own environments (`itp check-env`), and the tests
of this package run it on every environment that is shipped.
"""

from itp.envs.check.check import assert_text_env, check_text_env
from itp.envs.check.findings import Problem

__all__ = ["Problem", "assert_text_env", "check_text_env"]
