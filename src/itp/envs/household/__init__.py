"""The household generator: rooms and tasks of all six ALFWorld families, made from a seed, with no data on the machine.

catalog -> rooms -> knobs -> layout -> goals -> hazards -> problem -> generator -> env (play) or files (write)

`hazard_game` adds what cannot be undone to the play of games that have hazards.
"""

from itp.envs.household.env import make_household_env
from itp.envs.household.files import write_games
from itp.envs.household.generator import HouseholdGame, generate_game, seed_of
from itp.envs.household.knobs import Knobs

__all__ = ["HouseholdGame", "Knobs", "generate_game", "make_household_env", "seed_of", "write_games"]
