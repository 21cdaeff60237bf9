"""A reader works in the notebooks: the tests judge the course, not what was added or changed."""

import copy
import os
import re
import shutil
import subprocess
import sys

import nbformat
import pytest
from nbformat import v4

from tests.helpers import ROOT
from tools.builder.chapters import read_chapter

SOURCE = """
# %%
rows = 3

# %% tags=["nbval-check-output"]
rows + 1

# %% tags=["raises-exception"]
1 / 0

# %%
assert rows == 3
"""


def make_course(root):
    """Make a repository whose chapters are alike, and whose notebooks differ in one thing each."""
    for name in ("conftest.py", "pyproject.toml"):
        shutil.copy(ROOT / name, root / name)
    for folder in ("tests/offline", "tools"):
        shutil.copytree(ROOT / folder, root / folder)
    for folder in ("chapters", "notebooks"):
        (root / folder).mkdir()
    matter = (ROOT / "chapters/01_dataset_exploration.py").read_text(encoding="utf-8")
    matter = matter.split("# ---\n")[1]

    def chapter(number, name, source=SOURCE, value="4"):
        path = root / f"chapters/{number:02d}_{name}.py"
        own = matter.replace("run: exploration", f"run: {name}")
        path.write_text(f"# ---\n{own}# ---\n{source}", encoding="utf-8")
        cells = copy.deepcopy(read_chapter(path).cells)
        for count, cell in enumerate(cells, 1):
            cell.execution_count = count
        data = {"text/plain": value}
        cells[1].outputs = [v4.new_output("execute_result", data=data, execution_count=2)]
        return v4.new_notebook(cells=cells)

    notebooks = {
        "01_fresh": chapter(1, "fresh"),
        "02_output": chapter(2, "output", value="5"),
        "03_silent": chapter(3, "silent", SOURCE.replace("1 / 0", "0 / 1")),
        "04_assertion": chapter(4, "assertion", SOURCE.replace("rows == 3", "rows == 4")),
        "05_worked_in": chapter(5, "worked_in"),
        "06_fault_above": chapter(6, "fault_above", value="5"),
        "07_removed": chapter(7, "removed"),
        "my copy": v4.new_notebook(cells=[v4.new_code_cell("1 / 0")]),
    }
    notebooks["05_worked_in"].cells.insert(1, v4.new_code_cell("undefined"))
    notebooks["05_worked_in"].cells[2].source = "rows + 2"
    notebooks["06_fault_above"].cells.append(v4.new_code_cell("undefined"))
    del notebooks["07_removed"].cells[0]
    for name, notebook in notebooks.items():
        nbformat.write(notebook, root / f"notebooks/{name}.ipynb")


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    """Run nbval over all notebooks, as `make test` does; return what it printed."""
    root = tmp_path_factory.mktemp("course")
    make_course(root)
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(root), str(ROOT), os.environ["PYTHONPATH"]])
    }
    command = [sys.executable, "-m", "pytest", "notebooks", "--nbval-lax", "--nbval-current-env",
               "-rA", "--color=no", "-p", "no:cacheprovider", "-p", "no:xdist"]  # fmt: skip
    return subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True).stdout


def outcomes(shown, name):
    """Return P, F or S for each cell of a notebook: passed, failed, skipped."""
    line = rf"^(PASSED|FAILED|SKIPPED).*\b{name}\.ipynb.*?[Cc]ell (\d+)(?: fails)?(?= - |$)"
    found = re.findall(line, shown, re.MULTILINE)
    return "".join(outcome[0] for outcome, _ in sorted(found, key=lambda pair: int(pair[1])))


def test_the_untouched_notebook_passes(shown):
    assert outcomes(shown, "01_fresh") == "PPPP"


def test_faults_of_the_course_fail(shown):
    """A wrong stored output, a cell that should raise and does not, a broken assertion."""
    assert outcomes(shown, "02_output") == "PFPP"
    assert outcomes(shown, "03_silent") == "PPFP"
    assert outcomes(shown, "04_assertion") == "PPPF"


def test_added_edited_and_removed_cells_do_not_fail(shown):
    """An undefined name is added, an example is edited and not run again; a cell is removed."""
    assert outcomes(shown, "05_worked_in") == "PSSPP"
    assert "05_worked_in.ipynb was changed from cell 1 on; cell 2 fails" in shown
    assert outcomes(shown, "07_removed") == "SPS"


def test_what_stands_above_the_first_change_is_still_judged(shown):
    assert outcomes(shown, "06_fault_above") == "PFPPS"


def test_a_copy_is_left_alone_and_the_report_says_so(shown):
    assert outcomes(shown, "my copy") == ""
    assert "not run, since they are your own: my copy.ipynb" in shown
