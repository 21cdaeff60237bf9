"""The record of a run."""

import json

import pandas as pd
import pytest

from agnews_utils.training.history import History, Totals
from agnews_utils.training.loop import fit
from tests.training.small_run import make_loader, make_model


def test_history_goes_through_json(rows, valid, tmp_path):
    history = fit(make_model(), make_loader(rows), valid, epochs=2)
    path = tmp_path / "history.json"
    history.to_json(path)
    assert History.from_json(path) == history
    assert pd.DataFrame(history.epochs)["epoch"].tolist() == [1, 2]
    assert len(pd.DataFrame(history.steps)) == 24


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"format": "agnews_utils history 1"}', "{"])
def test_other_files_are_no_history(tmp_path, text):
    path = tmp_path / "history.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"history\.json is not a history"):
        History.from_json(path)


def test_a_cut_history_is_refused(rows, tmp_path):
    history = fit(make_model(), make_loader(rows))
    history.steps["loss"].pop()
    history.to_json(tmp_path / "history.json")
    with pytest.raises(ValueError, match="differ in length"):
        History.from_json(tmp_path / "history.json")


def test_totals_go_on_from_what_was_saved():
    totals = Totals()
    totals.add(documents=8, targets=8, loss=4.0, correct=2.0, norm=1.0)
    again = Totals(**json.loads(json.dumps(vars(totals))))
    again.add(documents=2, targets=2, loss=2.0, correct=2.0, norm=1.0)
    assert again.means() == {"loss": 0.6, "accuracy": 0.4}
    assert again.documents == 10
