"""Training before a cut that is stopped in the middle of an epoch ends with the same bits after a resume."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.methods import Context, geometric_median, ista_gamma, network_slimming
from pipelines.training import checkpoint, session
from pipelines.training.watch import QuietWatch
from tests.pipelines.small import network

SHORT = {"batch": 32, "multiple": 1, "least": 1, "remove": 0.3, "target": "channels"}
PLANS = {
    "sparse-slimming": lambda context: network_slimming.prepare(
        network(dropout=0.2), network_slimming.NetworkSlimmingSettings(sparse_epochs=4, **SHORT), context
    ),
    "sparse-ista": lambda context: ista_gamma.prepare(
        network(dropout=0.2), ista_gamma.IstaGammaSettings(sparse_epochs=4, penalty=1.0, **SHORT), context
    ),
    "soft": lambda context: geometric_median._prepare(
        network(dropout=0.2),
        geometric_median.GeometricMedianSettings(when="every_epoch", soft_epochs=4, **SHORT),
        context,
    )[0],
}


class StopAfter(QuietWatch):
    def __init__(self, folder, checks):
        super().__init__(folder)
        self.left = checks

    def check(self):
        self.left -= 1
        if self.left < 0:
            raise InterruptedError


@pytest.mark.parametrize("name", PLANS)
def test_resumed_preparation_ends_with_bit_equal_weights_and_report(name, small_digits, tmp_path, monkeypatch):
    monkeypatch.setattr("pipelines.training.loop.CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr("pipelines.training.loop.CHUNK_SECONDS", 0.0)  # one update per call: the stop is mid-epoch
    session.open_session(0)
    prepare = PLANS[name]
    whole = prepare(Context(small_digits, 0, QuietWatch()))
    with pytest.raises(InterruptedError):
        prepare(Context(small_digits, 0, StopAfter(tmp_path, 17)))
    saved = checkpoint.load(tmp_path / f"{name.split('-')[0]}.npz")
    assert saved is not None
    assert 0 < saved.report["epochs_done"] < 4
    resumed = prepare(Context(small_digits, 0, QuietWatch(tmp_path)))
    pairs = zip(whole.model.get_weights(), resumed.model.get_weights(), strict=True)
    assert all(np.array_equal(one, other) for one, other in pairs)
    fits = [made.report[f"{name.split('-')[0]}_fit"] for made in (whole, resumed)]
    assert fits[0]["history"] == fits[1]["history"]
    assert fits[1]["resumed_from_epoch"] == saved.report["epochs_done"]
    for key in whole.report.keys() - {"sparse_fit", "soft_fit"}:
        assert whole.report[key] == resumed.report[key], key
