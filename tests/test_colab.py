"""The notebooks outside the repository: from the wheel alone, on a stand-in for Colab."""

import os
import re
import shutil
import subprocess
import sys
import zipfile

import nbformat
import pytest
from IPython.core.inputtransformer2 import TransformerManager
from nbclient import NotebookClient

from tests.helpers import ROOT
from tools.builder import generated
from tools.builder.chapters import read_chapters


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Build the wheel from a copy of what git tracks, so that no stray file gets in."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder)]
    done = subprocess.run([*command, str(ROOT)], capture_output=True, text=True, cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture
def colab(wheel, tmp_path):
    """Return a kernel's environment: the wheel's content and a google.colab module."""
    site, stand_in = tmp_path / "site", tmp_path / "stand_in"
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([*install, "--target", str(site), str(wheel)], check=True)
    (stand_in / "google" / "colab").mkdir(parents=True)
    for package in ("google", "google/colab"):
        (stand_in / package / "__init__.py").write_text("", encoding="utf-8")
    path = os.pathsep.join([str(site), str(stand_in), os.environ["PYTHONPATH"]])
    environment = os.environ | {"PYTHONPATH": path}
    environment.pop("AGNEWS_DATA")
    return environment


def test_the_wheel_carries_the_corpus_and_no_stray_file(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert "agnews_utils/bundled/data/newsbriefs/train.csv" in names
    assert "agnews_utils/bundled/data/newsbriefs/test.csv" in names
    assert "agnews_utils/bundled/data/messages/train.csv" in names
    # A downloaded encoder may lie beside the course's own: it is not ours to hand on.
    encoders = {name.split("/")[4] for name in names if "/data/pretrained/" in name}
    assert encoders == {"agnews-bert-mini"}
    assert not [name for name in names if name.startswith(("tests/", "tools/", "notebooks/"))]


def test_a_notebook_runs_from_the_wheel_alone(colab, tmp_path):
    lesson = tmp_path / "lesson"
    lesson.mkdir()
    shutil.copy(ROOT / "notebooks/01_dataset_exploration.ipynb", lesson)
    notebook = nbformat.read(lesson / "01_dataset_exploration.ipynb", as_version=4)
    where = nbformat.v4.new_code_cell("import agnews_utils; print(agnews_utils.__file__)")
    notebook.cells.append(where)
    client = NotebookClient(
        notebook, kernel_name="python3", timeout=300, resources={"metadata": {"path": str(lesson)}}
    )
    client.execute(env=colab)
    shown = "".join(
        output.get("text", "") for cell in notebook.cells for output in cell.get("outputs", [])
    )
    assert "Loaded News Briefs (1,800 training rows, 400 test rows), bundled" in shown
    assert str(tmp_path / "site" / "agnews_utils") in shown


# --------------------------------------------------------------------------- the setup cell


class Shell:
    """Stands in for IPython: notes the magics that a cell runs."""

    def __init__(self):
        self.magics = []

    def run_line_magic(self, name, line):
        self.magics.append((name, line))


def run_setup(monkeypatch, repository, in_colab, installed, wish="", encoder=False):
    """Execute the setup cell's source with stand-ins for what it meets."""
    shell, started = Shell(), []
    runtime = type(sys)("runtime")
    runtime.start = lambda: started.append("runtime")
    plots = type(sys)("plots")
    plots.use_course_style = lambda: started.append("style")
    data = type(sys)("data")
    data.download_ag_news = lambda: started.append("AG News")
    data.check_needs = lambda: started.append("needs")
    download = type(sys)("download")
    download.main = lambda arguments: started.append("encoder") or 1  # a failure harms nothing
    package = type(sys)("agnews_utils")
    package.runtime, package.plots, package.data = runtime, plots, data
    monkeypatch.setitem(sys.modules, "agnews_utils", package)
    monkeypatch.setitem(sys.modules, "agnews_utils.data", data)
    monkeypatch.setitem(sys.modules, "agnews_utils.bert", type(sys)("bert"))
    monkeypatch.setitem(sys.modules, "agnews_utils.bert.download", download)
    monkeypatch.setitem(sys.modules, "google", type(sys)("google") if in_colab else None)
    monkeypatch.setitem(sys.modules, "google.colab", type(sys)("google.colab"))
    spec = object() if installed else None
    monkeypatch.setattr("importlib.util.find_spec", lambda name: spec)
    cell = generated.setup(repository, encoder)
    if wish:
        name = wish.partition(" =")[0]
        cell = re.sub(rf"^{name} = False", wish, cell, flags=re.MULTILINE)
    source = TransformerManager().transform_cell(cell)
    # The shell fills {REPOSITORY} in when the magic runs; here the bare line is enough.
    exec(compile(source, "setup", "exec"), {"get_ipython": lambda: shell})
    return shell.magics, started


def test_setup_installs_from_the_repository_on_colab(monkeypatch):
    magics, started = run_setup(monkeypatch, "ada/news", in_colab=True, installed=False)
    ((name, line),) = magics
    assert name == "pip"
    assert "git+https://github.com/{REPOSITORY}" in line
    assert "torch" not in line
    assert "--upgrade" not in line
    assert started == ["runtime", "style", "needs"]


def test_setup_downloads_ag_news_when_asked_to(monkeypatch):
    _, started = run_setup(monkeypatch, "ada/news", True, True, wish="USE_AG_NEWS = True")
    assert started == ["runtime", "style", "AG News", "needs"]


@pytest.mark.parametrize(("in_colab", "fetched"), [(True, ["encoder"]), (False, [])])
def test_setup_fetches_the_encoder_on_colab_where_a_chapter_loads_one(
    monkeypatch, in_colab, fetched
):
    _, started = run_setup(monkeypatch, "ada/news", in_colab, True, encoder=True)
    assert started == ["runtime", "style", "needs", *fetched]
    _, started = run_setup(monkeypatch, "ada/news", in_colab, True)
    assert started == ["runtime", "style", "needs"]


def test_the_chapters_that_load_any_encoder_are_known():
    runs = {c.contract.run for c in read_chapters() if generated.takes_any_encoder(c)}
    assert "bert" in runs
    assert not runs & {"exploration", "rnn", "pretraining"}


def test_setup_leaves_an_installed_package_alone(monkeypatch):
    magics, started = run_setup(monkeypatch, "ada/news", in_colab=True, installed=True)
    assert magics == []
    assert started


@pytest.mark.parametrize(("repository", "in_colab"), [("", True), ("ada/news", False), ("", False)])
def test_setup_says_what_to_do_when_nothing_can_be_installed(monkeypatch, repository, in_colab):
    with pytest.raises(ModuleNotFoundError, match="make lab"):
        run_setup(monkeypatch, repository, in_colab, installed=False)
