import pytest

from pipelines.training import session
from pipelines.training.watch import QuietWatch
from tests.pipelines.small import network


@pytest.fixture(scope="session")
def learned(small_digits):
    """The small network after six epochs on 256 digits; tests must not change it."""
    from pipelines.training.loop import fit
    from pipelines.training.settings import Fitting

    session.open_session(0)
    model = network()
    fit(model, small_digits, Fitting(epochs=6, batch=32, learning_rate=5e-3, shift=0.0), QuietWatch(), seed=0)
    return model
