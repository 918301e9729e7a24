import pytest

from tests.pipelines.small import digits


@pytest.fixture(scope="session")
def cache_folder(tmp_path_factory):
    return tmp_path_factory.mktemp("data-cache")


@pytest.fixture(scope="session")
def small_digits(cache_folder):
    return digits(cache_folder)
