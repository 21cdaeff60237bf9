"""Two processes give the metrics of one, and resume together."""

import shutil

import pytest
import torch

from agnews_utils.training.inference import own_rows
from tests.training.launch import report_of, run_script, without_times
from tests.training.small_run import collate


@pytest.fixture(scope="module")
def shared_runs(tmp_path_factory):
    """Runs in two processes at once."""
    folder = tmp_path_factory.mktemp("shared")
    tail = {"batch_size": 20}
    phases = [
        {"folder": "without dropout", "dropout": 0.0, "plain": True},
        {"folder": "tail", **tail},
        {"folder": "tail again", **tail, "plain": True},
        {"folder": "resumed", **tail},
    ]
    run_script(folder, phases[:3], processes=2)
    shutil.copytree(folder / "tail", folder / "resumed")
    shutil.rmtree(max((folder / "resumed").glob("step-*")))
    run_script(folder, phases[3:], processes=2)
    return folder


def test_two_processes_share_each_batch(shared_runs, tmp_path):
    """Each row once per epoch, and the numbers of one process within rounding (no dropout)."""
    run_script(tmp_path, [{"folder": ".", "dropout": 0.0, "plain": True}])
    one = report_of(tmp_path)
    both = [report_of(shared_runs / "without dropout", process) for process in (0, 1)]
    assert both[0]["hash"] == both[1]["hash"]
    assert both[0]["weights"] == pytest.approx(one["weights"], abs=1e-5)
    for table in ("steps", "epochs"):
        for column, values in without_times(one["history"])[table].items():
            assert both[0]["history"][table][column] == pytest.approx(values, rel=1e-4), column
    batches = len(one["seen"]) // 3
    for epoch in range(3):
        whole = one["seen"][epoch * batches : (epoch + 1) * batches]
        assert sorted(row for batch in whole for row in batch) == list(range(101))
        for number, batch in enumerate(whole):
            parts = [report["seen"][epoch * batches + number] for report in both]
            assert parts == [batch[0::2], batch[1::2]]


def test_two_processes_with_a_tail_of_one_row_and_dropout(shared_runs):
    """101 rows in batches of 20 leave a row for one of the processes only."""
    first, second = (report_of(shared_runs / "tail", process) for process in (0, 1))
    assert first["hash"] == second["hash"]
    assert first["history"]["epochs"]["documents"] == [101, 101, 101]
    assert report_of(shared_runs / "tail again")["hash"] == first["hash"]


def test_two_processes_resume_together(shared_runs):
    first = report_of(shared_runs / "tail")
    for process in (0, 1):
        resumed = report_of(shared_runs / "resumed", process)
        assert resumed["hash"] == first["hash"]
        assert 0 < len(resumed["seen"]) < len(first["seen"])


def test_shares_are_disjoint_and_complete(rows):
    batch = collate(rows[:7])
    shares = [own_rows(batch, process, 3) for process in range(3)]
    assert [documents for _, documents in shares] == [3, 2, 2]
    together = torch.cat([share["index"] for share, _ in shares])
    assert sorted(together.tolist()) == batch["index"].tolist()
    nothing, documents = own_rows(collate(rows[:1]), 1, 2)
    assert (documents, len(nothing["labels"])) == (0, 1)
