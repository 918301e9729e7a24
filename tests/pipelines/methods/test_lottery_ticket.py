"""Tickets: nested masks of exact density, rounds that begin bit-equal to the start, controls at the same density."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from pipelines.kernels import kernel_layers
from pipelines.methods import METHODS
from pipelines.methods.lottery_ticket import largest, pruned
from pipelines.training.watch import QuietWatch
from tests.pipelines.small import DyingWatch, shaped

KERNELS = arrays.arrays(np.float32, (5, 8), elements=st.floats(-2, 2, width=16))
PLAN = {"epochs": 1, "rounds": 3, "control_reinit": True, "control_random": True, "control_one_shot": True}


@settings(deadline=None, max_examples=60)
@given(first=KERNELS, second=KERNELS, rate=st.floats(0.05, 0.9))
def test_masks_are_nested_keep_the_largest_and_shrink_by_the_rate(first, second, rate) -> None:
    masks = {"layer": np.ones((5, 8), bool)}
    for kernel in (first, second):
        after = pruned(masks, {"layer": kernel}, {"layer": rate})
        before, now = masks["layer"], after["layer"]
        assert (before | now == before).all()
        assert now.sum() == max(1, before.sum() - round(rate * before.sum()))
        gone = before & ~now
        if gone.any():
            assert np.abs(kernel[gone]).max() <= np.abs(kernel[now]).min()
        masks = after


def test_ties_do_not_change_the_count() -> None:
    assert largest(np.zeros((4, 4)), np.ones((4, 4), bool), 5).sum() == 5


@pytest.fixture(scope="module")
def watched(learned, small_digits):
    """A ticket of three rounds with controls, and the weights each of its trainings began and ended with."""
    from pipelines.training import loop

    found = {}
    plain = loop.fit

    def noted(model, *rest, label, **named):
        begin = {layer.name: layer.get_weights() for layer in model.layers}
        report = plain(model, *rest, label=label, **named)
        found[label] = (begin, {layer.name: layer.get_weights() for layer in model.layers}, named)
        return report

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "fit", noted)
        outcome = shaped("lottery_ticket", learned, small_digits, **PLAN)
    return outcome, found


def test_every_round_begins_where_the_first_one_began(watched, learned) -> None:
    _, found = watched
    names = [layer.name for layer in kernel_layers(learned)]
    start = found["ticket_0"][0]
    assert not np.array_equal(start["stem_conv"][0], learned.get_layer("stem_conv").get_weights()[0])
    before = {name: np.ones_like(start[name][0], bool) for name in names}
    for number in (1, 2, 3):
        begin, end, named = found[f"ticket_{number}"]
        assert named["seed"] == found["ticket_0"][2]["seed"]
        for name, weights in begin.items():
            alive = weights[0] != 0 if name in names else ...
            for place, (one, first) in enumerate(zip(weights, start[name], strict=True)):
                same = alive if place == 0 else ...
                assert np.array_equal(one[same], first[same]), (number, name)
        for name in names:
            alive = begin[name][0] != 0
            assert not (alive & ~before[name]).any()
            assert (end[name][0][~alive] == 0).all()
            assert not np.array_equal(end[name][0][alive], begin[name][0][alive])
            before[name] = alive


def test_density_is_that_of_the_rate_and_half_of_it_in_the_classifier(watched) -> None:
    outcome, _ = watched
    for layer in kernel_layers(outcome.model):
        kernel = layer.kernel.numpy()
        rate = 0.1 if layer.name == "logits" else 0.2
        # Every round rounds to whole weights.
        assert np.mean(kernel != 0) == pytest.approx((1 - rate) ** 3, abs=2 / kernel.size)
    curve = outcome.report["curve"]
    assert [point["round"] for point in curve] == [0, 1, 2, 3]
    assert curve[0]["density"] == 1
    assert curve[3]["density"] == pytest.approx(outcome.report["density"])
    assert outcome.report["left_dense"] == ["stage1_1_depthwise_conv"]


def test_controls_differ_from_the_ticket_in_one_thing_each(watched, learned) -> None:
    outcome, found = watched
    assert set(outcome.report["curve"][3]) == {"round", "density", "ticket", "reinit", "random", "one_shot"}
    assert set(outcome.report["curve"][2]) == {"round", "density", "ticket"}
    ticket = found["ticket_3"][0]
    for layer in kernel_layers(learned):
        alive = ticket[layer.name][0] != 0
        other = {name: found[f"ticket_3_{name}"][0][layer.name][0] for name in ("reinit", "random", "one_shot")}
        assert all((kernel != 0).sum() == alive.sum() for kernel in other.values())
        assert ((other["reinit"] != 0) == alive).all()
        assert np.mean(other["reinit"][alive] == ticket[layer.name][0][alive]) < 0.01
        start = found["ticket_0"][0][layer.name][0]
        assert ((other["random"] == start) | (other["random"] == 0)).all()
        assert ((other["one_shot"] == start) | (other["one_shot"] == 0)).all()
        assert ((other["random"] != 0) != alive).any()


def test_late_rewinding_begins_from_trained_weights_with_their_statistics(learned, small_digits) -> None:
    from pipelines.training import loop

    begins, plain = {}, loop.fit

    def noted(model, *rest, label, **named):
        begins[label] = [value.copy() for value in model.get_weights()]
        report = plain(model, *rest, label=label, **named)
        begins[f"{label} after"] = [value.copy() for value in model.get_weights()]
        return report

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "fit", noted)
        shaped("lottery_ticket", learned, small_digits, epochs=1, rounds=1, rewind_epochs=2, control_reinit=False)
    for one, other in zip(begins["ticket_rewind after"], begins["ticket_0"], strict=True):
        assert np.array_equal(one, other)
    for one, other in zip(begins["ticket_0"], begins["ticket_1"], strict=True):
        assert ((one == other) | (other == 0)).all()
    assert not np.array_equal(begins["ticket_rewind"][1], begins["ticket_1"][1])


@pytest.mark.slow
def test_a_resumed_ticket_ends_like_an_uninterrupted_one(learned, small_digits, monkeypatch, tmp_path) -> None:
    from pipelines.training import loop

    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", -1.0)
    plan = {"epochs": 2, "rounds": 2, "control_reinit": False}
    with pytest.raises(KeyboardInterrupt):
        shaped("lottery_ticket", learned, small_digits, DyingWatch(tmp_path, "ticket_1", 2), **plan)
    resumed = shaped("lottery_ticket", learned, small_digits, QuietWatch(tmp_path), **plan)
    whole = shaped("lottery_ticket", learned, small_digits, **plan)
    assert [point["ticket"] for point in resumed.report["curve"]] == [p["ticket"] for p in whole.report["curve"]]
    for one, other in zip(resumed.model.get_weights(), whole.model.get_weights(), strict=True):
        assert np.array_equal(one, other)


def test_networks_without_kernels_or_with_learned_groups_are_refused(small_digits) -> None:
    import zoo
    from zoo.keras import keras

    image = keras.Input((8, 8, 1))
    empty = keras.Model(image, keras.layers.GlobalAveragePooling2D()(image))
    with pytest.raises(ValueError, match="nothing to draw tickets from"):
        shaped("lottery_ticket", empty, small_digits)
    grouped = zoo.build("flgc", width=0.25, resolution=8, classes=10, channels=1, form="train")
    with pytest.raises(ValueError, match="learns which inputs it keeps"):
        shaped("lottery_ticket", grouped, small_digits)


def test_all_trainings_count_for_estimates() -> None:
    plan = METHODS["lottery_ticket"].settings(epochs=3, rounds=4, rewind_epochs=2, control_random=True)
    assert plan.all_epochs == 2 + 3 * (1 + 4 + 2)
    assert plan.model_copy(update={"control_rounds": True}).all_epochs == 2 + 3 * (1 + 4 + 8)
