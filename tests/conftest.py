"""What holds for all tests: one thread for each worker, and the largest networks one after the other.

Two workers whose TensorFlow has two threads each wait for one another on two cores: small networks train up to four
times slower. Two of the largest networks at once want more than 24 GB.
"""

from __future__ import annotations

import os

import pytest

if "PYTEST_XDIST_WORKER" in os.environ:  # before anything imports TensorFlow; child processes inherit it
    for name in ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS", "LITESMITH_THREADS"):
        os.environ.setdefault(name, "1")

LARGE = ("vgg", "alexnet")


@pytest.hookimpl(tryfirst=True)  # before the workers read the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("slow") and any(name in item.nodeid for name in LARGE):
            item.add_marker(pytest.mark.xdist_group("large"))
