"""Intervals and comparisons against scipy, simulation and hand-computed values."""

from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from agnews_utils.evaluation import comparing as ours


def flags(only_a, only_b, both=10, none=5):
    """Return two columns of hits with so many rows of each kind."""
    pairs = [(1, 0)] * only_a + [(0, 1)] * only_b + [(1, 1)] * both + [(0, 0)] * none
    return np.array(pairs, dtype=bool).T


def test_paired_bootstrap_equals_scipy_s_which_draws_rows():
    right_a, right_b = flags(30, 15, both=140, none=15)
    found = ours.paired_bootstrap(right_a, right_b, draws=20_000)
    theirs = stats.bootstrap(
        (right_a, right_b), lambda a, b, axis: a.mean(axis) - b.mean(axis), paired=True,
        n_resamples=20_000, batch=1_000, method="percentile", random_state=1,
    )  # fmt: skip
    drawn = theirs.bootstrap_distribution
    # The ends are steps of 1 / 200; a tail of 0.01 is known to about 0.001 from 20,000 draws.
    assert found.difference == pytest.approx(15 / 200)
    assert (found.low, found.high) == pytest.approx(theirs.confidence_interval, abs=0.006)
    assert found.p_value == pytest.approx(2 * (drawn <= 0).mean(), abs=0.01)


def test_paired_bootstrap_is_repeatable_and_symmetric():
    right_a, right_b = flags(30, 15)
    again = [ours.paired_bootstrap(right_a, right_b, seed=seed) for seed in (3, 3, 4)]
    assert again[0] == again[1] != again[2]
    assert ours.paired_bootstrap(right_b, right_a).difference == -again[0].difference
    same = ours.paired_bootstrap(right_a, right_a, draws=10)
    assert (same.difference, same.low, same.high, same.p_value) == (0, 0, 0, 1)


def test_the_interval_of_a_difference_covers_the_truth():
    rng = np.random.default_rng(5)
    hits = 0
    for seed in range(200):
        kind = rng.choice(4, size=300, p=[0.12, 0.08, 0.7, 0.1])  # only a, only b, both, none
        pair = ours.paired_bootstrap(kind % 2 == 0, (kind == 1) | (kind == 2), 500, seed=seed)
        hits += pair.low <= 0.04 <= pair.high
    assert 0.88 < hits / 200 <= 1


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 400), st.integers(0, 400))
def test_mcnemar_counts_what_a_coin_would_do(only_a, only_b):
    found = ours.mcnemar(*flags(only_a, only_b))
    assert (found.only_a, found.only_b) == (only_a, only_b)
    tosses = only_a + only_b
    tail = sum(comb(tosses, heads) for heads in range(min(only_a, only_b) + 1))
    assert found.p_value == pytest.approx(min(1, 2 * tail / 2**tosses), rel=1e-9)


def test_mcnemar_manages_a_hundred_thousand_rows():
    found = ours.mcnemar(*flags(2_600, 2_400, both=95_000))
    z = (abs(2_600 - 2_400) - 1) / np.sqrt(5_000)  # many tosses are nearly normal
    assert found.p_value == pytest.approx(2 * stats.norm.sf(z), rel=0.01)


def test_holm_by_hand():
    # Holm (1979): 4 * .01 = .04, 3 * .02 = .06, 2 * .03 = .06, 1 * .04 rises to .06.
    assert ours.holm([0.02, 0.01, 0.04, 0.03]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert ours.holm([0.5, 0.9]).tolist() == [1, 1]
    with pytest.raises(ValueError, match=r"p_values, entry 1, is 1\.5"):
        ours.holm([0.1, 1.5])


def test_compare_all_has_a_line_for_each_pair():
    a, b = flags(12, 3)
    c = ~a
    table = ours.compare_all({"a": a, "b": b, "c": c})
    assert list(zip(table["a"], table["b"], strict=True)) == [("a", "b"), ("a", "c"), ("b", "c")]
    assert table.loc[0, ["only_a", "only_b"]].tolist() == [12, 3]
    assert table.loc[0, "difference"] == pytest.approx(a.mean() - b.mean())
    assert table.loc[0, "p_value"] == pytest.approx(stats.binomtest(3, 15).pvalue)
    assert table["p_holm"].tolist() == ours.holm(table["p_value"]).tolist()


def test_of_several_runs_the_pair_that_says_least_decides():
    clear, other = flags(30, 5)
    lucky = other.copy()
    lucky[np.flatnonzero(~other)[:20]] = True  # another run of the second model, 20 hits more
    table = ours.compare_all({"a": clear, "b": np.stack([other, lucky])})
    by_hand = max((ours.mcnemar(clear, run) for run in (other, lucky)), key=lambda t: t.p_value)
    assert table.loc[0, "p_value"] == by_hand.p_value
    assert table.loc[0, ["only_a", "only_b"]].tolist() == [by_hand.only_a, by_hand.only_b]
    mean = (other.mean() + lucky.mean()) / 2
    assert table.loc[0, "difference"] == pytest.approx(clear.mean() - mean)


def test_runs_that_contradict_each_other_prove_nothing():
    middle, worse = flags(60, 0)
    best = np.ones_like(middle)
    assert ours.mcnemar(best, middle).p_value < 0.1
    table = ours.compare_all({"a": np.stack([best, worse]), "b": middle})
    assert table.loc[0, "p_value"] == 1.0


@pytest.mark.parametrize("disagreement", [None, 0.06])
def test_so_many_rows_find_the_difference_as_often_as_promised(disagreement):
    rows = ours.rows_to_tell(0.90, 0.92, disagreement, power=0.8)
    rng, draws = np.random.default_rng(0), 3_000
    if disagreement is None:
        shares = rng.binomial(rows, [0.90, 0.92], size=(draws, 2)) / rows
        pooled = shares.mean(1)
        z = (shares[:, 1] - shares[:, 0]) / np.sqrt(2 * pooled * (1 - pooled) / rows)
    else:
        cells = [(disagreement + 0.02) / 2, (disagreement - 0.02) / 2, 1 - disagreement]
        counts = rng.multinomial(rows, cells, size=draws)
        z = (counts[:, 0] - counts[:, 1]) / np.sqrt(counts[:, 0] + counts[:, 1])
    assert (np.abs(z) > 1.96).mean() == pytest.approx(0.8, abs=0.03)


def test_pairing_saves_rows():
    assert ours.rows_to_tell(0.92, 0.925, 0.05) < ours.rows_to_tell(0.92, 0.925) / 2
    assert ours.rows_to_tell(0.92, 0.925) == ours.rows_to_tell(0.925, 0.92)
    # The textbook case (Fleiss): 0.6 against 0.7, power 0.8, needs 356 a group.
    assert ours.rows_to_tell(0.6, 0.7) == 356


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=8))
def test_the_front_holds_whoever_is_not_dominated(models):
    front = ours.pareto_front(*zip(*models, strict=True))
    for (cost, score), on_front in zip(models, front, strict=True):
        dominated = any(c <= cost and s >= score and (c, s) != (cost, score) for c, s in models)
        assert on_front == (not dominated)
    assert front.any()


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: ours.mcnemar([1, 0], [1]), "right_b has 1 rows, the other argument 2"),
        (lambda: ours.mcnemar([1, 3], [1, 0]), "right_a, row 1, is 3"),
        (lambda: ours.paired_bootstrap([1], [0], draws=0), "draws=0"),
        (lambda: ours.paired_bootstrap([1], [0], confidence=95), "confidence=95"),
        (lambda: ours.paired_bootstrap([], []), "right_a has the shape"),
        (lambda: ours.compare_all({"a": [1]}), "right has 1 model"),
        (lambda: ours.rows_to_tell(92, 92.5), "accuracy_a=92: expected a share"),
        (lambda: ours.rows_to_tell(0.9, 0.9), "are equal"),
        (lambda: ours.rows_to_tell(0.9, 0.8, 0.05), "disagreement=0.05"),
        (lambda: ours.pareto_front([1, 2], [1]), r"costs has the shape \(2,\)"),
        (lambda: ours.pareto_front([1, np.nan], [1, 2]), "costs, entry 1, is nan"),
    ],
)
def test_bad_arguments_get_a_sentence(call, sentence):
    with pytest.raises(ValueError, match=sentence):
        call()
