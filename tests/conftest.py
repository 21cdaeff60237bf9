"""What several test files use: the figures' fixture, and Hypothesis without a stopwatch."""

from collections.abc import Iterator

import matplotlib as mpl
import matplotlib.pyplot as plt
import pytest
import torch
from hypothesis import HealthCheck, settings

from agnews_utils import plots

mpl.use("agg")

# By default an example that takes over 200 ms fails, on a busy machine any of them may.
settings.register_profile("course", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("course")


@pytest.fixture
def course_style() -> Iterator[None]:
    """Draw in the course's style; afterwards all is as it was, and no figure is left open."""
    with plt.rc_context():
        plots.use_course_style()
        yield
    plt.close("all")


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Compute on one thread: on tiny arrays a second one would only wait for the first."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
