"""Set-up of all tests: offline, on News Briefs, threads capped, and nbval's known gaps closed."""

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


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    """Fail a notebook cell that is tagged raises-exception and raises nothing; nbval passes it."""
    result = yield
    cell = getattr(item, "cell", None)
    if cell is not None and "raises-exception" in cell.metadata.get("tags", []):
        raised = [out for out in item.test_outputs or [] if out.output_type == "error"]
        if not raised:
            pytest.fail(f"tagged raises-exception, but nothing was raised:\n{cell.source}", False)
    return result


def pytest_report_header(config):
    """Say what the notebooks run on."""
    device = os.environ.get("AGNEWS_DEVICE") or "a GPU if there is one"
    return (
        f"agnews: notebooks on {os.environ['AGNEWS_DATA']}, device: {device}, "
        "network refused except loopback"
    )
