"""Small things that several tests share."""

import os
import time
from collections.abc import Callable
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


def assert_linear(
    function: Callable[[str], object], text: Callable[[int], str], length: int = 10_000
) -> None:
    """Fail if a function takes longer than in proportion to the length of its text.

    Not seconds are judged but how they grow, so the machine does not matter: eight times the length
    takes about 8 times as long if the function is linear, 64 times if it is quadratic. A busy
    moment spoils one attempt; a function that is not linear fails in all of them.
    """
    resolution = time.get_clock_info("process_time").resolution

    def seconds(size: int) -> float:
        long_text, least = text(size), float("inf")
        for _ in range(3):
            started = time.process_time()
            function(long_text)
            least = min(least, time.process_time() - started)
        return max(least, resolution)

    ratios: list[float] = []
    while len(ratios) < 5:
        ratios.append(seconds(8 * length) / seconds(length))
        if ratios[-1] < 20:
            return
    pytest.fail(f"8 times the text takes {min(ratios):.0f} times as long")
