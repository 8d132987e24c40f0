"""Which variations of which ScienceWorld tasks a split holds, and how many steps each task allows.

The field's papers use 24 of the 30 tasks in lists of [task, variation] pairs: "train", "test_seen" and "test_unseen".
Read from the files where they are (`data` or SCIENCEWORLD_DATA), else recreated: test_unseen is the first ten of a
task's test variations (or all), and the two others, drawn at random by their authors, are kept below as sets of bits.
As published, 54 of the 194 pairs of test_seen are also in train.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from itp.errors import ConfigError, DataError

DATA_VARIABLE = "SCIENCEWORLD_DATA"
FIELD_SPLITS = ("train", "test_seen", "test_unseen")
OURS = ("fit", "valid", "dev", "wide", "rare", "spare", "more")
SPLITS = (*FIELD_SPLITS, *OURS, "sim-train", "sim-dev", "sim-test")
"""`valid` is our own tenth of train and `fit` the rest; the "sim" ones are the simulator's, with all variations. `wide`
is for training: sim-train in the field's tasks, at most `WIDE` variations of each, no pair of valid, test_seen or
test_unseen among them, and `rare` its share of the tasks with few variations, at most `RARE`. `spare` is what `wide`
leaves over, at most `SPARE` of each task: for what must not be learnt from play that the policy knows by heart.
`more` is what both leave over of the tasks that have many, at most `MORE` of each: they are long and hard to learn.
`dev` is for choosing by names that training does not have: sim-dev without test_seen, at most `DEV` of each of the
field's tasks; of those that test_seen takes whole there is none."""
WIDE, RARE, SPARE, MORE, DEV = 80, 20, 20, 100, 12
MAX_STEPS = 100
"""Step limit of the six tasks that the field leaves out; the simulator's own default."""
UNSEEN = 10
ALL = "all"
_FIELD_NAME = re.compile(r"^task-\d+a?-")


@dataclass(frozen=True, slots=True)
class _Task:
    """Sizes of the simulator's splits (variations are numbered through them), and the field's draw from the first two.

    `train` and `seen` are hexadecimal bit sets: bit v of `train` stands for variation v, bit v of `seen` for the v-th
    of the dev variations. "all" stands for all of train and of dev; None for a task that the field leaves out.
    """

    n_train: int
    n_dev: int
    n_test: int
    max_steps: int = MAX_STEPS
    train: str | None = None
    seen: str | None = None

    def variations(self, split: str) -> Sequence[int]:
        """Variation numbers of one of the field's or of the simulator's splits."""
        dev, test = self.n_train, self.n_train + self.n_dev
        ranges = {
            "sim-train": range(dev),
            "sim-dev": range(dev, test),
            "sim-test": range(test, test + self.n_test),
        }
        if split in ranges:
            return ranges[split]
        if self.train is None or self.seen is None:
            return []
        if split == "test_unseen":
            return ranges["sim-test"][:UNSEEN]
        if split == "train":
            return ranges["sim-train"] if self.train == ALL else _bits(self.train)
        return ranges["sim-dev"] if self.seen == ALL else [dev + v for v in _bits(self.seen)]


def _bits(text: str) -> list[int]:
    number = int(text, 16)
    return [v for v in range(number.bit_length()) if number >> v & 1]


def task_ids(split: str, data: str | Path | None = None) -> tuple[str, ...]:
    """Task ids "NAME/VARIATION" of a split, in the order of the simulator's tasks, then of variations.

    Args:
        split: one of `SPLITS`.
        data: folder of the field's split files; None takes SCIENCEWORLD_DATA, or the lists recreated here.

    Raises:
        ConfigError: there is no such split.
        DataError: the folder lacks the split's file, or the file is no list of pairs.
    """
    if split not in SPLITS:
        raise ConfigError(f"split {split!r} is unknown; scienceworld has {', '.join(SPLITS)}")
    field = "train" if split in ("fit", "valid") else split
    fields = [name for name, task in TASKS.items() if task.train is not None]
    if split == "dev":
        seen = task_ids("test_seen", data)
        free = [_without([f"{name}/{v}" for v in TASKS[name].variations("sim-dev")], seen) for name in fields]
        return tuple(itertools.chain.from_iterable(_evenly(ids, DEV) for ids in free))
    if split in ("wide", "rare", "spare", "more"):
        held_out = {*task_ids("valid", data), *task_ids("test_seen", data), *task_ids("test_unseen", data)}
        wide = [[f"{name}/{v}" for v in TASKS[name].variations("sim-train")] for name in fields]
        free = [[task_id for task_id in ids if task_id not in held_out] for ids in wide]
        left = [_without(ids, _evenly(ids, WIDE)) for ids in free]
        rest = [_without(ids, _evenly(ids, SPARE)) for ids in left]
        chosen = {
            "wide": [_evenly(ids, WIDE) for ids in free],
            "rare": [ids for ids in free if len(ids) <= RARE],
            "spare": [_evenly(ids, SPARE) for ids in left],
            "more": [_evenly(ids, MORE) for ids in rest if len(ids) > MORE / 2],
        }
        return tuple(itertools.chain.from_iterable(chosen[split]))
    folder = data or os.environ.get(DATA_VARIABLE)
    if folder and field in FIELD_SPLITS:
        chosen = _read(Path(folder).expanduser(), field)
    else:
        chosen = {f"{name}/{v}" for name, task in TASKS.items() for v in task.variations(field)}
    if split in ("fit", "valid"):
        chosen = {task_id for task_id in chosen if _is_valid(task_id) == (split == "valid")}
    return tuple(f"{n}/{v}" for n, task in TASKS.items() for v in range(_count(task)) if f"{n}/{v}" in chosen)


def _evenly(items: Sequence[str], most: int) -> list[str]:
    """At most so many of the items, evenly spaced."""
    count = min(most, len(items))
    return [items[i * len(items) // count] for i in range(count)]


def _without(items: Sequence[str], taken: Sequence[str]) -> list[str]:
    gone = {*taken}
    return [item for item in items if item not in gone]


def max_steps(name: str) -> int:
    """Step limit of a task in the field's papers."""
    return TASKS[name].max_steps


def field_name_to_task(name: str) -> str:
    """The simulator's name of a task as the split files write it."""
    return _FIELD_NAME.sub("", name).replace("(", "").replace(")", "")


def _count(task: _Task) -> int:
    return task.n_train + task.n_dev + task.n_test


def _is_valid(task_id: str) -> bool:
    """One in ten, drawn by the id alone."""
    return hashlib.sha256(task_id.encode()).digest()[0] % 10 == 0


def _read(folder: Path, split: str) -> set[str]:
    path = folder / f"{split}.json"
    if not path.is_file():
        raise DataError(f"{path} does not exist: name the folder of the split files with data or {DATA_VARIABLE}")
    try:
        pairs = [(field_name_to_task(name), int(variation)) for name, variation in json.loads(path.read_text())]
    except (ValueError, TypeError, AttributeError) as error:
        raise DataError(f"{path} is no list of [task, variation] pairs ({error})") from error
    for name, variation in pairs:
        if name not in TASKS or not 0 <= variation < _count(TASKS[name]):
            raise DataError(f"{path}: the simulator has no task {name} with variation {variation}")
    return {f"{name}/{variation}" for name, variation in pairs}


TASKS: dict[str, _Task] = {
    "boil": _Task(14, 7, 9, 100, ALL, "6f"),
    "melt": _Task(14, 7, 9, 80, ALL, ALL),
    "freeze": _Task(14, 7, 9, 80, ALL, ALL),
    "change-the-state-of-matter-of": _Task(14, 7, 9, 80, ALL, ALL),
    "use-thermometer": _Task(
        270,
        135,
        135,
        30,
        "12c1a02005c282088284412082212054904a8151082c9329576c63d8009e485821653112001a5e9ec62110a802240001400084",
        "c100045000000000010000020c000",
    ),
    "measure-melting-point-known-substance": _Task(
        218,
        109,
        109,
        120,
        "51924220e081010100d15a56609b03314c2045509544d0e0706703820ce030bdc1accaf5e02044eb57",
        "180000060430c000000800000000",
    ),
    "measure-melting-point-unknown-substance": _Task(150, 75, 75),
    "power-component": _Task(10, 5, 5, 20, "3cf", "e"),
    "power-component-renewable-vs-nonrenewable-energy": _Task(10, 5, 5, 30, "2bf", "19"),
    "test-conductivity": _Task(
        450,
        225,
        225,
        30,
        "2020001800804040402004820200122003208220140100300000239001000089290823440020b048011090c0a80a4106400808214608040520288002114200008840a00200a286020120240024804849060910850",
        "102000400000000000020200000000000042000000000821000000",
    ),
    "test-conductivity-of-unknown-substances": _Task(
        300,
        150,
        150,
        30,
        "240a6400840648600004902224017080d00c80202860064049d0880014054187366104007568cd432c4442c382a410200e8005c4845cc24",
        "10000000422000424010000010000000002000",
    ),
    "find-living-thing": _Task(
        150, 75, 75, 15, "4b625b821e9b1281e769f5bb37fc5cd44f5275f4960bce4d5d2da6cd", "950910001040000800"
    ),
    "find-non-living-thing": _Task(
        150, 75, 75, 15, "168c5679811f89a8d125808991116cadf2403975dfdbbfff74ee57db7", "10801042c20000101"
    ),
    "find-plant": _Task(150, 75, 75, 15, "2e4969040a45aab1082dc2bb1e7437dcdffa75ffd99697af4f8f0b2b", "9200000aa00c010"),
    "find-animal": _Task(
        150, 75, 75, 15, "1fd944b0a107ac4f27299b7d5a30f397ba63c3eb851e2a594b7ea275f", "94a000084004800200"
    ),
    "grow-plant": _Task(62, 31, 33, 30, "1e7b5f4d7fffffffffffffff", "7c1804c"),
    "grow-fruit": _Task(62, 31, 33, 60, "1c89533537b7ecbebbbfff6d", "14c40649"),
    "chemistry-mix": _Task(16, 8, 8, 60, ALL, ALL),
    "chemistry-mix-paint-secondary-color": _Task(18, 9, 9, 15, ALL, ALL),
    "chemistry-mix-paint-tertiary-color": _Task(18, 9, 9, 30, ALL, ALL),
    "lifespan-longest-lived": _Task(62, 31, 32, 10, "1cddff49bfffffffffffffff", "44650c50"),
    "lifespan-shortest-lived": _Task(62, 31, 32, 10, "d7db92fffffffffffffffff", "22d44380"),
    "lifespan-longest-lived-then-shortest-lived": _Task(62, 31, 32, 12, "191bbd8bfdfff7ffbfffffff", "28504f4"),
    "identify-life-stages-1": _Task(6, 3, 5, 30, ALL, ALL),
    "identify-life-stages-2": _Task(4, 2, 4, 30, ALL, ALL),
    "inclined-plane-determine-angle": _Task(84, 42, 42),
    "inclined-plane-friction-named-surfaces": _Task(692, 346, 348),
    "inclined-plane-friction-unnamed-surfaces": _Task(80, 40, 42),
    "mendelian-genetics-known-plant": _Task(60, 30, 30),
    "mendelian-genetics-unknown-plant": _Task(240, 120, 120),
}
