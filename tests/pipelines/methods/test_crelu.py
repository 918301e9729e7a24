"""Half the filters of early layers, counted in the result; exact pairs lose nothing; bad wishes are refused."""

from __future__ import annotations

import numpy as np
import pytest

import zoo
from tests.pipelines.small import network, shaped


def test_the_first_third_is_halved_and_the_report_counts_the_result(learned, small_digits) -> None:
    outcome = shaped("crelu", learned, small_digits, recalibration=4)
    report = outcome.report
    assert [(row["layers"], row["channels"], row["kept"]) for row in report["layers"]] == [(["stem_conv"], 16, 8)]
    cost = zoo.cost_of(zoo.sketch_of(outcome.model))
    assert (report["params_after"], report["macs_after"]) == (cost.params, cost.macs)
    # 4x4 places: 8 of 16 filters of 9 weights go, 16 signs come.
    assert report["macs_before"] - report["macs_after"] == 16 * (8 * 9 - 16)
    signs = outcome.model.get_layer("stem_conv_signs").get_weights()[0]
    assert (signs == np.tile([1.0, -1.0], (1, 1, 8, 1))).all()  # never trained
    assert report["validation_top1_after"] > report["validation_top1_before"] - 0.1


def test_exact_pairs_lose_nothing_and_int8_aware_training_takes_the_result(small_digits) -> None:
    from zoo import int8_aware

    model = network()
    for name in ("stem_conv", "stage1_1_pointwise_conv"):
        kernel = model.get_layer(name).get_weights()[0]
        kernel[..., 1::2] = -kernel[..., ::2]
        model.get_layer(name).set_weights([kernel])
    outcome = shaped(
        "crelu", model, small_digits, layers="stem_*, stage1_1_point*", recalibration=0, learning_rate=1e-12, epochs=1
    )
    assert [row["similarity"] for row in outcome.report["layers"]] == pytest.approx([1, 1])
    assert outcome.report["validation_top1_after_cut"] == outcome.report["validation_top1_before"]
    assert not int8_aware.check(outcome.model)


def test_layers_that_do_not_exist_or_cannot_be_halved_are_refused(learned, small_digits) -> None:
    from zoo.keras import keras

    with pytest.raises(ValueError, match=r"layers = 'stage9_\*' fits no convolution that can be halved: stem_conv"):
        shaped("crelu", learned, small_digits, layers="stage9_*")
    image = keras.Input((8, 8, 1))
    bare = keras.Model(image, keras.layers.Dense(10)(keras.layers.Flatten()(keras.layers.Conv2D(8, 3)(image))))
    with pytest.raises(ValueError, match="no convolution of this model can be halved"):
        shaped("crelu", bare, small_digits)


@pytest.mark.slow
def test_its_int8_files_agree_with_it(learned, small_digits, tmp_path) -> None:
    from exports import gate, save_model, write
    from pipelines.training.loop import predictor

    outcome = shaped("crelu", learned, small_digits, recalibration=4, layers="stem_*, stage1_2_*")
    aware = shaped("int8_aware", outcome.model, small_digits, calibration_images=64)
    images = small_digits.splits["validation"].images
    for name, made in (("plain.keras", outcome), ("aware.h5", aware)):
        save_model(made.model, tmp_path / name)
        written = write(
            tmp_path / name, "tflite_int8", tmp_path, name=name[:5], labels=small_digits.classes,
            calibration=small_digits.splits["train"].images[:64], int8_aware=made.int8_aware,
        )  # fmt: skip
        report = gate(written.path, written.contract, images, predictor(made.model)(images), None)
        assert report.passed, report.cause
