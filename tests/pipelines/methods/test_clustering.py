"""Shared values: counted in the result, trained as one, zeros kept, and what cannot be shared refused."""

from __future__ import annotations

import gzip

import numpy as np
import pytest

from pipelines.clusters import distinct
from pipelines.methods import METHODS
from pipelines.training.held import SharedValues
from pipelines.training.watch import QuietWatch
from tests.pipelines.small import DyingWatch, shaped

WIDE = ["stage1_1_pointwise_conv", "stage1_2_pointwise_conv"]


@pytest.mark.parametrize("per_channel", [False, True])
def test_every_kernel_has_at_most_so_many_values_also_without_a_bias(learned, small_digits, per_channel) -> None:
    outcome = shaped("clustering", learned, small_digits, clusters=6, per_channel=per_channel, learning_rate=1e-3)
    assert [row["layer"] for row in outcome.report["layers"]] == WIDE
    for row in outcome.report["layers"]:
        kernel = outcome.model.get_layer(row["layer"]).kernel.numpy()
        assert not outcome.model.get_layer(row["layer"]).use_bias
        whole, channel = distinct(kernel)
        assert (row["distinct"], row["distinct_in_a_channel"]) == (whole, channel)
        assert channel == 6
        assert whole == 6 if not per_channel else whole > 6
        # The values were trained, not only found.
        assert not np.isin(kernel, learned.get_layer(row["layer"]).kernel.numpy()).all()
    assert outcome.report["skipped"] == {
        "stem_conv": "first or last", "logits": "first or last", "stage1_1_depthwise_conv": "depthwise",
    }  # fmt: skip
    assert outcome.report["validation_top1_after"] > outcome.report["validation_top1_before"] - 0.1
    assert any("no channel was removed" in warning for warning in outcome.warnings)


def test_clustered_kernels_compress_and_ordinary_ones_do_not(learned, small_digits) -> None:
    outcome = shaped("clustering", learned, small_digits, clusters=16)
    kernel = outcome.model.get_layer(WIDE[1]).kernel.numpy()
    before = learned.get_layer(WIDE[1]).kernel.numpy()
    # 16 values are 4 of 32 bits; gzip comes near it.
    assert len(gzip.compress(kernel.tobytes(), 9)) < 0.35 * kernel.nbytes
    assert len(gzip.compress(before.tobytes(), 9)) > 0.85 * before.nbytes


def test_zeros_of_a_pruned_model_stay_and_count_as_a_value(learned, small_digits) -> None:
    pruned = shaped("magnitude", learned, small_digits, sparsity=0.6).model
    kept = shaped("clustering", pruned, small_digits, clusters=5)
    for name in WIDE:
        kernel, before = kept.model.get_layer(name).kernel.numpy(), pruned.get_layer(name).kernel.numpy()
        assert (kernel[before == 0] == 0).all()
        assert distinct(kernel)[0] <= 5
    assert kept.report["kernels_with_zeros_held"] == 2
    loose = shaped("clustering", pruned, small_digits, clusters=4, preserve_sparsity="never", learning_rate=1e-3)
    assert loose.report["kernels_with_zeros_held"] == 0
    assert np.mean(loose.model.get_layer(WIDE[0]).kernel.numpy() == 0) < 0.5


@pytest.mark.parametrize("gradient", ["sum", "average"])
def test_a_value_gets_the_gradient_of_all_its_weights(gradient) -> None:
    from zoo.keras import tf

    variable = tf.Variable([[0.0, 1.0], [1.0, 2.0]])
    held = SharedValues([(variable, np.array([[0, 1], [1, 2]]))], gradient)
    (found,) = held.gradients([tf.constant([[5.0, 1.0], [3.0, 7.0]])], [variable])
    middle = 4.0 if gradient == "sum" else 2.0
    assert found.numpy().tolist() == [[0.0, middle], [middle, 7.0]]
    variable.assign([[0.5, 1.0], [1.5, 2.0]])
    held.hold()
    assert variable.numpy().tolist() == [[0.0, 1.0], [1.0, 2.0]]


def test_more_values_than_weights_are_refused_before_training(learned, small_digits) -> None:
    with pytest.raises(ValueError, match=r"clusters = 256: no kernel can share so many.*16 weights a channel"):
        shaped("clustering", learned, small_digits, clusters=256, per_channel=True)
    with pytest.raises(ValueError, match="less than or equal to 256"):
        METHODS["clustering"].settings(clusters=1000)


def test_a_resumed_clustering_ends_like_an_uninterrupted_one(learned, small_digits, monkeypatch, tmp_path) -> None:
    from pipelines.training import loop

    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", -1.0)
    plan = {"epochs": 4, "clusters": 4, "learning_rate": 1e-3}
    with pytest.raises(KeyboardInterrupt):
        shaped("clustering", learned, small_digits, DyingWatch(tmp_path, "cluster", 3), **plan)
    resumed = shaped("clustering", learned, small_digits, QuietWatch(tmp_path), **plan)
    assert resumed.report["fit"]["resumed_from_epoch"] == 2
    whole = shaped("clustering", learned, small_digits, **plan)
    for one, other in zip(resumed.model.get_weights(), whole.model.get_weights(), strict=True):
        assert np.array_equal(one, other)
