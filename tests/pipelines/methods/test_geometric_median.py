"""FPGM beyond the one-shot choice: zeroed every epoch, mixed with norms, and one by one."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.methods import METHODS, Context
from pipelines.methods.channel_norm import l2
from pipelines.methods.geometric_median import GeometricMedianSettings, _prepare, distances, most_replaceable
from pipelines.removal.absorb import absorb
from pipelines.removal.choose import groups_of
from pipelines.removal.filters import filters_of
from pipelines.removal.remove import by_filter
from pipelines.removal.soft import SoftMask
from pipelines.training import session
from pipelines.training.loop import Hooks, fit
from pipelines.training.settings import Fitting
from pipelines.training.watch import QuietWatch
from tests.pipelines.small import network, unpadded
from zoo.channel_graph import ChannelGraph
from zoo.cut import cut

QUICK = {"batch": 32, "shift": 0.0, "multiple": 1, "least": 1, "remove": 0.4, "target": "channels"}
SOFT = {**QUICK, "when": "every_epoch", "soft_epochs": 3}
IMAGES = np.random.default_rng(3).random((16, 8, 8, 1)).astype(np.float32)


def soft(model, data, **changes):
    return _prepare(model, GeometricMedianSettings(**{**SOFT, **changes}), Context(data, 0, QuietWatch()))


def zero_filters(graph, name):
    return set(np.flatnonzero(~filters_of(graph, name, folded=False).any(axis=1)))


def answers_differ(one, other):
    left, right = (model(IMAGES, training=False).numpy() for model in (one, other))
    return np.abs(left - right).max() / np.abs(left).max()


def test_chosen_filters_are_zero_after_every_epoch_stay_so_for_one_and_may_come_back(small_digits) -> None:
    """Even and odd channels by turns; Adam's momentum must not move what is zero before it is chosen anew."""
    session.open_session(0)
    model = unpadded(bias=True)
    graph = ChannelGraph.of(model)
    turns = [np.concatenate([graph.outputs_of(name)[first::2] for name in ("conv0", "conv1")]) for first in (0, 1)]
    asked: list[int] = []

    def select():
        asked.append(len(asked))
        return turns[asked[-1] % 2]

    mask = SoftMask(graph, select)
    hooks, seen = mask.hooks(), []

    def within(step):  # what the forward pass sees
        hooks.update(step)
        kernel = model.get_layer("conv0").kernel
        import tensorflow as tf

        even, odd = (tf.reduce_any(kernel[..., first::2] != 0) for first in (0, 1))
        tf.py_function(lambda *found: seen.append([bool(one) for one in found]), [even, odd], [])

    after = []

    def end():
        row = hooks.epoch_end()
        after.append(row["newly_zero"])
        chosen = turns[len(after) % 2 - 1]
        assert mask.zeroed() == set(chosen.tolist())
        for name in ("conv0", "conv1"):
            gone = np.flatnonzero(np.isin(graph.outputs_of(name), chosen))
            assert zero_filters(graph, name) >= set(gone)
            assert (model.get_layer(name).bias.numpy()[gone] == 0).all()
        assert not zero_filters(graph, "conv2")
        return row

    fit(
        model, small_digits, Fitting(epochs=3, batch=32, shift=0.0, keep="last"), QuietWatch(), seed=0,
        hooks=Hooks(within, hooks.gradients, end),
    )  # fmt: skip
    assert after == [1.0, 1.0, 1.0]
    # By update, whether even and odd filters hold anything. Those let go begin at zero and learn from then on.
    assert seen[:8] == [[True, True]] * 8
    assert seen[8:16] == [[False, True]] * 8
    assert seen[16:] == [[False, False], *[[True, False]] * 7]


def test_compact_equals_masked_with_the_shifts_of_zero_filters_at_zero(small_digits) -> None:
    """With padding too: no constant is left that a border could see."""
    session.open_session(0)
    made, mask = soft(network(), small_digits)
    model, silent = made.model, sorted(mask.zeroed())
    graph = ChannelGraph.of(model)
    assert silent
    assert made.epochs == 3
    for site in graph.sites.values():
        if site.kind == "BatchNormalization":
            gone = np.isin(graph.units[site.writes], silent)
            for weight in (site.layer.gamma, site.layer.beta):
                weight.assign(np.where(gone, 0.0, weight.numpy()))
    assert answers_differ(model, cut(graph, silent)) < 1e-5


def test_compact_equals_masked_without_padding_when_constants_are_absorbed(small_digits) -> None:
    session.open_session(0)
    made, mask = soft(unpadded(), small_digits)
    model, silent = made.model, sorted(mask.zeroed())
    graph, before = ChannelGraph.of(model), model.get_weights()
    plain = cut(graph, silent)
    report, _ = absorb(graph, silent, IMAGES)
    small = cut(graph, silent)
    model.set_weights(before)
    assert answers_differ(model, small) < 1e-5
    assert answers_differ(model, plain) > 1e-4
    assert report["absorbed"]


def test_what_was_zeroed_last_is_what_goes(small_digits) -> None:
    session.open_session(0)
    plan = GeometricMedianSettings(epochs=1, recalibration=0, **{**SOFT, "soft_epochs": 2})
    outcome = METHODS["geometric_median"].apply(unpadded(), plan, Context(small_digits, 0, QuietWatch()))
    report = outcome.report
    assert report["criterion"] == "fpgm"
    assert report["left"] <= 0.6
    assert report["validation_top1_after_cut"] == report["validation_top1_prepared"]
    assert report["soft_fit"]["epochs_done"] == 2
    assert plan.epochs_before == 2


def group_of(filters):
    """A network whose first layer has these filters (count, 9), and its group."""
    model = unpadded()
    model.get_layer("conv0").set_weights([filters.T.reshape(3, 3, 1, len(filters))])
    graph = ChannelGraph.of(model)
    groups = groups_of(graph, by_filter(graph, distances, folded=False), least=1, multiple=1)
    return graph, next(group for group in groups if group.layers == ("conv0",))


def places(graph, units):
    return {int(place) for place in np.flatnonzero(np.isin(graph.outputs_of("conv0"), units))}


@pytest.mark.parametrize("seed", range(4))
def test_mix_takes_small_norms_first_and_then_the_nearest_of_what_is_left(seed) -> None:
    filters = np.random.default_rng(seed).normal(size=(10, 9)).astype(np.float32)
    graph, group = group_of(filters)
    plain = most_replaceable(graph, group, 4, mix=0.0, greedy=False)
    assert places(graph, plain) == set(np.argsort(distances(filters))[:4])
    small = np.argsort(l2(filters))[:2]
    others = np.setdiff1d(np.arange(10), small)
    wanted = set(small) | set(others[np.argsort(distances(filters[others]))[:2]])
    assert places(graph, most_replaceable(graph, group, 4, mix=0.5, greedy=False)) == wanted


def test_one_by_one_leaves_one_of_each_equal_pair_where_at_once_takes_both() -> None:
    """Pairs 0, 1 and 2, 3 lie in the middle of six far filters."""
    draw = np.random.default_rng(1)
    far = draw.normal(size=(6, 9))
    far *= 10 / np.linalg.norm(far, axis=1, keepdims=True)
    filters = np.concatenate([[np.eye(9)[0], np.eye(9)[0], -np.eye(9)[0], -np.eye(9)[0]], far]).astype(np.float32)
    graph, group = group_of(filters)
    assert places(graph, most_replaceable(graph, group, 2, mix=0.0, greedy=False)) in ({0, 1}, {2, 3})
    one_by_one = places(graph, most_replaceable(graph, group, 2, mix=0.0, greedy=True))
    assert len(one_by_one & {0, 1}) == len(one_by_one & {2, 3}) == 1


def test_the_report_names_the_variant(small_digits) -> None:
    names = {(0.0, False): "fpgm", (0.25, False): "fpgm-mix", (0.0, True): "greedy variant of fpgm"}
    for (mix, greedy), name in names.items():
        assert GeometricMedianSettings(mix=mix, greedy=greedy).criterion == name
    session.open_session(0)
    plan = GeometricMedianSettings(epochs=1, recalibration=0, greedy=True, mix=0.25, **QUICK)
    outcome = METHODS["geometric_median"].apply(network(), plan, Context(small_digits, 0, QuietWatch()))
    assert outcome.report["criterion"] == "greedy variant of fpgm-mix"
    assert outcome.report["left"] <= 0.6
