"""The household generator: rooms and tasks of all six ALFWorld families, made from a seed, with no data on the machine.

catalog -> rooms -> layout -> goals -> problem -> generator -> env (play) or files (write)
"""

from itp.envs.household.env import make_household_env
from itp.envs.household.files import write_games
from itp.envs.household.generator import HouseholdGame, generate_game, seed_of

__all__ = ["HouseholdGame", "generate_game", "make_household_env", "seed_of", "write_games"]
