"""What holds for all tests: the largest networks go one after the other, two of them at once want more than 24 GB."""

from __future__ import annotations

import pytest

LARGE = ("vgg", "alexnet")


@pytest.hookimpl(tryfirst=True)  # before the workers read the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("slow") and any(name in item.nodeid for name in LARGE):
            item.add_marker(pytest.mark.xdist_group("large"))
