"""ScienceWorld (Wang et al. 2022) as a `TextEnv`: `make_env("scienceworld")`. See docs/scienceworld.md."""

from itp.envs.scienceworld.env import ScienceWorldTextEnv, make_scienceworld_env

__all__ = ["ScienceWorldTextEnv", "make_scienceworld_env"]
