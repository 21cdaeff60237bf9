"""What several test files use: the figures' fixture, and Hypothesis without a stopwatch."""

from collections.abc import Iterator

import matplotlib as mpl
import matplotlib.pyplot as plt
import pytest
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
