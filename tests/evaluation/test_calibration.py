"""Calibration against scikit-learn, scipy and plain loops; what the measures refuse."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.special import softmax
from sklearn.calibration import calibration_curve
from sklearn.metrics import log_loss

from agnews_utils.evaluation import metrics as ours


def a_model(seed, rows=300, sharpness=1.0):
    """Return labels, and probabilities that are right if `sharpness` is 1."""
    rng = np.random.default_rng(seed)
    logits = 2 * rng.normal(size=(rows, 4))
    honest = softmax(logits, axis=1)
    true = np.array([rng.choice(4, p=row) for row in honest])
    return true, softmax(sharpness * logits, axis=1)


@pytest.mark.parametrize("bins", [1, 5, 10, 15])
def test_bins_equal_scikit_learn(bins):
    true, probabilities = a_model(0)
    table = ours.reliability_bins(true, probabilities, bins)
    right, confidence = probabilities.argmax(1) == true, probabilities.max(1)
    accuracy, mean = calibration_curve(right, confidence, n_bins=bins)
    np.testing.assert_allclose(table["accuracy"], accuracy, rtol=1e-12)
    np.testing.assert_allclose(table["confidence"], mean, rtol=1e-12)
    assert table["rows"].sum() == len(true)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 20), st.integers(1, 12))
def test_error_equals_a_plain_loop(seed, rows, bins):
    rng = np.random.default_rng(seed)
    probabilities = rng.dirichlet([0.3] * 3, size=rows)
    probabilities[0] = [0, 1, 0]
    true = rng.integers(3, size=rows)
    total = 0.0
    for k in range(bins):
        low, high = k / bins, (k + 1) / bins
        inside = [
            (max(row), int(np.argmax(row)) == label)
            for row, label in zip(probabilities, true, strict=True)
            if low < max(row) <= high
        ]
        if inside:
            sure, right = np.mean(inside, axis=0)
            total += len(inside) / rows * abs(sure - right)
    assert ours.expected_calibration_error(true, probabilities, bins) == pytest.approx(total)


@pytest.mark.parametrize("sharpness", [0.3, 1.0, 4.0])
def test_temperature_equals_scipy_and_undoes_the_sharpness(sharpness):
    true, probabilities = a_model(1, rows=4_000, sharpness=sharpness)

    def loss(log_temperature):
        logits = np.log(np.maximum(probabilities, 1e-13))
        scaled = softmax(logits / np.exp(log_temperature), axis=1)
        return -np.log(scaled[np.arange(len(true)), true]).mean()

    best = np.exp(minimize_scalar(loss, bounds=(-3, 3), options={"xatol": 1e-9}).x)
    temperature = ours.fit_temperature(true, probabilities)
    assert temperature == pytest.approx(best, rel=1e-5)
    assert temperature == pytest.approx(sharpness, rel=0.1)
    scaled = ours.apply_temperature(probabilities, temperature)
    np.testing.assert_allclose(scaled.sum(1), 1)
    assert (scaled.argmax(1) == probabilities.argmax(1)).all()
    assert log_loss(true, scaled) <= log_loss(true, probabilities) + 1e-12


def test_temperature_one_changes_nothing():
    _, probabilities = a_model(2)
    np.testing.assert_allclose(ours.apply_temperature(probabilities, 1.0), probabilities, rtol=1e-9)


def test_temperature_of_models_without_a_best_one():
    probabilities = np.array([[0.9, 0.1], [0.2, 0.8]])
    assert ours.fit_temperature([0, 1], probabilities) == 0.05  # always right: as sure as possible
    assert ours.fit_temperature([1, 0], probabilities) == 20  # always wrong: as unsure as possible
    assert ours.fit_temperature([0, 1], np.full((2, 2), 0.5)) == 20  # no difference at all


def test_zeros_and_ones_are_scaled_without_a_warning():
    with np.errstate(all="raise"):
        scaled = ours.apply_temperature([[1.0, 0.0], [0.5, 0.5]], 2.0)
    assert np.isfinite(scaled).all()
    assert 0 < scaled[0, 1] < 1e-5


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: ours.reliability_bins([0], [[0.5, 0.5]], 0), "bins=0"),
        (lambda: ours.apply_temperature([[0.5, 0.5]], 0.0), "temperature=0.0"),
        (lambda: ours.apply_temperature([[0.5, 0.5]], float("nan")), "temperature=nan"),
        (lambda: ours.apply_temperature([[0.5, 0.6]], 1.0), "row 0, sums to 1.1"),
    ],
)
def test_bad_arguments_get_a_sentence(call, sentence):
    with pytest.raises(ValueError, match=sentence):
        call()


def test_pandas_columns_and_lists_are_welcome():
    true = pd.Series([0, 1, 2], index=[7, 8, 9])
    assert ours.expected_calibration_error(true, np.eye(3, dtype=np.float32).tolist()) == 0
    assert ours.checked_flags(true == 1, "right").tolist() == [False, True, False]


GOOD = np.full((3, 4), 0.25)


@pytest.mark.parametrize(
    ("labels", "sentence"),
    [
        ([0, 4, 1], "true, row 1, is 4: expected a class from 0 to 3.*subtract 1 once"),
        ([0, 1, -1], "true, row 2, is -1"),
        ([0, 0.5, 1], "true, row 1, is 0.5"),
        ([0, float("nan"), 1], "true, row 1, is nan"),
        ([], "true is empty"),
        (["World"], "true, row 0, is .*World.*not names"),
        ([[0, 1]], r"true has the shape \(1, 2\)"),
    ],
)
def test_bad_labels_get_a_sentence(labels, sentence):
    with pytest.raises(ValueError, match=sentence):
        ours.checked_labels(labels, 4)


@pytest.mark.parametrize(
    ("probabilities", "sentence"),
    [
        (np.full((2, 4), 0.25), "probabilities has 2 rows, the other argument 3"),
        (np.full(3, 0.25), r"probabilities has the shape \(3,\)"),
        (np.where(np.eye(3, 4) == 1, np.nan, 0.25), "probabilities, row 0, holds nan"),
        (GOOD + np.outer([0, 1, 0], [1, 0, 0, 0]), "row 1, holds 1.25.*softmax"),
        (np.array([[3.0, -1.0, -1.0, 0]] * 3), "row 0, holds 3:"),
        (np.array([[1.0, -4.0, 4.0, 0]] * 3), "row 0, holds -4:"),
        (GOOD * [[1], [1], [0.9]], "row 2, sums to 0.9: expected 1"),
        ((GOOD * [[1], [1.001], [1]]).astype(np.float16), "row 1, sums to .*few digits"),
        (np.full((3, 2), 0.5), "true, row 2, is 2: expected a class from 0 to 1"),
    ],
)
def test_bad_probabilities_get_a_sentence(probabilities, sentence):
    for measure in (ours.reliability_bins, ours.expected_calibration_error, ours.fit_temperature):
        with pytest.raises(ValueError, match=sentence):
            measure([0, 1, 2], probabilities)
