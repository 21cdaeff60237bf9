"""Comparing pipelines, augmenting rows, and the figures of chapter cleaning."""

import json
import random
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.svm import LinearSVC

from agnews_utils.cleaning.augmentation import (
    OPERATIONS,
    augment,
    random_deletion,
    random_insertion,
    random_swap,
)
from agnews_utils.cleaning.experiments import (
    RAW,
    TOKEN,
    Measured,
    Variant,
    choose_c,
    cleaning_variants,
    compare,
    crossed_interval,
    draw_folds,
    measure,
    paired_interval,
    simultaneous_confidence,
    split_accuracy,
    term_counts,
    verdict,
)
from agnews_utils.cleaning.pipeline import Cleaner
from agnews_utils.data.ag_news_csv import read_news_csv
from agnews_utils.data.duplicates import near_duplicate_pairs
from agnews_utils.plots import cleaning as plots_cleaning
from agnews_utils.runtime import recorded
from benchmarks import cleaning_ablation
from tests.helpers import ROOT


@pytest.fixture(scope="module")
def train():
    return read_news_csv(ROOT / "data" / "newsbriefs" / "train.csv")


# ------------------------------------------------------------------------------- comparing


def test_folds_keep_near_duplicates_together_and_validate_every_row_once(train):
    tuning, folds = draw_folds(train, folds=3, tuning_fraction=0.2)
    assert len(tuning[1]) == pytest.approx(360, abs=10)
    validated = np.concatenate([valid for _, valid in folds])
    assert sorted([*validated, *tuning[1]]) == list(range(len(train)))
    pairs = near_duplicate_pairs(train["text"])
    for fit, valid in (tuning, *folds):
        assert not set(fit) & set(valid)
        side = np.zeros(len(train), dtype=int)
        side[valid] = 1
        assert (side[pairs[:, 0]] == side[pairs[:, 1]]).all()
        assert not set(fit) & set(tuning[1])
    again = draw_folds(train, folds=3, tuning_fraction=0.2)[1]
    assert all((one[0] == other[0]).all() for one, other in zip(folds, again, strict=True))


def test_split_accuracy_is_that_of_a_pipeline_that_never_saw_the_validation_rows(train):
    (fit, valid), _ = draw_folds(train, folds=2, tuning_fraction=0.25)
    texts, labels = train["text"].to_numpy(), train["label"].to_numpy()
    features = TfidfVectorizer(
        lowercase=False, token_pattern=TOKEN, ngram_range=(1, 2), min_df=2, sublinear_tf=True
    )
    model = LinearSVC(C=0.3, random_state=0).fit(features.fit_transform(texts[fit]), labels[fit])
    expected = model.score(features.transform(texts[valid]), labels[valid])
    measured = split_accuracy(term_counts(texts), labels, fit, valid, 0.3)
    assert measured == pytest.approx(expected, abs=0.005)


def test_c_is_chosen_on_the_tuning_rows(train):
    tuning, _ = draw_folds(train, folds=2)
    counts, labels = term_counts(train["text"]), train["label"].to_numpy()
    scores = {c: split_accuracy(counts, labels, *tuning, c) for c in (1e-4, 1.0)}
    assert choose_c(counts, labels, tuning, list(scores)) == max(scores, key=scores.get)


def test_the_paired_interval_is_that_of_the_mean_of_the_differences():
    rng = np.random.default_rng(0)
    first, second = rng.random(500) < 0.8, rng.random(500) < 0.85
    gain = second.astype(float) - first
    low, mean, high = paired_interval(first, second, 0.99)
    expected = stats.norm.interval(0.99, gain.mean(), stats.sem(gain))
    assert (low, high) == pytest.approx(expected)
    assert mean == pytest.approx(second.mean() - first.mean())
    assert paired_interval(first, first) == (0, 0, 0)
    with pytest.raises(ValueError, match="the same rows"):
        paired_interval(first, second[:100])


def test_simultaneous_intervals_hold_together_and_single_ones_do_not():
    rng = np.random.default_rng(1)
    both = {"single": 0, "together": 0}
    for _ in range(200):
        answers = rng.random((21, 400)) < 0.8  # twenty models as good as the first
        for name, confidence in (("single", 0.95), ("together", simultaneous_confidence(20))):
            intervals = [paired_interval(answers[0], other, confidence) for other in answers[1:]]
            both[name] += all(low <= 0 <= high for low, _, high in intervals)
    assert both["together"] / 200 > 0.92
    assert both["single"] / 200 < 0.75


def test_the_crossed_interval_knows_that_draws_share_their_rows():
    rng = np.random.default_rng(2)
    held = {"crossed": 0, "draws alone": 0}
    for _ in range(120):
        by_row = rng.normal(size=60)  # what is common to all draws
        gains = by_row + 0.3 * rng.normal(size=(8, 60)) + 0.1 * rng.normal(size=(8, 1))
        low, mean, high = crossed_interval(gains, times=300)
        assert low <= mean <= high
        held["crossed"] += low <= 0 <= high
        means = gains.mean(axis=1)
        low, high = stats.t.interval(0.95, 7, means.mean(), stats.sem(means))
        held["draws alone"] += low <= 0 <= high
    assert held["crossed"] / 120 > 0.88
    assert held["draws alone"] / 120 < 0.85


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.001, 0.02, "helps"),
        (-0.02, -0.001, "hurts"),
        (-0.002, 0.0049, "no difference"),
        (0.0, 0.0, "no difference"),
        (-0.002, 0.01, "undecided"),
    ],
)
def test_verdicts(low: float, high: float, expected: str):
    assert verdict(low, high) == expected


def test_every_variant_is_compared_with_one_that_exists():
    variants = cleaning_variants()
    names = [variant.name for variant in variants]
    assert len(set(names)) == len(names) == 24
    for variant in variants:
        assert variant.against in names[: names.index(variant.name) + 1]


def test_compare_finds_a_step_that_destroys_everything(train):
    tuning, folds = draw_folds(train, folds=2)
    raw = measure(train, Variant(RAW, Cleaner([]), RAW, "reference"), tuning, folds, grid=[0.5])
    guesses = np.arange(len(raw.right)) % 4 == 0  # as good as guessing
    table = compare({RAW: raw, "all repairs": Measured(1.0, guesses)})
    assert list(table) == [RAW, "all repairs"]
    assert table["all repairs"]["verdict"] == "hurts"
    assert table[RAW]["verdict"] == "reference"
    assert table[RAW]["accuracy"] == pytest.approx(raw.right.mean())


def test_the_recorded_comparison_is_what_its_counts_say():
    metrics = recorded("cleaning_ablation")
    variants = metrics["variants"]
    assert list(variants) == [variant.name for variant in cleaning_variants()]
    assert metrics["comparisons"] == len(variants) - 1
    times = stats.norm.ppf(1 - 0.05 / metrics["comparisons"] / 2)
    n = metrics["valid_rows"]
    for name, row in variants.items():
        if name == row["against"]:
            continue
        mean = (row["only_own"] - row["only_other"]) / n
        variance = ((row["only_own"] + row["only_other"]) / n - mean**2) * n / (n - 1)
        assert row["mean"] == pytest.approx(mean, abs=1e-5)
        assert row["high"] - mean == pytest.approx(times * np.sqrt(variance / n), abs=2e-5)
        assert row["verdict"] == verdict(row["low"], row["high"], metrics["margin"])


def test_a_comparison_goes_on_where_it_stopped(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(cleaning_ablation, "cleaning_variants", lambda: cleaning_variants()[:2])
    monkeypatch.setattr(cleaning_ablation, "stop_words", lambda: (frozenset(), "none"))
    options = ["--data", "newsbriefs", "--folds", "2", "--rows", "500"]
    options += ["--folder", str(tmp_path)]
    assert cleaning_ablation.main(options) == 0
    assert "2/2 all repairs" in capsys.readouterr().out
    first = json.loads((tmp_path / "results" / "cleaning_ablation.newsbriefs.json").read_text())
    monkeypatch.setattr(cleaning_ablation, "measure", None)  # would fail if called
    assert cleaning_ablation.main(options) == 0
    second = json.loads((tmp_path / "results" / "cleaning_ablation.newsbriefs.json").read_text())
    assert first["metrics"] == second["metrics"]
    assert list(first["metrics"]["variants"]) == [RAW, "all repairs"]


# ------------------------------------------------------------------------------- augmenting

WORDS = st.lists(st.text("abcd", min_size=1, max_size=3), max_size=12)
SHARES = st.floats(0, 1)


@given(WORDS, SHARES, st.integers(0, 99))
def test_operations_do_what_their_names_say(words: list[str], share: float, seed: int):
    count = Counter(words)
    swapped = random_swap(words, share, random.Random(seed))
    assert Counter(swapped) == count
    deleted = random_deletion(words, share, random.Random(seed))
    assert Counter(deleted) <= count
    assert bool(deleted) == bool(words)
    position = iter(words)
    assert all(word in position for word in deleted), "the order of the words that stay has changed"
    inserted = random_insertion(words, share, random.Random(seed))
    expected = len(words) + (max(1, round(share * len(words))) if words else 0)
    assert len(inserted) == expected
    assert set(inserted) == set(words)


def test_augment_adds_copies_with_their_labels():
    texts, labels = ["a b c d", "e f g h", ""], [0, 3, 1]
    more, more_labels = augment(texts, labels, OPERATIONS["swap"], copies=2, share=0.5, seed=1)
    assert more[:3] == texts
    assert more_labels == [0, 3, 1] * 3
    assert [sorted(text) for text in more[3:6]] == [sorted(text) for text in texts]
    assert more[3:] != texts * 2
    assert (more, more_labels) == augment(texts, labels, OPERATIONS["swap"], 2, 0.5, seed=1)
    assert augment(texts, labels, OPERATIONS["copy"], copies=1)[0] == texts * 2
    assert augment(texts, labels, OPERATIONS["copy"], copies=0)[0] == texts


def test_augment_refuses_what_makes_no_sense():
    with pytest.raises(ValueError, match="2 texts and 1 labels"):
        augment(["a", "b"], [0], OPERATIONS["copy"])
    with pytest.raises(TypeError, match="one string"):
        augment("ab", [0, 1], OPERATIONS["copy"])
    with pytest.raises(ValueError, match=r"share 1\.5"):
        augment(["a"], [0], OPERATIONS["copy"], share=1.5)


# ------------------------------------------------------------------------------- figures


@pytest.mark.usefixtures("course_style")
def test_the_figure_of_differences_shows_means_and_verdicts():
    intervals = {
        "good": (0.01, 0.02, 0.03),
        "bad": (-0.03, -0.02, -0.01),
        "none": (-0.001, 0, 0.001),
    }
    ax = plots_cleaning.differences(intervals, "A title", verdict)
    assert "A title" in (ax.get_title(), ax.get_title(loc="left"))
    assert ax.get_xlabel() == "change in accuracy (percentage points)"
    assert [label.get_text() for label in ax.get_yticklabels()] == list(intervals)
    markers = [line for line in ax.lines if line.get_marker() not in ("None", "")]
    assert [line.get_xdata()[0] for line in markers] == pytest.approx([2, -2, 0])
    assert [line.get_marker() for line in markers] == ["o", "v", "s"]
    assert len({line.get_color() for line in markers}) == 3


@pytest.mark.usefixtures("course_style")
def test_panels_share_their_labels_and_their_scale():
    intervals = {"one": (0.01, 0.02, 0.03), "other": (-0.02, 0.0, 0.01)}
    axes = plots_cleaning.difference_panels({"A": intervals, "B": intervals}, "A title", verdict)
    assert [ax.get_title() or ax.get_title(loc="left") for ax in axes] == ["A", "B"]
    assert axes[0].get_xlim() == axes[1].get_xlim()
    assert [label.get_text() for label in axes[0].get_yticklabels()] == list(intervals)
    (legend,) = axes[0].figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["helps", "undecided"]


@pytest.mark.usefixtures("course_style")
def test_the_figure_of_candidates_draws_the_formula():
    ax = plots_cleaning.candidate_curves({"32 x 4": (32, 4)}, 0.5, "A title")
    x, y = ax.lines[0].get_data()
    assert y[np.argmin(abs(x - 0.5))] == pytest.approx(1 - (1 - 0.5**4) ** 32)
    assert ax.get_xlabel().startswith("Jaccard similarity")


@given(st.floats(-1, 1), st.floats(0, 1))
def test_the_figure_has_a_color_for_every_verdict(low: float, width: float):
    assert verdict(low, low + width) in plots_cleaning.VERDICTS
