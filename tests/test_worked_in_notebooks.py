"""A reader works in the notebooks: the tests judge the course, not what was added or changed."""

import hashlib
import os
import shutil
import subprocess
import sys

import nbformat
import pytest
from nbformat import v4

from tests.helpers import ROOT

SOURCES = ["rows = 3", "rows + 1", "1 / 0", "assert rows == 3"]
CHECKED, RAISES = {"tags": ["nbval-check-output"]}, {"tags": ["raises-exception"]}


@pytest.fixture
def course(tmp_path):
    """Make a repository with one chapter of four cells, and its notebook."""
    for name in ("conftest.py", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path / name)
    for folder in ("tests/offline", "tools"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    (tmp_path / "notebooks").mkdir()
    matter = (ROOT / "chapters/01_dataset_exploration.py").read_text(encoding="utf-8")
    matter = matter.split("# ---\n")[1]
    tags = ["", ' tags=["nbval-check-output"]', ' tags=["raises-exception"]', ""]
    cells = "\n\n".join(f"# %%{tag}\n{s}" for tag, s in zip(tags, SOURCES, strict=True))
    (tmp_path / "chapters").mkdir()
    (tmp_path / "chapters/01_toy.py").write_text(f"# ---\n{matter}# ---\n\n{cells}\n")
    return tmp_path


def own_cell(source, number, value=None, **metadata):
    """Return a cell as the builder makes it: its id tells its source."""
    digest = hashlib.sha1(f"code:{source}".encode()).hexdigest()[:8]
    outputs = []
    if value is not None:
        data = {"text/plain": value}
        outputs = [v4.new_output("execute_result", data=data, execution_count=number)]
    return v4.new_code_cell(source, id=f"{digest}-1", execution_count=number, outputs=outputs,
                            metadata=metadata)  # fmt: skip


def notebook():
    metadata = [{}, CHECKED, RAISES, {}]
    values = [None, "4", None, None]
    return v4.new_notebook(cells=[
        own_cell(source, n, value, **m)
        for n, (source, value, m) in enumerate(zip(SOURCES, values, metadata, strict=True), 1)
    ])  # fmt: skip


def run(root, notebook):
    """Run nbval over `notebooks/` as `make test` does; return the counts and the whole output."""
    nbformat.write(notebook, root / "notebooks/01_toy.ipynb")
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(root), str(ROOT), os.environ["PYTHONPATH"]])
    }
    command = [sys.executable, "-m", "pytest", "notebooks", "--nbval-lax", "--nbval-current-env",
               "-p", "no:cacheprovider", "-p", "no:xdist"]  # fmt: skip
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def test_the_untouched_notebook_passes(course):
    code, shown = run(course, notebook())
    assert code == 0, shown
    assert "4 passed" in shown


@pytest.mark.parametrize("cell", [1, 2, 3])
def test_a_fault_of_the_course_fails(course, cell):
    """A wrong stored output, a cell that should raise and does not, an assertion: no reader's."""
    faulty = notebook()
    if cell == 1:
        faulty.cells[1].outputs[0]["data"]["text/plain"] = "5"
    elif cell == 2:
        faulty.cells[2] = own_cell("0 / 1", 3, **RAISES)
        source = course / "chapters/01_toy.py"
        source.write_text(source.read_text().replace("1 / 0", "0 / 1"))
    else:
        faulty.cells[3] = own_cell("assert rows == 4", 4)
        source = course / "chapters/01_toy.py"
        source.write_text(source.read_text().replace("assert rows == 3", "assert rows == 4"))
    code, shown = run(course, faulty)
    assert code == 1, shown
    assert "1 failed, 3 passed" in shown


def test_added_edited_and_removed_cells_do_not_fail(course):
    worked_in = notebook()
    worked_in.cells.insert(1, v4.new_code_cell("undefined"))
    worked_in.cells[2].source = "rows + 2"
    code, shown = run(course, worked_in)
    assert code == 0, shown
    assert "2 skipped" in shown
    assert "01_toy.ipynb was changed from cell 1 on" in shown
    assert run(course, v4.new_notebook(cells=notebook().cells[1:]))[0] == 0


def test_what_stands_above_the_first_change_is_still_judged(course):
    worked_in = notebook()
    worked_in.cells[1].outputs[0]["data"]["text/plain"] = "5"
    worked_in.cells.append(v4.new_code_cell("mine = 1"))
    code, shown = run(course, worked_in)
    assert code == 1
    assert "1 failed, 4 passed" in shown


def test_a_copy_is_left_alone_unless_it_is_named(course):
    nbformat.write(v4.new_notebook(cells=[v4.new_code_cell("1 / 0")]),
                   course / "notebooks/my copy.ipynb")  # fmt: skip
    code, shown = run(course, notebook())
    assert code == 0, shown
    assert "4 passed" in shown
    assert "your own: my copy.ipynb" in shown
