"""The admissible commands of a state: exactly the official list, in its order."""

from __future__ import annotations

from itp.envs.alfworld.state import GameState


def list_commands(state: GameState) -> list[str]:
    """Sorted, without duplicates.

    Only what concerns the agent's location is built anew. Verbs sort as clean, close, cool, examine, *go*, heat,
    inventory, look, open, put, slice, take, use: the walks, most of the list, come ready-made between two short parts.
    """
    before, after = _with_the_hand(state)
    for receptacle in state.tables.here[state.location]:
        _at_receptacle(state, receptacle, before, after)
    # Duplicates, such as a lamp that stands in two receptacles here, are dropped officially too.
    return [*sorted(set(before)), *state.tables.walks(state.location), *sorted(set(after))]


def _with_the_hand(state: GameState) -> tuple[list[str], list[str]]:
    """Commands that depend on no receptacle: those that sort before "go", and those after."""
    game, held = state.game, state.held
    after = ["inventory", "look"]
    if held < 0:
        return [], after
    name = game.object_names[held]
    if held in game.knives:
        sliceable = [o for o in state.objects_at[state.location] if o in game.sliceable]
        after += [f"slice {game.object_names[o]} with {name}" for o in sliceable]
    # Of objects only the one in hand can be examined: the official rule for the others has a typo and never applies.
    return [f"examine {name}"], after


def _at_receptacle(state: GameState, receptacle: int, before: list[str], after: list[str]) -> None:
    """Add the commands that concern one receptacle at the agent's location."""
    game, held, objects = state.game, state.held, state.game.object_names
    name, inside = game.receptacle_names[receptacle], state.contents[receptacle]
    is_open = state.accessible(receptacle)
    before.append(f"examine {name}")
    if receptacle in game.openable:
        (before if is_open else after).append(f"close {name}" if is_open else f"open {name}")
    after += [f"use {objects[o]}" for o in inside if o in game.toggleable]
    if held < 0:
        if is_open:
            after += [f"take {objects[o]} from {name}" for o in inside if o in game.pickupable]
        return
    if is_open and held in game.accepts[receptacle]:
        after.append(f"put {objects[held]} in/on {name}")
    if receptacle in game.sinks and held in game.cleanable:
        before.append(f"clean {objects[held]} with {name}")
    if receptacle in game.microwaves and held in game.heatable:
        after.append(f"heat {objects[held]} with {name}")
    if receptacle in game.fridges and held in game.coolable:
        before.append(f"cool {objects[held]} with {name}")
