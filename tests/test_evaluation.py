"""Metrics against scikit-learn, over random inputs with all kinds of corner cases."""

import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as theirs

from agnews_utils.data.corpus import CLASS_NAMES
from agnews_utils.evaluation import metrics as ours

CLOSE = {"rtol": 1e-12, "atol": 1e-12}
ALL = {"labels": range(4), "zero_division": 0}

quick = settings(max_examples=60, deadline=None)


@st.composite
def labels_and_predictions(draw):
    """Return rows of labels, in which classes often are missing; sometimes a single row."""
    classes = draw(st.lists(st.integers(0, 3), min_size=1, max_size=4, unique=True))
    rows = draw(st.integers(1, 40))
    of = st.lists(st.sampled_from(classes), min_size=rows, max_size=rows)
    return np.array(draw(of)), np.array(draw(of if draw(st.booleans()) else st.lists(
        st.integers(0, 3), min_size=rows, max_size=rows)))  # fmt: skip


@st.composite
def labels_and_probabilities(draw):
    """Return labels and probabilities with ties, zeros and ones among them."""
    true, _ = draw(labels_and_predictions())
    weights = st.lists(st.sampled_from([0, 0, 1, 1, 2, 5, 1000]), min_size=4, max_size=4)
    smooth = st.lists(st.floats(0.01, 1), min_size=4, max_size=4)
    rows = st.one_of(weights.filter(any), smooth)
    table = draw(st.lists(rows, min_size=len(true), max_size=len(true)))
    table = np.array(table, dtype=float)
    return true, table / table.sum(axis=1, keepdims=True)


@quick
@given(labels_and_predictions())
def test_counts_and_ratios_equal_scikit_learn(pair):
    true, predicted = pair
    matrix = ours.confusion_matrix(true, predicted)
    assert matrix.tolist() == theirs.confusion_matrix(true, predicted, labels=range(4)).tolist()
    found = ours.precision_recall_f1(true, predicted)
    expected = theirs.precision_recall_fscore_support(true, predicted, **ALL)[:3]
    np.testing.assert_allclose(found, expected, **CLOSE)
    for average in ("macro", "micro", "weighted"):
        expected = theirs.precision_recall_fscore_support(true, predicted, average=average, **ALL)
        found = ours.average_scores(true, predicted, average)
        np.testing.assert_allclose(found, expected[:3], **CLOSE)
    assert ours.accuracy(true, predicted) == pytest.approx(theirs.accuracy_score(true, predicted))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn warns of predicted classes that do not occur
        expected = theirs.balanced_accuracy_score(true, predicted)
    assert ours.balanced_accuracy(true, predicted) == pytest.approx(expected, abs=1e-12)


@quick
@given(labels_and_probabilities())
def test_losses_equal_scikit_learn(pair):
    true, probabilities = pair
    expected = theirs.log_loss(true, probabilities, labels=range(4))
    np.testing.assert_allclose(ours.log_loss(true, probabilities), expected, **CLOSE)
    squares = [
        theirs.brier_score_loss(true == k, probabilities[:, k], pos_label=True)
        for k in range(4)
        if 0 < (true == k).sum() < len(true)
    ]
    if len(squares) == 4:
        np.testing.assert_allclose(ours.brier_score(true, probabilities), sum(squares), **CLOSE)
    by_hand = sum(
        (p - (label == k)) ** 2
        for label, row in zip(true, probabilities, strict=True)
        for k, p in enumerate(row)
    )
    np.testing.assert_allclose(ours.brier_score(true, probabilities), by_hand / len(true), **CLOSE)


@quick
@given(labels_and_probabilities())
def test_curves_equal_scikit_learn(pair):
    true, probabilities = pair
    areas = ours.roc_auc(true, probabilities)
    precisions = ours.average_precisions(true, probabilities)
    for k in range(4):
        positive, scores = (true == k).astype(int), probabilities[:, k]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a class that no row has, or every row
            expected = theirs.roc_curve(positive, scores, pos_label=1, drop_intermediate=False)
            area = theirs.auc(*expected[:2]) if 0 < positive.sum() < len(true) else np.nan
            pr = theirs.precision_recall_curve(positive, scores, pos_label=1)
            precision = theirs.average_precision_score(positive, scores)
        for mine, other in zip(ours.roc_curve(positive, scores), expected, strict=True):
            np.testing.assert_allclose(mine, other, **CLOSE)
        np.testing.assert_allclose(areas[k], area, **CLOSE)
        np.testing.assert_allclose(precisions[k], precision, **CLOSE)
        for mine, other in zip(ours.precision_recall_curve(positive, scores), pr, strict=True):
            np.testing.assert_allclose(mine, other[: len(mine)][::-1], **CLOSE)


@quick
@given(labels_and_probabilities())
def test_area_under_roc_is_the_share_of_pairs_in_order(pair):
    true, probabilities = pair
    for k, area in enumerate(ours.roc_auc(true, probabilities)):
        own, rest = probabilities[true == k, k], probabilities[true != k, k]
        if len(own) and len(rest):
            wins = (own[:, None] > rest).mean() + (own[:, None] == rest).mean() / 2
            assert area == pytest.approx(wins, abs=1e-12)
        else:
            assert np.isnan(area)


def test_a_perfect_and_a_hopeless_model():
    true = np.array([0, 1, 2, 3, 0])
    perfect, hopeless = np.eye(4)[true], np.eye(4)[(true + 1) % 4]
    assert ours.log_loss(true, perfect) == pytest.approx(0, abs=1e-12)
    assert ours.log_loss(true, hopeless) == pytest.approx(-np.log(np.finfo(float).eps))
    assert (ours.brier_score(true, perfect), ours.brier_score(true, hopeless)) == (0, 2)
    assert ours.roc_auc(true, perfect).tolist() == [1, 1, 1, 1]


def test_a_published_example():
    # Fawcett (2006), "An introduction to ROC analysis", figure 3: 20 instances, 10 positive.
    letters = "ppnpppnnpnpnpnnnpnpn"
    scores = [.9, .8, .7, .6, .55, .54, .53, .52, .51, .505,
              .4, .39, .38, .37, .36, .35, .34, .33, .3, .1]  # fmt: skip
    rates = ours.roc_curve([letter == "p" for letter in letters], scores)
    points = list(zip(*np.round(rates[:2], 9), strict=True))
    assert points[:4] == [(0, 0), (0, 0.1), (0, 0.2), (0.1, 0.2)]
    assert (0.1, 0.5) in points  # accuracy is highest there, at the threshold 0.54
    assert rates[2][points.index((0.1, 0.5))] == 0.54


def test_class_report_holds_the_same_numbers():
    rng = np.random.default_rng(0)
    true, predicted = rng.integers(4, size=(2, 50))
    report = ours.class_report(true, predicted)
    assert list(report.index) == [*CLASS_NAMES, "macro", "micro", "weighted"]
    text = theirs.classification_report(true, predicted, output_dict=True)
    for k, name in enumerate(CLASS_NAMES):
        expected = [text[str(k)][key] for key in ("precision", "recall", "f1-score", "support")]
        np.testing.assert_allclose(report.loc[name].to_numpy(dtype=float), expected, **CLOSE)
    assert report.loc["micro", "F1"] == pytest.approx((true == predicted).mean())


def test_pandas_columns_and_lists_are_welcome():
    true = pd.Series([0, 1, 2], index=[7, 8, 9])
    assert ours.accuracy(true, [0, 1, 1]) == pytest.approx(2 / 3)
    assert ours.log_loss(true, np.full((3, 4), 0.25, dtype=np.float32)) == pytest.approx(np.log(4))


GOOD = np.full((3, 4), 0.25)


@pytest.mark.parametrize(
    ("true", "predicted", "sentence"),
    [
        ([0, 1], [0, 1, 2], "predicted has 3 rows, the other argument 2"),
        ([0, 4, 1], [0, 0, 0], "true, row 1, is 4: expected a class from 0 to 3"),
        ([0, 1], [0, -1], "predicted, row 1, is -1"),
        ([0, 1], [0, 0.5], "predicted, row 1, is 0.5"),
        ([0, float("nan")], [0, 1], "true, row 1, is nan"),
        ([], [], "true is empty"),
        (["World"], [0], "true, row 0, is .*World.*not names"),
        ([[0, 1]], [0], r"true has the shape \(1, 2\)"),
        ([0, 1, 2], GOOD, r"predicted has the shape \(3, 4\).*argmax"),
    ],
)
def test_bad_labels_get_a_sentence(true, predicted, sentence):
    with pytest.raises(ValueError, match=sentence):
        ours.confusion_matrix(true, predicted)


@pytest.mark.parametrize(
    ("probabilities", "sentence"),
    [
        (np.full((2, 4), 0.25), "probabilities has 2 rows, the other argument 3"),
        (np.full(3, 0.25), r"probabilities has the shape \(3,\)"),
        (np.where(np.eye(3, 4) == 1, np.nan, 0.25), "probabilities, row 0, holds nan"),
        (GOOD + np.outer([0, 1, 0], [1, 0, 0, 0]), "row 1, holds 1.25.*softmax"),
        (np.array([[2.0, -1.0, 0, 0]] * 3), "row 0, holds (2|-1)"),
        (GOOD * [[1], [1], [0.9]], "row 2, sums to 0.9: expected 1"),
        ((GOOD * [[1], [1.001], [1]]).astype(np.float16), "row 1, sums to .*few digits"),
    ],
)
def test_bad_probabilities_get_a_sentence(probabilities, sentence):
    for metric in (ours.log_loss, ours.brier_score, ours.roc_auc, ours.average_precisions,
                   ours.expected_calibration_error, ours.fit_temperature):  # fmt: skip
        with pytest.raises(ValueError, match=sentence):
            metric([0, 1, 2], probabilities)


def test_labels_beyond_the_columns_get_a_sentence():
    with pytest.raises(ValueError, match="true, row 2, is 2: expected a class from 0 to 1"):
        ours.log_loss([0, 1, 2], np.full((3, 2), 0.5))


@pytest.mark.parametrize(
    ("positive", "scores", "sentence"),
    [
        ([], [], "positive has the shape"),
        ([1, 2], [0.1, 0.2], "positive, row 1, is 2"),
        ([1, 0], [0.1], "scores has the shape"),
        ([1, 0], [0.1, np.inf], "scores, row 1, is inf"),
    ],
)
def test_bad_scores_get_a_sentence(positive, scores, sentence):
    with pytest.raises(ValueError, match=sentence):
        ours.roc_curve(positive, scores)


def test_unknown_average():
    with pytest.raises(ValueError, match="average='samples': expected one of macro"):
        ours.average_scores([0], [0], "samples")
