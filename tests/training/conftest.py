"""What the tests of the training engine share."""

import pytest
import torch

from tests.training.small_run import make_loader, make_rows


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Tiny arrays: a second thread would only wait for the first."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def rows():
    return make_rows(90)


@pytest.fixture(scope="module")
def valid():
    return make_loader(make_rows(30, seed=9), shuffle=False)
