"""`evaluate` and `predict`."""

import numpy as np
import pytest
import torch

from agnews_utils.training import inference
from agnews_utils.training.inference import evaluate, predict, usable_device
from agnews_utils.training.loop import fit
from tests.training.small_run import collate, make_loader, make_model


def test_evaluate_and_predict_give_the_modes_back(valid):
    model = make_model(dropout=0.9)
    model.train()
    model.hidden.eval()
    first, second = predict(model, valid), predict(model, valid)
    evaluate(model, valid)
    assert np.array_equal(first, second)
    assert model.training
    assert model.dropout.training
    assert not model.hidden.training
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_predictions_are_probabilities_in_the_order_of_the_data(rows):
    model = make_model()
    everything = collate(rows)
    model.eval()
    with torch.no_grad():
        expected = model(everything["input_ids"], everything["attention_mask"]).softmax(1).numpy()
    found = predict(model, make_loader(rows, 16, bucketed=True))
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    np.testing.assert_allclose(found.sum(1), 1.0, rtol=1e-5)
    assert found.dtype == np.float32
    without = [{k: v for k, v in collate(rows[3:6]).items() if k not in ("index", "labels")}]
    np.testing.assert_allclose(predict(model, without), expected[3:6], rtol=1e-5)
    with pytest.raises(ValueError, match="nothing to predict"):
        predict(model, [])


def test_a_missing_input_is_named(rows):
    batch = collate(rows[:2])
    del batch["attention_mask"]
    with pytest.raises(ValueError, match=r"SmallModel.forward needs 'attention_mask'"):
        predict(make_model(), [batch])


def test_a_model_that_an_apple_gpu_cannot_compute_is_computed_on_the_cpu(
    rows, valid, monkeypatch, capsys
):
    """Torch here has no such GPU, and refuses as it does where an operation is missing."""
    monkeypatch.setattr(inference, "pick_device", lambda: torch.device("mps"))
    monkeypatch.setattr("agnews_utils.training.loop.pick_device", lambda: torch.device("mps"))
    model = make_model()
    assert usable_device(model, collate(rows[:2])) == torch.device("cpu")
    assert "Computing on the CPU: torch cannot compute this model" in capsys.readouterr().out
    fit(model, valid, epochs=1)
    assert next(model.parameters()).device.type == "cpu"
    assert capsys.readouterr().out.count("Computing on the CPU") == 1
