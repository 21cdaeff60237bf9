"""The course's command, in a copy of the repository with two small chapters."""

import json
import os
import shutil
import subprocess
import sys

import pytest

from tests.helpers import ROOT
from tools.builder.chapters import read_notebook

FRONT_MATTER = """\
# ---
# title: {title}
# summary: A chapter for testing.
# run: {run}
# goals: [see it run]
# prerequisites: [none]
# data: any
# accelerator: none
# ---

"""
GOOD = """\
# %%
from agnews_utils import runtime
from agnews_utils.data import load_news
news = load_news()

# %% [markdown]
# ## There are {{ newsbriefs.rows | count }} rows

# %% tags=["nbval-check-output"]
1 + 1

# %%
runtime.record("good", news, {"rows": len(news.train)}, headline="all is well")
"""
BAD = """\
# %%
1 + 1

# %%
shares = {"World": 1}
shares["Sport"]

# %%
print("never reached")
"""


@pytest.fixture
def course(tmp_path):
    """Copy the repository's code and data, with two chapters of our own."""
    root = tmp_path / "course"
    for folder in ("agnews_utils", "tools", "data/newsbriefs"):
        shutil.copytree(ROOT / folder, root / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, root / name)
    for folder in ("chapters", "notebooks", "results"):
        (root / folder).mkdir()
    write_chapter(root, "01_good", GOOD, title="Good", run="good")
    return root


def write_chapter(root, name, body, **fields):
    text = FRONT_MATTER.format(**fields) + body
    (root / "chapters" / f"{name}.py").write_text(text, encoding="utf-8")


def command(root, *arguments):
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(root), os.environ["PYTHONPATH"]])
    }
    environment.pop("AGNEWS_DATA")
    return subprocess.run(
        [sys.executable, "-m", "tools.builder", *arguments],
        cwd=root,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )


def test_build_run_and_publish(course):
    built = command(course, "build", "--data", "newsbriefs")
    assert built.returncode == 0, built.stderr
    assert "all is well [News Briefs (1,800 training rows, 400 test rows)]" in built.stdout
    notebook = read_notebook(course / "notebooks/01_good.ipynb")
    prose = [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]
    assert "## 1.1 There are 1,800 rows" in prose
    recorded = json.loads((course / "results/good.newsbriefs.json").read_text(encoding="utf-8"))
    assert recorded["metrics"] == {"rows": 1800}
    assert recorded["data"]["rows"] == {"train": 1800, "test": 400}
    assert recorded["cpu_seconds"] > 0

    # A second chapter, with an error: it is named, and the first chapter runs all the same.
    write_chapter(course, "02_bad", BAD, title="Bad", run="bad")
    ran = command(course, "run", "--data", "newsbriefs")
    assert ran.returncode == 1
    assert "02_bad.ipynb, cell 3 ('shares = {\"World\": 1}'): KeyError: 'Sport'" in ran.stdout
    assert "all is well" in ran.stdout
    for name in ("01_good", "02_bad"):
        assert (course / f"build/notebooks/{name}.ipynb").exists()
        page = (course / f"build/html/{name}.html").read_text(encoding="utf-8")
        assert "A chapter for testing." in page
    assert "never reached</pre>" not in page
    assert json.loads((course / "build/results/good.newsbriefs.json").read_text())["metrics"]

    # A failing chapter leaves no notebook behind, and an existing one as it was.
    before = (course / "notebooks/01_good.ipynb").read_bytes()
    assert command(course, "build", "2").returncode == 1
    assert not (course / "notebooks/02_bad.ipynb").exists()
    (course / "chapters/02_bad.py").unlink()

    # Publishing sets badge and setup cell without executing anything; taking it back restores all.
    assert command(course, "publish", "ada/news-course").returncode == 0
    published = read_notebook(course / "notebooks/01_good.ipynb")
    title, setup = published.cells[0].source, published.cells[1].source
    link = "colab.research.google.com/github/ada/news-course/blob/main/notebooks/01_good.ipynb"
    assert link in title
    assert 'REPOSITORY = "ada/news-course"' in setup
    assert 'repository = "ada/news-course"' in (course / "pyproject.toml").read_text("utf-8")
    assert [c.get("outputs") for c in published.cells] == [c.get("outputs") for c in notebook.cells]
    assert command(course, "publish", "").returncode == 0
    assert (course / "notebooks/01_good.ipynb").read_bytes() == before

    refused = command(course, "publish", "https://github.com/ada/news-course")
    assert refused.returncode == 1
    assert "expected owner/name" in refused.stderr


def test_a_folder_and_a_wrong_folder(course, tmp_path):
    own = tmp_path / "my_news"
    own.mkdir()
    for split, rows in (("train", 80), ("test", 8)):
        lines = [f'"{1 + i % 4}","Title {i}","Text {i}, {split}."\n' for i in range(rows)]
        (own / f"{split}.csv").write_text("".join(lines), encoding="utf-8")
    ran = command(course, "run", "--data", str(own), "1")
    # The prose asks for a result that only the bundled corpus gives, and says so.
    assert ran.returncode != 0
    assert "newsbriefs" in ran.stderr
    assert command(course, "record", "--data", "newsbriefs").returncode == 0
    ran = command(course, "run", "--data", str(own), "1")
    assert ran.returncode == 0, ran.stderr
    assert "all is well [my_news (80 training rows, 8 test rows)]" in ran.stdout
    missing = command(course, "run", "--data", str(tmp_path / "nowhere"), "1")
    assert missing.returncode == 1
    assert "does not exist" in missing.stdout


def test_an_unknown_chapter_is_named(course):
    result = command(course, "run", "7")
    assert result.returncode == 1
    assert "expected one of: 1 (good)" in result.stderr
