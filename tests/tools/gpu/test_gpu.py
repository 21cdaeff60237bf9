"""The runs on one GPU, tried on the CPU: order, failures, time, packing, the jobs themselves."""

import json
import tarfile

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file
from transformers import BertConfig, BertForSequenceClassification

from agnews_utils.bert.encoder import save_encoder
from agnews_utils.bert.wordpiece import train_tokenizer
from agnews_utils.data.loading import load_news
from agnews_utils.files import write_text
from tools.gpu import __main__ as gpu
from tools.gpu import tuning
from tools.gpu.plan import Job, make_plan
from tools.gpu.rows import encode_rows, frames, read_rows
from tools.gpu.tuning import PROBABILITIES, RESULT
from tools.reference import fine_tuning
from tools.reference.draws import Rows
from tools.reference.fine_tuning import Recipe

SOURCES = {"ag_news": "newsbriefs", "newsbriefs": "newsbriefs"}


class Process:
    """Stands in for a job's process: ends after some ticks, and leaves a result or not."""

    def __init__(self, folder, ticks, ends_well):
        self.folder, self.ticks, self.ends_well = folder, ticks, ends_well
        self.killed = False

    def poll(self):
        self.ticks -= 1
        if self.ticks > 0:
            return None
        if self.ends_well:
            write_text(self.folder / RESULT, "{}")
        return 0 if self.ends_well else 1

    def kill(self):
        self.killed = True

    def wait(self):
        return 0


def scheduler(plan, work, monkeypatch, *, bad=(), most=2, deadline=100.0, ticks=3, failures=99):
    """Return a scheduler whose clock advances by a second a look, and the order of its starts."""
    now = iter(range(10_000))
    made = gpu.Scheduler(
        plan, work, most, deadline, clock=lambda: float(next(now)), most_failures=failures
    )
    order, processes = [], {}

    def start(job):
        folder = work / job.name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "log").write_text("no memory", encoding="utf-8")
        order.append(job.name)
        processes[job.name] = Process(folder, ticks, job.name not in bad)
        made.running[job.name], made.started[job.name] = processes[job.name], 0.0

    monkeypatch.setattr(made, "_start", start)
    monkeypatch.setattr(gpu.time, "sleep", lambda seconds: None)
    return made, order, processes


def test_every_job_waits_for_jobs_of_the_plan_before_it_in_time():
    plan = make_plan(SOURCES, 4, ["notebooks/01_a.ipynb"])
    names = [job.name for job in plan]
    assert len(set(names)) == len(names)
    assert {name for job in plan for name in job.after} <= set(names)
    assert {job.kind for job in plan} <= set(gpu.KINDS)
    done, left = set(), list(plan)
    while left:  # no circle: something can always start
        ready = [job for job in left if set(job.after) <= done]
        assert ready
        done |= {job.name for job in ready}
        left = [job for job in left if job.name not in done]


def test_jobs_start_in_order_when_what_they_need_is_there(tmp_path, monkeypatch):
    plan = [Job("a", "x"), Job("c", "x", after=("a", "b")), Job("b", "x"), Job("d", "x")]
    made, order, _ = scheduler(plan, tmp_path, monkeypatch)
    made.run()
    assert order == ["a", "b", "c", "d"]
    again, order, _ = scheduler(plan, tmp_path, monkeypatch)
    again.run()
    assert order == []  # what is finished is not done again


def test_a_failure_takes_only_those_along_that_need_it(tmp_path, monkeypatch, capsys):
    plan = [Job("a", "x"), Job("b", "x", after=("a",)), Job("c", "x", after=("b",)), Job("d", "x")]
    made, order, _ = scheduler(plan, tmp_path, monkeypatch, bad={"a"})
    made.run()
    assert order == ["a", "d"]
    assert made.done("d")
    shown = capsys.readouterr().out
    assert "a: FAILED" in shown
    assert "no memory" in shown
    assert "b: left out" in shown


def test_at_the_deadline_what_runs_is_ended_and_what_is_done_stays(tmp_path, monkeypatch):
    plan = [Job(name, "x") for name in "abcdef"]
    made, _, processes = scheduler(plan, tmp_path, monkeypatch, deadline=20, ticks=4, most=1)
    made.run()
    done = [name for name in "abcdef" if made.done(name)]
    assert "a" in done
    assert len(done) < 6
    running = [name for name in processes if name not in done]
    assert [name for name, process in processes.items() if process.killed] == running


def test_many_failures_end_everything_at_once(tmp_path, monkeypatch):
    plan = [Job(f"{n}", "x") for n in range(10)]
    bad = {job.name for job in plan}
    made, order, _ = scheduler(plan, tmp_path, monkeypatch, bad=bad, most=1, failures=2)
    made.run()
    assert len(order) < 6


# ------------------------------------------------------------------------------------- the packing


def test_the_parts_of_large_weights_give_the_file_again(tmp_path, monkeypatch):
    monkeypatch.setattr(gpu, "PIECE", 1000)
    work, output = tmp_path / "work", tmp_path / "out"
    content = bytes(np.random.default_rng(0).integers(0, 256, 2500, dtype=np.uint8))
    (work / "mini-1" / "model").mkdir(parents=True)
    (work / "mini-1" / "model" / "model.safetensors").write_bytes(content)
    write_text(work / "mini-1" / RESULT, json.dumps({"valid_accuracy": 0.5}))
    write_text(work / "mini-2" / RESULT, json.dumps({"valid_accuracy": 0.9}))
    gpu.pack_results(work, output, ["best:mini-*"])
    parts = sorted(output.glob("mini-1_model.*"))
    assert [path.stat().st_size for path in parts] == [1000, 1000, 500]
    assert b"".join(path.read_bytes() for path in parts) == content
    with tarfile.open(output / "results.tar.gz") as archive:
        assert {"mini-1/result.json", "mini-2/result.json"} <= set(archive.getnames())


# ---------------------------------------------------------------------------------------- the jobs


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """A folder with the rows of News Briefs and a tiny encoder, as the first jobs leave them."""
    work = tmp_path_factory.mktemp("gpu")
    news = load_news("newsbriefs")
    parts = {name: frame.head(60) for name, frame in frames(news).items()}
    parts["extra"] = parts["test"].head(10)
    tokenizer = train_tokenizer(news.train["text"], 300)
    encode_rows(parts, tokenizer, work / "rows" / "ag_news.mini.safetensors")
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        num_labels=4,
    )
    model = BertForSequenceClassification(config)
    save_encoder(model, tokenizer, work / "pretrain-mini" / "encoder")
    return work


ON = {"data": "ag_news", "encoder": "mini", "seed": 1}
QUICK = {"epochs": 1, "batch_size": 16}


@pytest.fixture(autouse=True)
def on_the_cpu_in_full_precision(monkeypatch):
    monkeypatch.setattr(fine_tuning, "faster_precision", lambda: "no")


def test_rows_come_back_as_they_were_encoded(work):
    news = load_news("newsbriefs")
    found = read_rows(work / "rows" / "ag_news.mini.safetensors")
    assert set(found) == {"fit", "valid", "test", "extra"}
    assert found["test"].labels.tolist() == news.test["label"].head(60).tolist()
    assert {ids[0] for ids in found["test"].ids} == {found["test"].ids[0][0]}  # [CLS]
    assert max(map(len, found["fit"].ids)) <= 96


@pytest.mark.parametrize(
    "recipe", [{}, {"pooling": "cls"}, {"agreement": 1.0}, {"decay": 0.5, "hidden": 0.0}]
)
def test_a_network_is_tuned_with_each_kind_of_recipe(work, recipe):
    settings = ON | {"recipe": QUICK | recipe}
    result = tuning.tune(work, "one", settings)
    found = load_file(work / "one" / PROBABILITIES)
    assert found["test"].shape == (60, 4)
    np.testing.assert_allclose(found["test"].sum(1), 1, atol=1e-5)
    labels = read_rows(work / "rows" / "ag_news.mini.safetensors")["test"].labels
    assert result["test_accuracy"] == pytest.approx((found["test"].argmax(1) == labels).mean())


def test_the_recipe_of_the_best_on_validation_rows_is_taken(work):
    for name, score, rate in (("try-a", 0.3, 1e-3), ("try-b", 0.4, 2e-3)):
        content = {"recipe": {"learning_rate": rate}, "valid_accuracy": score, "valid_loss": 1.0}
        write_text(work / name / RESULT, json.dumps(content))
    chosen = tuning.chosen_recipe(work, {"among": ["try-*"], "recipe": {"epochs": 2}})
    assert (chosen.learning_rate, chosen.epochs) == (2e-3, 2)


def test_a_teacher_answers_rows_that_it_has_not_learned_from(tmp_path):
    rows, folds = 30, 3
    fold_of = tuning.fold_numbers(rows, folds)
    for fold in range(folds):
        own = np.zeros((rows, 4), np.float16)
        own[fold_of == fold, 1] = 1  # says class 1 of what it never saw
        own[fold_of != fold, 0] = 1  # and class 0 of what it learned
        extra = np.full((5, 4), fold, np.float16)
        (tmp_path / f"m-fold-{fold}").mkdir()
        save_file({"fit": own, "extra": extra}, tmp_path / f"m-fold-{fold}" / PROBABILITIES)
    parts = {"fit": Rows([[]] * rows, np.zeros(rows)), "extra": Rows([[]] * 5, np.zeros(5))}
    found = tuning.average_teacher(tmp_path, ["m-fold"], parts)
    assert found[:rows].argmax(1).tolist() == [1] * rows
    assert found[rows:].tolist() == [[1.0] * 4] * 5  # mean of 0, 1, 2


def test_a_student_learns_from_the_folds_and_the_rows_without_labels(work):
    for fold in range(3):
        name = f"mini-fold-{fold}"
        settings = ON | {"recipe": QUICK, "fold": fold, "folds": 3}
        assert tuning.tune(work, name, settings)["rows"] == 40
        write_text(work / name / RESULT, "{}")
    settings = ON | {"recipe": QUICK, "teachers": ["mini-fold"], "save": True}
    assert tuning.tune(work, "student", settings)["rows"] == 60
    assert (work / "student" / "model" / "model.safetensors").is_file()


def test_few_rows_are_balanced_and_the_same_number_draws_the_same(work):
    rows = read_rows(work / "rows" / "ag_news.mini.safetensors")["fit"]
    first = tuning.draw_rows(rows.labels, 3, 1)
    assert np.bincount(rows.labels[first]).tolist() == [3, 3, 3, 3]
    assert first.tolist() == tuning.draw_rows(rows.labels, 3, 1).tolist()
    assert first.tolist() != tuning.draw_rows(rows.labels, 3, 2).tolist()


def test_curves_keep_each_point_and_go_on(work, monkeypatch):
    monkeypatch.setattr(tuning, "DRAWS", {3: 2})
    settings = ON | {"way": "frozen", "search": "none"}
    points = tuning.curves(work, "curve", settings)["points"]
    assert [(p["way"], p["per_class"], len(p["accuracies"])) for p in points] == [
        ("frozen", 3, 2),
        ("frozen, self-trained", 3, 2),
    ]
    monkeypatch.setattr(tuning, "draw_rows", None)  # would fail if a point were measured again
    assert tuning.curves(work, "curve", settings)["points"] == points


def test_the_smallest_numbers_keep_a_jobs_place_in_the_plan():
    plan = make_plan(SOURCES, 4, [])
    for job in plan:
        small = gpu.tiny(job)
        assert (small.name, small.kind, small.after) == (job.name, job.kind, job.after)
        assert small.settings.get("recipe", {}).get("epochs", 1) == 1
    assert Recipe(**plan[3].settings["recipe"]) == Recipe()
