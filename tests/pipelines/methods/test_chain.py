"""Zeros and shared values survive from step to step, down to the bytes of the int8 file."""

from __future__ import annotations

import pytest

from exports import WeightFacts, save_model, weight_facts, write
from pipelines.clusters import distinct
from pipelines.kernels import zeros_of
from tests.pipelines.small import shaped

WIDE = ["stage1_1_pointwise_conv", "stage1_2_pointwise_conv"]


@pytest.fixture(scope="module")
def clustered(learned, small_digits):
    pruned = shaped("magnitude", learned, small_digits, sparsity=0.6).model
    model = shaped("clustering", pruned, small_digits, clusters=6).model
    for name in WIDE:
        assert zeros_of(model.get_layer(name)) == pytest.approx(0.6, abs=0.01)
        assert distinct(model.get_layer(name).kernel.numpy())[0] <= 6
    return model


def in_the_file(model, data, folder) -> dict[str, WeightFacts]:
    save_model(model, folder / "model.h5")
    written = write(folder / "model.h5", "tflite_int8", folder, name="m", labels=data.classes,
                    calibration=data.splits["train"].images[:64], int8_aware=True)  # fmt: skip
    facts = weight_facts(written.path.read_bytes())
    assert len(facts) == 5
    assert {fact.dtype for fact in facts} == {"int8"}
    return {name: next(fact for fact in facts if name in fact.name) for name in WIDE}


def test_pruned_clustered_and_int8_aware_trained_the_file_has_the_zeros_and_the_values(
    clustered, small_digits, tmp_path
) -> None:
    aware = shaped("int8_aware", clustered, small_digits, calibration_images=64, learning_rate=2e-3)
    assert aware.report["kernels_with_zeros_held"] >= 2
    assert aware.report["kernels_with_values_held"] == 2
    kernels = [variable for variable in aware.model.trainable_variables if f"{WIDE[0]}/kernel" in variable.name]
    assert (kernels[0].numpy() != clustered.get_layer(WIDE[0]).kernel.numpy()).any()  # they were trained
    for name, fact in in_the_file(aware.model, small_digits, tmp_path).items():
        assert fact.zeros >= zeros_of(clustered.get_layer(name)) - 1e-9
        assert fact.distinct_in_a_channel <= 6
        assert fact.distinct > 6  # every channel has its own scale


@pytest.mark.slow
def test_without_holding_them_both_are_trained_away(clustered, small_digits, tmp_path) -> None:
    aware = shaped(
        "int8_aware", clustered, small_digits, calibration_images=64, learning_rate=2e-3, keep_zeros="never",
        keep_clusters="never",
    )  # fmt: skip
    assert aware.report["kernels_with_values_held"] == 0
    for fact in in_the_file(aware.model, small_digits, tmp_path).values():
        assert fact.zeros < 0.5
        assert fact.distinct_in_a_channel > 6
