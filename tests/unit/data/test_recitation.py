"""Rows that tell parts of themselves again."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from itp.data.recitation import GIVEN, LENGTHS, recited
from itp.data.rows import IGNORE, Row

MARKER = 7


def row(length: int, copies: int = 1) -> Row:
    return Row([100 + i for i in range(length)], [IGNORE] * length, copies)


def stretches(ids: list[int]) -> list[list[int]]:
    """What stands behind each marker."""
    found: list[list[int]] = []
    for token in ids:
        if token == MARKER:
            found.append([])
        elif found:
            found[-1].append(token)
    return found


@given(length=st.integers(1, 300), count=st.integers(0, 5), seed=st.integers(0, 9), spare=st.integers(0, 250))
def test_what_stands_behind_a_row_is_in_it(length: int, count: int, seed: int, spare: int) -> None:
    plain, limit = row(length), length + spare
    [longer] = recited([plain], count, marker=MARKER, limit=limit, seed=seed)
    assert (longer.input_ids[:length], longer.labels[:length]) == (plain.input_ids, plain.labels)
    assert len(longer.input_ids) == len(longer.labels) <= limit
    told = stretches(longer.input_ids)
    assert len(told) <= count
    for stretch in told:
        assert stretch == [stretch[0] + i for i in range(len(stretch))]  # as it stands in the row, in one piece
        assert min(LENGTHS[0], length) <= len(stretch) <= LENGTHS[1]
    if spare >= count * (LENGTHS[1] + 1):
        assert len(told) == count


def test_the_marker_and_the_first_tokens_are_not_learnt() -> None:
    [longer] = recited([row(200)], 3, marker=MARKER, limit=1000, seed=0)
    learnt = [label for label in longer.labels if label != IGNORE]
    assert learnt == [token for stretch in stretches(longer.input_ids) for token in stretch[GIVEN:]]


def test_a_draw_depends_on_the_seed_and_none_changes_nothing() -> None:
    rows = [row(200), row(50, copies=3)]
    first, again, other = (list(recited(rows, 2, marker=MARKER, limit=500, seed=seed)) for seed in (0, 0, 1))
    assert first == again != other
    assert first[1].copies == 3
    assert list(recited(rows, 0, marker=MARKER, limit=500, seed=0)) == rows


def test_two_of_five_stretches_tell_the_beginning() -> None:
    rows = list(recited([row(2000)] * 500, 1, marker=MARKER, limit=4000, seed=0))
    near = sum(stretches(longer.input_ids)[0][0] - 100 <= 60 for longer in rows)
    assert 0.35 * 500 < near < 0.5 * 500
