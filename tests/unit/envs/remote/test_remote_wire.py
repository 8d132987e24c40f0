"""What travels between server and client comes back as it was."""

from __future__ import annotations

import json

from itp.envs.base import InfoDict
from itp.envs.remote.wire import encode, info_of, reset_fields
from itp.types import CommandGrammar

INFO = InfoDict(task="t", task_id="a", task_type="", admissible_commands=None, won=False, score=0.0)


def test_an_info_comes_back_as_it_was() -> None:
    told: InfoDict = {**INFO, "command_grammar": CommandGrammar(("use OBJ on OBJ",), ("tin", "oven"))}
    for info in (INFO, told):
        assert info_of(json.loads(encode(reset_fields("a room", info)))) == info
