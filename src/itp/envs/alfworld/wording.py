"""The official texts that describe a state: lists, receptacles, surroundings, objects."""

from __future__ import annotations

from collections.abc import Sequence

from itp.envs.alfworld.state import GameState

BANNER = "-= Welcome to TextWorld, ALFRED! =-"
NOTHING_HAPPENS = "Nothing happens."


def join_names(names: Sequence[str]) -> str:
    """Join as the official grammar does: "X", "X, and Y", "X, Y, and Z"; "nothing" when there are none."""
    if len(names) < 2:
        return names[0] if names else "nothing"
    return f"{', '.join(names[:-1])}, and {names[-1]}"


def first_text(state: GameState) -> str:
    """The text of a reset: banner, surroundings and task, separated by blank lines."""
    return f"{BANNER}\n\n{surroundings(state, first=True)}\n\nYour task is to: {state.game.task}"


def things(state: GameState, objects: Sequence[int]) -> str:
    """A list of objects with articles; the article is always "a"."""
    names = state.tables.with_article
    return join_names([names[o] for o in objects])


def receptacle_view(state: GameState, receptacle: int) -> str:
    """What a receptacle shows: its contents, or that it is closed."""
    name = state.game.receptacle_names[receptacle]
    if receptacle not in state.game.openable:
        return f"On the {name}, you see {things(state, state.contents[receptacle])}."
    if receptacle in state.opened:
        return f"The {name} is open. In it, you see {things(state, state.contents[receptacle])}."
    return f"The {name} is closed."


def surroundings(state: GameState, first: bool = False) -> str:
    """Answer to "look". Away from any receptacle it lists all of them in the first text, and nothing later."""
    here, names = state.tables.here[state.location], state.game.receptacle_names
    if here:
        # One entry per (object, receptacle here it was taken from): an object may be listed twice, as officially.
        beside = [o for o in state.objects_at[state.location] for r in here if (o, r) in state.taken]
        facing = join_names([names[r] for r in here])
        return f"You are facing the {facing}. Next to it, you see {things(state, beside)}."
    seen = join_names([f"a {name}" for name in names]) if first else "nothing"
    return f"You are in the middle of a room. Looking quickly around you, you see {seen}."


def object_view(state: GameState, thing: int) -> str:
    """Answer to "examine" of the object in hand, by the first rule of the official grammar that fits."""
    game, name = state.game, state.game.object_names[thing]
    if thing in game.inner_objects:
        return f"This is a normal {name}. In it, you see {things(state, game.inner_objects[thing])}."
    hot, clean, cool, sliced = (thing in group for group in (state.hot, state.clean, state.cool, state.sliced))
    if hot or clean or cool:
        # Cool alone reads "cold", together with anything else "cool".
        temperature = "hot" if hot else "cool" if cool and (clean or sliced) else "cold" if cool else ""
        words = " and ".join(word for word in (temperature, "clean" if clean else "") if word)
        return f"This is a {words} {'sliced ' if sliced else ''}{name}."
    if thing in game.toggleable and thing in state.lit:
        return f"This {name} is on."
    if sliced and thing in game.sliceable:
        return f"This is a sliced {name}."
    return f"There's nothing special about {name}."
