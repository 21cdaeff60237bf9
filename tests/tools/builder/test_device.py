"""`make gpu`: nbval on one device, timed and recorded; here on the CPU, with one small chapter."""

import json
import os
import re
import shutil
import subprocess
import sys

import pytest

from agnews_utils.runtime import DEVICE_VARIABLE
from tests.helpers import ROOT
from tests.tools.builder.test_course import FRONT_MATTER, GOOD
from tools.builder import device
from tools.builder.chapters import read_chapters
from tools.builder.readme import chapter_table
from tools.builder.results import Results, read_results

CHECKED_OUTPUT = {"text/plain": "2"}


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    """Copy what a run on a device needs, with one small chapter and its executed notebook."""
    root = tmp_path_factory.mktemp("repository") / "course"
    for folder in ("agnews_utils", "tools", "data/newsbriefs", "tests/offline"):
        shutil.copytree(ROOT / folder, root / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "conftest.py"):
        shutil.copy(ROOT / name, root / name)
    for folder in ("chapters", "notebooks", "results"):
        (root / folder).mkdir()
    matter = FRONT_MATTER.format(title="Good", run="good")
    (root / "chapters/01_good.py").write_text(matter + GOOD, encoding="utf-8")
    write_notebook(root, CHECKED_OUTPUT)
    return root


def write_notebook(root, checked_output):
    """Write the notebook with a stored output of its checked cell, without executing it."""
    import nbformat
    from nbformat import v4

    from tools.builder.chapters import read_chapter

    cells = [cell for cell in read_chapter(root / "chapters/01_good.py").cells]
    for number, cell in enumerate((c for c in cells if c.cell_type == "code"), 1):
        cell.execution_count = number
        if "nbval-check-output" in cell.metadata.get("tags", []):
            cell.outputs = [
                v4.new_output("execute_result", data=checked_output, execution_count=number)
            ]
    nbformat.write(v4.new_notebook(cells=cells), root / "notebooks/01_good.ipynb")


def command(root, *arguments):
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(root), os.environ["PYTHONPATH"]])
    }
    environment.pop("PYTEST_XDIST_WORKER", None)
    return subprocess.run(
        [sys.executable, "-m", "tools.builder.device", *arguments],
        cwd=root,
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
    )


def test_a_run_is_checked_timed_and_recorded(course):
    ran = command(course, "cpu")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "so this runs on News Briefs only" in ran.stdout
    assert "notebooks that passed nbval on cpu: 1, in" in ran.stdout
    results = read_results(course / "results")
    content = results.runs["device_cpu"]["newsbriefs"]
    assert content["data"]["rows"] == {"train": 1800, "test": 400}
    assert content["environment"]["torch"] != "not installed"
    (entry,) = content["metrics"]["chapters"].items()
    assert entry[0] == "good"
    assert (entry[1]["cells"], entry[1]["device"]) == (3, "cpu")
    assert entry[1]["seconds"] > 0
    assert entry[1]["cpu_seconds"] > 0
    assert content["cpu_seconds"] == entry[1]["cpu_seconds"]

    # A chapter by name, or a wrong output: times are printed, and no result is stored or changed.
    stored = (course / "results/device_cpu.newsbriefs.json").read_bytes()
    write_notebook(course, {"text/plain": "3"})
    failed = command(course, "cpu", "--data", "newsbriefs", "1")
    write_notebook(course, CHECKED_OUTPUT)
    assert failed.returncode == 1
    assert "failed: Cell 1" in failed.stdout
    assert (course / "results/device_cpu.newsbriefs.json").read_bytes() == stored
    assert [path.name for path in (course / "results").iterdir()] == ["device_cpu.newsbriefs.json"]


def test_without_a_gpu_it_ends_at_once_with_one_sentence(monkeypatch):
    torch = pytest.importorskip("torch")
    monkeypatch.setenv(DEVICE_VARIABLE, "cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(device, "run_nbval", lambda *_: pytest.fail("it went on"))
    for arguments in (["cuda"], ["cuda", "--check"]):
        with pytest.raises(SystemExit, match="AGNEWS_DEVICE=cuda asks for a GPU, but torch") as end:
            device.main(arguments)
        assert "\n" not in str(end.value)
    assert device.main(["cpu", "--check"]) == 0


@pytest.mark.parametrize("name", ["gpu", "cuda0", "", "CUDA"])
def test_an_unknown_device_is_named(name):
    with pytest.raises(SystemExit, match=re.escape(f"DEVICE={name}: expected cpu or cuda")):
        device.check(name)


def test_the_report_of_nbval_is_added_up(tmp_path):
    chapter = read_chapters()[0]
    where = f'classname="notebooks.{chapter.name}.ipynb"'
    report = tmp_path / "nbval.xml"
    report.write_text(
        f"<testsuites><testsuite><testcase {where} name='Cell 0' time='1.5'/>"
        f"<testcase {where} name='Cell 1' time='2.25'><failure/></testcase>"
        "<testcase classname='notebooks.07_other.ipynb' name='Cell 0' time='9'/>"
        "</testsuite></testsuites>"
    )
    (outcome,) = device.read_report(report, [chapter])
    assert (outcome.cells, outcome.seconds) == (2, 3.75)
    assert outcome.error == "failed: Cell 1"
    report.write_text("<testsuites/>")
    assert device.read_report(report, [chapter])[0].error == "no cell was run"


def test_the_readme_shows_the_times_of_a_gpu_once_there_are_some():
    chapters = read_chapters()[:2]
    assert "GPU" not in chapter_table(chapters, Results({}, {}))
    content = {
        "environment": {"device": "NVIDIA H200"},
        "metrics": {"chapters": {chapters[0].contract.run: {"seconds": 12.4}}},
    }
    table = chapter_table(chapters, Results({"device_cuda": {"newsbriefs": content}}, {}))
    head, _, first, second = table.splitlines()
    assert head.endswith("| seconds on NVIDIA H200, News Briefs |")
    assert first.endswith("| 12 |")
    assert second.endswith("| not measured yet |")


def test_what_the_chapters_record_is_required(tmp_path):
    chapter = read_chapters()[0]
    outcome = device.Outcome(chapter.name, 3, 1.0)
    with pytest.raises(SystemExit, match=r"recorded no exploration.newsbriefs.json"):
        device.chapter_times([chapter], [outcome], tmp_path, "newsbriefs")
    content = {"cpu_seconds": 2.0, "environment": {"device": "NVIDIA H200"}}
    (tmp_path / "exploration.newsbriefs.json").write_text(json.dumps(content))
    times = device.chapter_times([chapter], [outcome], tmp_path, "newsbriefs")
    expected = {"cells": 3, "seconds": 1.0, "cpu_seconds": 2.0, "device": "NVIDIA H200"}
    assert times == {chapter.contract.run: expected}
