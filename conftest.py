"""Set-up of all tests: offline, on News Briefs, threads capped, and nbval's known gaps closed."""

import functools
import hashlib
import importlib.util
import os
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent
OFFLINE = ROOT / "tests" / "offline"

# Kernels inherit the environment, so what holds here holds in every notebook.
os.environ["PYTHONPATH"] = os.pathsep.join(
    [str(OFFLINE), *filter(None, [os.environ.get("PYTHONPATH")])]
)
os.environ["HF_HUB_OFFLINE"] = "1"
# `python -m tools.builder.device` names other data, and a folder for what the notebooks record.
os.environ["AGNEWS_DATA"] = os.environ.get("AGNEWS_TEST_DATA", "newsbriefs")
os.environ.setdefault("AGNEWS_THREADS", "2")
os.environ.pop("AGNEWS_RECORD", None)
if "AGNEWS_TEST_RECORD" in os.environ:
    os.environ["AGNEWS_RECORD"] = os.environ["AGNEWS_TEST_RECORD"]
os.environ.setdefault("PYDEVD_DISABLE_FILE_VALIDATION", "1")

if "agnews_offline_guard" not in sys.modules:
    spec = importlib.util.spec_from_file_location(
        "agnews_offline_guard", OFFLINE / "sitecustomize.py"
    )
    guard = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = guard
    spec.loader.exec_module(guard)


@pytest.fixture(autouse=True, scope="module")
def _tests_compare_on_the_cpu():
    """Keep the tests, whose references are CPU results, on the CPU; notebooks take any device."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AGNEWS_DEVICE", "cpu")
        yield


# ------------------------------------------------------------------- notebooks that are worked in


@functools.cache
def course_cells():
    """Return the ids of the code cells that each notebook of the course has, by file name."""
    from tools.builder.chapters import read_chapters

    return {
        chapter.notebook_path.name: {c.id for c in chapter.cells if c.cell_type == "code"}
        for chapter in read_chapters()
    }


def is_a_copy(path):
    """Tell whether a notebook in `notebooks/` is none of the course's: a reader's own."""
    inside = Path(path).parent == ROOT / "notebooks"
    return inside and Path(path).suffix == ".ipynb" and Path(path).name not in course_cells()


def pytest_ignore_collect(collection_path, config):
    """Leave a reader's own notebooks alone, unless the command line names them."""
    named = any(str(collection_path).endswith(name.split("::")[0]) for name in config.args)
    return True if is_a_copy(collection_path) and not named else None


def first_change(file):
    """Return the number of the first cell that a reader has added or changed; None without one.

    The id of a cell of the course is made of a hash of its source, so that an edited cell no
    longer has the source that its id stands for. Where a cell is missing, all that follow count.
    """
    if "first_change" not in vars(file):
        wanted = set(course_cells().get(file.path.name, ()))
        changed = []
        for number, cell in enumerate(c for c in file.nb.cells if c.cell_type == "code"):
            digest = hashlib.sha1(f"{cell.cell_type}:{cell.source}".encode()).hexdigest()[:8]
            ours = cell.id.startswith("generated-") or (
                cell.id in wanted and cell.id.startswith(digest)
            )
            wanted.discard(cell.id)
            changed += [] if ours else [number]
        file.first_change = 0 if wanted else min(changed, default=None)
    return file.first_change


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    """Judge the course, not its reader; and close a gap of nbval.

    From the first cell on that a reader has added or changed, a cell that fails is skipped, with
    the reason. nbval passes a cell that is tagged raises-exception and raises nothing: it fails.
    """
    cell = getattr(item, "cell", None)
    if cell is None:
        return (yield)
    change = first_change(item.parent)
    try:
        result = yield
        raised = [out for out in item.test_outputs or [] if out.output_type == "error"]
        if "raises-exception" in cell.metadata.get("tags", []) and not raised:
            pytest.fail(
                f"tagged raises-exception, but nothing was raised:\n{cell.source}", pytrace=False
            )
    except (Exception, pytest.fail.Exception) as error:
        if isinstance(error, pytest.skip.Exception) or change is None or item.cell_num < change:
            raise
        pytest.skip(f"{item.path.name} was changed from cell {change} on; cell {item.cell_num} "
                    "fails")  # fmt: skip
    return result


def pytest_report_header(config):
    """Say what the notebooks run on."""
    device = os.environ.get("AGNEWS_DEVICE") or "a GPU if there is one"
    own = sorted(path.name for path in (ROOT / "notebooks").glob("*.ipynb") if is_a_copy(path))
    left_out = f"; not run, since they are your own: {', '.join(own)}" if own else ""
    return (
        f"agnews: notebooks on {os.environ['AGNEWS_DATA']}, device: {device}, "
        f"network refused except loopback{left_out}"
    )
