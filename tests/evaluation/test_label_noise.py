"""Confident learning: equal to cleanlab's stored outputs, and able to find planted errors."""

import json

import numpy as np
import pytest

from agnews_utils.evaluation import errors as ours
from tests.helpers import ROOT

CLEANLAB_FILE = ROOT / "tests/evaluation/fixtures/cleanlab.json"
CLEANLAB = json.loads(CLEANLAB_FILE.read_text(encoding="utf-8"))


@pytest.mark.parametrize("number", range(len(CLEANLAB["cases"])))
def test_equal_to_cleanlab(number):
    case = CLEANLAB["cases"][number]
    labels, probabilities = np.array(case["labels"]), np.array(case["probabilities"])
    thresholds = ours.class_thresholds(labels, probabilities)
    np.testing.assert_allclose(thresholds, case["thresholds"], rtol=1e-12)
    joint = ours.confident_joint(labels, probabilities)
    np.fill_diagonal(joint, np.diag(joint).clip(1))  # as cleanlab does
    assert joint.tolist() == case["confident_joint"]
    for method in ("self_confidence", "normalized_margin"):
        quality = ours.label_quality(labels, probabilities, method)
        np.testing.assert_allclose(quality, case[method], rtol=1e-12)
    by_margin = ours.suspect_rows(labels, probabilities)
    assert by_margin.tolist() == case["suspects_by_margin"]
    by_confidence = ours.suspect_rows(labels, probabilities, "self_confidence")
    assert by_confidence.tolist() == case["suspects_by_self_confidence"]


def test_the_stored_cases_tell_something():
    found = [len(case["suspects_by_margin"]) for case in CLEANLAB["cases"]]
    assert max(found) > 10
    assert min(found) == 0


def test_a_worked_example():
    labels = [0, 0, 0, 1, 1]
    probabilities = [[0.9, 0.1], [0.7, 0.3], [0.1, 0.9], [0.2, 0.8], [0.4, 0.6]]
    # thresholds: (.9 + .7 + .1) / 3 and (.8 + .6) / 2
    assert ours.class_thresholds(labels, probabilities) == pytest.approx([1.7 / 3, 0.7])
    assert ours.confident_classes(labels, probabilities).tolist() == [0, 0, 1, 1, -1]
    assert ours.confident_joint(labels, probabilities).tolist() == [[2, 1], [0, 1]]
    assert ours.suspect_rows(labels, probabilities).tolist() == [2]


def test_of_several_passed_thresholds_the_most_probable_class_counts():
    labels = [0, 1, 2, 2]
    probabilities = [[0.9, 0.05, 0.05], [0.1, 0.5, 0.4], [0.6, 0.3, 0.1], [0.45, 0.35, 0.2]]
    assert ours.class_thresholds(labels, probabilities) == pytest.approx([0.9, 0.5, 0.15])
    # Row 1 passes the thresholds of classes 1 and 2, row 3 only that of class 2, its own.
    assert ours.confident_classes(labels, probabilities).tolist() == [0, 1, -1, 2]


def test_a_class_without_rows_passes_nothing():
    probabilities = [[0.0, 0.1, 0.9], [0.1, 0.9, 0.0]]
    assert ours.class_thresholds([0, 1], probabilities)[2] == np.inf
    assert ours.confident_joint([0, 1], probabilities)[:, 2].sum() == 0


class Counts:
    """A classifier by the share of each word's rows; fits in microseconds."""

    def fit(self, texts, labels):
        self.seen = {}
        for text, label in zip(texts, labels, strict=True):
            for word in text.split():
                self.seen.setdefault(word, np.ones(2))[label] += 1
        return self

    def predict_proba(self, texts):
        parts = [[self.seen.get(word, np.ones(2)) for word in text.split()] for text in texts]
        logs = np.array([np.log(np.array(part) / np.sum(part, 1, keepdims=True)).sum(0)
                         for part in parts])  # fmt: skip
        shares = np.exp(logs - logs.max(1, keepdims=True))
        return shares / shares.sum(1, keepdims=True)


def planted(rows=200, wrong=(7, 20, 41)):
    rng = np.random.default_rng(0)
    true = np.arange(rows) % 2
    words = np.array([["oil", "bank", "rates", "shares"], ["goal", "match", "coach", "cup"]])
    texts = [f"{' '.join(rng.choice(words[k], 3))} x{row}a x{row}b" for row, k in enumerate(true)]
    labels = true.copy()
    labels[list(wrong)] = 1 - labels[list(wrong)]
    return texts, labels, list(wrong)


def test_planted_errors_are_found():
    texts, labels, wrong = planted()
    probabilities = ours.out_of_fold_probabilities(Counts, texts, labels)
    assert sorted(ours.suspect_rows(labels, probabilities)) == wrong


def test_no_row_and_no_copy_of_it_trains_the_model_that_judges_it():
    texts, labels, _ = planted(60)
    texts[1] = texts[0]  # an exact copy
    seen = []

    class Spy(Counts):
        def fit(self, texts, labels):
            self.texts = set(texts)
            return super().fit(texts, labels)

        def predict_proba(self, texts):
            seen.append(self.texts & set(texts))
            return super().predict_proba(texts)

    ours.out_of_fold_probabilities(Spy, texts, labels, folds=4)
    assert seen == [set()] * 4


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: ours.label_quality([0], [[0.5, 0.5]], "entropy"), "method='entropy'"),
        (lambda: ours.class_thresholds([0, 5], [[0.5, 0.5]] * 2), "labels, row 1, is 5"),
        (lambda: ours.suspect_rows([0], [[0.5, 0.6]]), "row 0, sums to 1.1"),
        (lambda: ours.out_of_fold_probabilities(Counts, ["a"], [0, 1]), "1 texts, but 2 labels"),
        (lambda: ours.out_of_fold_probabilities(Counts, ["a"] * 4, [0, 0, 1, 1], 3),
         "class 0 has 2 rows, fewer than the 3 folds"),
        (lambda: ours.out_of_fold_probabilities(Counts, ["a"] * 4, [0, 0, 1, 1], 1), "folds=1"),
    ],
)  # fmt: skip
def test_bad_arguments_get_a_sentence(call, sentence):
    with pytest.raises(ValueError, match=sentence):
        call()
