"""Texts that are too long: what is kept, and that windows lose nothing."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agnews_utils.bert.long_texts import KEPT, cut_ids, windows

CLS, SEP = 101, 102


def text(pieces):
    return [CLS, *range(pieces), SEP]


@pytest.mark.parametrize(
    ("keep", "kept"),
    [("head", [0, 1, 2, 3, 4]), ("tail", [5, 6, 7, 8, 9]), ("both", [0, 6, 7, 8, 9])],
)
def test_what_is_kept(keep, kept):
    assert cut_ids(text(10), 7, keep) == [CLS, *kept, SEP]


@given(st.integers(0, 60), st.integers(4, 40), st.sampled_from(KEPT))
def test_a_cut_text_is_as_long_as_allowed_and_in_order(pieces, max_length, keep):
    whole = text(pieces)
    cut = cut_ids(whole, max_length, keep)
    assert len(cut) == min(len(whole), max_length)
    assert (cut[0], cut[-1]) == (CLS, SEP)
    assert cut[1:-1] == sorted(set(cut[1:-1]))
    if len(whole) > max_length:
        assert (cut[1] == 0) == (keep == "head" or (keep == "both" and max_length >= 6))
        assert (cut[-2] == pieces - 1) == (keep != "head")


@given(st.integers(0, 90), st.integers(4, 30), st.data())
def test_windows_hold_every_piece_and_share_as_many_as_asked(pieces, max_length, data):
    overlap = data.draw(st.integers(0, max_length - 3))
    found = windows(text(pieces), max_length, overlap)
    assert all(one[0] == CLS and one[-1] == SEP and len(one) <= max_length for one in found)
    inside = [one[1:-1] for one in found]
    together = inside[0] + [piece for one in inside[1:] for piece in one[overlap:]]
    assert together == list(range(pieces))
    for before, after in itertools.pairwise(inside):
        assert before[len(before) - overlap :] == after[:overlap]
        assert len(after) > overlap  # each says something new


def test_a_short_text_is_one_window_and_not_cut():
    assert windows(text(5), 128) == [text(5)]
    assert windows([CLS, SEP], 128) == [[CLS, SEP]]
    assert cut_ids(tuple(text(5)), 7) == text(5)


def test_impossible_requests():
    with pytest.raises(ValueError, match="keep='middle': expected one of head, tail, both"):
        cut_ids(text(10), 7, "middle")
    with pytest.raises(ValueError, match="max_length=3"):
        cut_ids(text(10), 3)
    with pytest.raises(ValueError, match="overlap=5: expected 0 to 4 with windows of 7"):
        windows(text(10), 7, 5)
    with pytest.raises(ValueError, match="overlap=-1"):
        windows(text(10), 7, -1)
