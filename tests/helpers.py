"""Small things that several tests share."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def full_data_folder() -> Path:
    """Return the folder with real AG News rows, or skip the test and say why."""
    candidates = [os.environ.get("AGNEWS_FULL_DATA"), ROOT / "data" / "ag_news",
                  ROOT.parent / "shared" / "data" / "ag_news"]  # fmt: skip
    for candidate in filter(None, candidates):
        if (Path(candidate) / "test.csv").exists():
            return Path(candidate)
    pytest.skip("no AG News here: run `make data`, or set AGNEWS_FULL_DATA to its folder")
