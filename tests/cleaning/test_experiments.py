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
    Variant,
    cleaning_variants,
    compare,
    paired_interval,
    repeated_splits,
    split_accuracy,
    term_counts,
    variant_accuracies,
    verdict,
)
from agnews_utils.cleaning.pipeline import Cleaner
from agnews_utils.data.duplicates import near_duplicate_pairs
from agnews_utils.data.loading import read_news_csv
from agnews_utils.plots import cleaning as plots_cleaning
from agnews_utils.runtime import recorded
from benchmarks import cleaning_ablation
from tests.helpers import ROOT


@pytest.fixture(scope="module")
def train():
    return read_news_csv(ROOT / "data" / "newsbriefs" / "train.csv")


# ------------------------------------------------------------------------------- comparing


def test_splits_keep_twins_together_and_differ(train):
    splits = repeated_splits(train, splits=2, fit_rows=900, valid_fraction=0.25)
    pairs = near_duplicate_pairs(train["text"])
    for fit, valid in splits:
        assert len(fit) == 900
        assert len(valid) == pytest.approx(450, abs=10)
        assert not set(fit) & set(valid)
        side = np.zeros(len(train), dtype=int)
        side[valid] = 1
        assert (side[pairs[:, 0]] == side[pairs[:, 1]]).all()
    assert set(splits[0][1]) != set(splits[1][1])
    again = repeated_splits(train, splits=1, fit_rows=900, valid_fraction=0.25)
    assert (again[0][0] == splits[0][0]).all()


def test_split_accuracy_is_that_of_a_pipeline_that_never_saw_the_validation_rows(train):
    ((fit, valid),) = repeated_splits(train, splits=1, fit_rows=800, valid_fraction=0.25)
    texts, labels = train["text"].to_numpy(), train["label"].to_numpy()
    features = TfidfVectorizer(
        lowercase=False, token_pattern=TOKEN, ngram_range=(1, 2), min_df=2, sublinear_tf=True
    )
    model = LinearSVC(C=0.3, random_state=0).fit(features.fit_transform(texts[fit]), labels[fit])
    expected = model.score(features.transform(texts[valid]), labels[valid])
    measured = split_accuracy(term_counts(texts), labels, fit, valid)
    assert measured == pytest.approx(expected, abs=0.005)


def test_the_interval_is_nadeau_and_bengios():
    values = [0.01, 0.03, 0.02, -0.01]
    low, mean, high = paired_interval(values, fit_rows=300, valid_rows=100)
    error = np.sqrt(np.var(values, ddof=1) * (1 / 4 + 1 / 3))
    assert mean == pytest.approx(0.0125)
    assert high - mean == pytest.approx(stats.t.ppf(0.975, 3) * error)
    assert mean - low == pytest.approx(high - mean)
    usual = stats.t.interval(0.95, 3, np.mean(values), stats.sem(values))
    assert paired_interval(values, 300, 0)[::2] == pytest.approx(usual)
    with pytest.raises(ValueError, match="at least two splits"):
        paired_interval([0.1], 300, 100)


def test_the_corrected_interval_holds_the_truth_where_the_usual_one_does_not():
    # 2,000 answers of two models that are equally good; splits of these rows overlap.
    rng = np.random.default_rng(1)
    held = {"usual": 0, "corrected": 0}
    for _ in range(200):
        answers = rng.integers(-1, 2, size=400)  # difference of two models on each row
        means = [answers[rng.permutation(400)[:100]].mean() for _ in range(10)]
        for name, valid_rows in (("usual", 0), ("corrected", 100)):
            low, _, high = paired_interval(means, 300, valid_rows)
            held[name] += low <= 0 <= high
    assert held["corrected"] / 200 > 0.9
    assert held["usual"] / 200 < 0.85


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.001, 0.02, "helps"),
        (-0.02, -0.001, "hurts"),
        (-0.002, 0.0029, "no difference"),
        (0.0, 0.0, "no difference"),
        (-0.002, 0.01, "undecided"),
    ],
)
def test_verdicts(low: float, high: float, expected: str):
    assert verdict(low, high) == expected


def test_every_variant_is_compared_with_one_that_exists():
    variants = cleaning_variants()
    names = [variant.name for variant in variants]
    assert len(set(names)) == len(names) == 27
    for variant in variants:
        assert variant.against in names[: names.index(variant.name) + 1]


def test_compare_finds_a_step_that_destroys_everything(train):
    splits = repeated_splits(train, splits=3, fit_rows=600, valid_fraction=0.2)
    erase = [Variant(RAW, Cleaner([]), RAW, "reference")]
    accuracies = {variant.name: variant_accuracies(train, variant, splits) for variant in erase}
    accuracies["all repairs"] = [0.25, 0.26, 0.25]  # as good as guessing
    table = compare(accuracies, 600, 360)
    assert list(table) == [RAW, "all repairs"]
    assert table["all repairs"]["verdict"] == "hurts"
    assert table[RAW]["mean"] == 0
    assert table[RAW]["accuracy"] == pytest.approx(np.mean(accuracies[RAW]))


def test_the_recorded_comparison_is_what_its_accuracies_say():
    metrics = recorded("cleaning_ablation")
    table = compare(metrics["accuracies"], metrics["fit_rows"], metrics["valid_rows"])
    assert list(table) == [variant.name for variant in cleaning_variants()]
    for name, row in table.items():
        assert metrics["variants"][name]["verdict"] == row["verdict"]
        assert metrics["variants"][name]["mean"] == pytest.approx(row["mean"], abs=1e-5)


def test_a_comparison_goes_on_where_it_stopped(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(cleaning_ablation, "cleaning_variants", lambda: cleaning_variants()[:2])
    monkeypatch.setattr(cleaning_ablation, "stop_words", lambda: (frozenset(), "none"))
    options = ["--data", "newsbriefs", "--splits", "2", "--fit-rows", "300"]
    options += ["--folder", str(tmp_path)]
    assert cleaning_ablation.main(options) == 0
    assert "2/2 all repairs" in capsys.readouterr().out
    first = json.loads((tmp_path / "results" / "cleaning_ablation.newsbriefs.json").read_text())
    monkeypatch.setattr(cleaning_ablation, "variant_accuracies", None)  # would fail if called
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
def test_the_figure_of_candidates_draws_the_formula():
    ax = plots_cleaning.candidate_curves({"32 x 4": (32, 4)}, 0.5, "A title")
    x, y = ax.lines[0].get_data()
    assert y[np.argmin(abs(x - 0.5))] == pytest.approx(1 - (1 - 0.5**4) ** 32)
    assert ax.get_xlabel().startswith("Jaccard similarity")


@given(st.floats(-1, 1), st.floats(0, 1))
def test_the_figure_has_a_color_for_every_verdict(low: float, width: float):
    assert verdict(low, low + width) in plots_cleaning.VERDICTS
