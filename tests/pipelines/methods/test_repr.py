"""Drop and relearn: dropped filters stay silent while the rest trains and come back orthogonal to it."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.training.watch import QuietWatch
from tests.pipelines.small import DyingWatch, network, shaped

PLAN = {"epochs": 2, "cycles": 2, "full_epochs": 1, "part_epochs": 1, "drop": 0.25}
RANKED = ["stage1_1_pointwise_conv", "stage1_2_pointwise_conv"]


@pytest.fixture(scope="module")
def watched(small_digits):
    from pipelines.training import loop

    found, plain = {}, loop.fit

    def noted(model, data, plan, *rest, label, **named):
        begin = {layer.name: layer.get_weights() for layer in model.layers}
        report = plain(model, data, plan, *rest, label=label, **named)
        found[label] = (begin, {layer.name: layer.get_weights() for layer in model.layers}, plan)
        return report

    model = network()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "fit", noted)
        outcome = shaped("repr", model, small_digits, **PLAN)
    return model, outcome, found


def test_phases_alternate_and_only_the_last_picks_an_epoch(watched) -> None:
    model, outcome, found = watched
    assert list(found) == ["repr_1_full", "repr_1_part", "repr_2_full", "repr_2_part", "repr_final"]
    assert [plan.keep for _, _, plan in found.values()] == ["last"] * 4 + ["best"]
    assert outcome.model.count_params() == model.count_params()
    assert outcome.report["ranked_filters"] == 64
    assert [row["dropped"] for row in outcome.report["cycles"]] == [16, 16]
    assert outcome.report["epochs_in_all"] == 6
    assert not any(np.any(np.all(w[0] == 0, axis=(0, 1, 2))) for n, w in found["repr_final"][1].items() if n in RANKED)


def test_dropped_filters_stay_silent_and_come_back_orthogonal(watched) -> None:
    _, outcome, found = watched
    begin, end, _ = found["repr_1_part"]
    back = found["repr_2_full"][0]
    was = found["repr_1_full"][1]
    gone_in_all = 0
    for name in RANKED:
        rows = {key: kernels[name][0].reshape(-1, 32).T for key, kernels in
                (("begin", begin), ("end", end), ("back", back), ("was", was))}  # fmt: skip
        gone = (rows["begin"] == 0).all(axis=1)
        gone_in_all += gone.sum()
        norm = name.replace("conv", "norm")
        assert (rows["end"][gone] == 0).all()
        assert (end[norm][0][gone] == 0).all()
        assert (end[norm][1][gone] == 0).all()
        assert (np.abs(rows["end"] - rows["begin"])[~gone].max(axis=1) > 0).all()
        if name == RANKED[0]:
            assert np.array_equal(rows["back"][~gone], rows["end"][~gone])
        for place, value in enumerate((1, 0, 0, 1)):
            assert (back[norm][place][gone] == value).all()
        if gone.any():
            new = rows["back"][gone] / np.linalg.norm(rows["back"][gone], axis=1, keepdims=True)
            others = np.concatenate([rows["back"][~gone], rows["was"][gone]])
            cosines = np.abs(new @ (others / np.linalg.norm(others, axis=1, keepdims=True)).T)
            room = max(0, others.shape[1] - np.linalg.matrix_rank(others))
            assert (np.sort(cosines.max(axis=1))[:room] < 1e-4).all()
        reader = RANKED[1] if name == RANKED[0] else "logits"
        if reader == RANKED[1] and gone.any():
            # Kept filters of the next layer read the new inputs with untrained weights, the rest as before.
            kept = ~(begin[RANKED[1]][0] == 0).all(axis=(0, 1, 2))
            changed = (back[reader][0] != end[reader][0])[0, 0][:, kept]
            assert changed[gone].all()
            assert not changed[~gone].any()
    assert gone_in_all == outcome.report["cycles"][0]["dropped"]


def test_too_small_a_drop_is_refused_before_training(small_digits) -> None:
    with pytest.raises(ValueError, match=r"drop = 0\.01 of 64 filters is less than one"):
        shaped("repr", network(), small_digits, drop=0.01)


@pytest.mark.slow
def test_a_resumed_training_ends_like_an_uninterrupted_one(small_digits, monkeypatch, tmp_path) -> None:
    from pipelines.training import loop

    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", -1.0)
    plan = {**PLAN, "part_epochs": 2}
    with pytest.raises(KeyboardInterrupt):
        shaped("repr", network(), small_digits, DyingWatch(tmp_path, "repr_2_part", 2), **plan)
    resumed = shaped("repr", network(), small_digits, QuietWatch(tmp_path), **plan)
    whole = shaped("repr", network(), small_digits, **plan)
    for one, other in zip(resumed.model.get_weights(), whole.model.get_weights(), strict=True):
        assert np.array_equal(one, other)
