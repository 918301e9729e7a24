"""The regression of kernels' times, on times that are known."""

from __future__ import annotations

import json
from functools import partial

import numpy as np
import pytest

from exports.kernel_files import KINDS, Kernel, kernel_file
from exports.latency_model import (
    MOST_CELLS,
    MOST_MACS,
    MOST_WEIGHTS,
    LatencyModel,
    as_plain,
    from_plain,
    learn,
    sample_kernels,
    time_files,
    with_factors,
)

CALL_MS = 0.002


def takes(kernel: Kernel) -> float:
    """A machine of 10 multiply-adds and half a number moved in a nanosecond."""
    return CALL_MS + kernel.macs / 1e7 + (kernel.read + kernel.written + kernel.weights) / 5e5


@pytest.fixture(scope="module")
def model() -> LatencyModel:
    kernels = [one for one in sample_kernels(1) if one.kind in ("conv", "add")]
    return learn([(one, takes(one)) for one in kernels])


def unseen(kind: str) -> list[Kernel]:
    return [one for one in sample_kernels(2) if one.kind == kind]


def test_samples_cover_every_kind_within_bounds_and_are_the_same_each_time():
    kernels = sample_kernels(0)
    assert {one.kind for one in kernels} == set(KINDS)
    assert kernels == sample_kernels(0) != sample_kernels(1)
    assert max(one.macs for one in kernels) <= MOST_MACS
    assert max(one.read + one.written for one in kernels) <= MOST_CELLS
    assert max(one.weights for one in kernels) <= MOST_WEIGHTS


@pytest.mark.parametrize(("kind", "most"), [("conv", 0.08), ("add", 0.03)])
def test_kernels_that_were_not_timed_are_predicted(model, kind, most):
    kernels = unseen(kind)
    errors = np.array([model.predict([one]) / takes(one) - 1 for one in kernels])
    assert np.median(np.abs(errors)) < most


def test_a_network_takes_as_long_as_its_kernels_and_one_call(model):
    parts = unseen("conv")[:5]
    assert model.predict(parts) == pytest.approx(sum(model.parts(parts)) + model.call_ms)
    assert model.predict([]) == model.call_ms


def test_what_networks_do_to_a_kind_is_found(model):
    draw = np.random.default_rng(0)
    kernels = unseen("conv") + unseen("add")
    whole = []
    for _ in range(30):
        chosen = [kernels[at] for at in draw.choice(len(kernels), 12)]
        own = model.parts(chosen)
        times = sum(ms * (1.5 if one.kind == "conv" else 0.6) for one, ms in zip(chosen, own, strict=True))
        whole.append((chosen, times + model.call_ms))
    found = with_factors(model, whole).factors
    assert found["conv"] == pytest.approx(1.5, rel=0.05)
    assert found["add"] == pytest.approx(0.6, rel=0.2)


def test_a_model_comes_back_from_its_text(model):
    kernels = unseen("conv")[:20] + unseen("add")[:20]
    model = with_factors(model, [(kernels, 2.0)])
    again = from_plain(json.loads(json.dumps(as_plain(model))))
    np.testing.assert_allclose(again.parts(kernels), model.parts(kernels), rtol=1e-12)
    assert again.call_ms == model.call_ms


def test_more_work_takes_longer_in_the_real_runtime():
    told: list[tuple[int, int]] = []
    files = [partial(kernel_file, Kernel("conv", side, (64,), 64, window=3)) for side in (4, 32)]
    small, large = time_files(files, passes=2, progress=lambda done, total: told.append((done, total)))
    assert 0 < small < large
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]
