"""The regression of kernels' times, on times that are known."""

from __future__ import annotations

import json

import numpy as np
import pytest

from exports.kernel_files import KINDS, Kernel
from exports.latency_model import (
    MOST_CELLS,
    MOST_MACS,
    MOST_WEIGHTS,
    LatencyModel,
    as_plain,
    from_plain,
    learn,
    routine_of,
    sample_kernels,
    whole_network,
    with_networks,
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


def test_what_networks_add_to_their_kernels_is_found(model):
    draw = np.random.default_rng(0)
    kernels = unseen("conv") + unseen("add")
    networks = []
    for _ in range(30):
        chosen = [kernels[at] for at in draw.choice(len(kernels), 12)]
        alone = whole_network(model, chosen, 0.0)
        networks.append(alone._replace(ms=1.3 * alone.alone_ms + 2e-7 * alone.weights + model.call_ms))
    found = with_networks(model, networks)
    assert found.slower == pytest.approx(1.3)
    assert found.weight_ms == pytest.approx(2e-7)
    assert found.predict(chosen) == pytest.approx(networks[-1].ms)


def test_weights_that_cost_nothing_are_not_paid_back(model):
    kernels = [unseen("conv")[at : at + 12] for at in (0, 12, 24)]
    networks = [whole_network(model, some, 0.0) for some in kernels]
    found = with_networks(model, [one._replace(ms=one.alone_ms - 1e-9 * one.weights) for one in networks])
    assert found.weight_ms == pytest.approx(0.0, abs=1e-11)


def test_convolutions_are_learnt_by_the_way_they_are_computed():
    assert [
        routine_of(Kernel("conv", 8, (16,), 16, window=window, groups=groups))
        for window, groups in ((1, 1), (3, 1), (1, 4), (3, 4))
    ] == ["pointwise", "conv", "grouped", "grouped"]
    assert routine_of(Kernel("depthwise", 8, (16,), 16, window=3)) == "depthwise"


def test_a_model_comes_back_from_its_text(model):
    kernels = unseen("conv")[:20] + unseen("add")[:20]
    model = with_networks(model, [whole_network(model, kernels, 2.0)])
    again = from_plain(json.loads(json.dumps(as_plain(model))))
    np.testing.assert_allclose(again.parts(kernels), model.parts(kernels), rtol=1e-12)
    assert again.call_ms == model.call_ms
