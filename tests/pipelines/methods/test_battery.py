"""Every method of the catalogue through the same checks, for real on 256 digits."""

import numpy as np
import pytest

import zoo
from exports import gate, load_model, save_model, write_many
from exports.checks import Limits
from pipelines.method import LookedOver
from pipelines.methods import METHODS, Context, method
from pipelines.removal.settings import RemovalSettings
from pipelines.settings import fields_of
from pipelines.training import session
from pipelines.training.loop import predictor
from pipelines.training.watch import QuietWatch
from tests.pipelines.small import network

# Files before and after are written once, for channel_norm: that part is the same for all.
CUT = {"batch": 32, "multiple": 4, "least": 4, "recalibration": 8, "compare_files": False}
QUICK = {
    "supervised": {"epochs": 2, "batch": 32},
    "repr": {"epochs": 1, "batch": 32, "cycles": 1, "full_epochs": 1, "part_epochs": 1},
    "defensive": {"epochs": 2, "batch": 32},
    "hinton": {"epochs": 1, "batch": 32, "teacher": "mobilenet_v1", "teacher_width": 0.1, "teacher_epochs": 1},
    "magnitude": {"epochs": 2, "batch": 32, "sparsity": 0.6},
    "clustering": {"epochs": 2, "batch": 32},
    "lottery_ticket": {"epochs": 1, "batch": 32, "rounds": 1, "control_reinit": False},
    "channel_norm": {"epochs": 2, "batch": 32, "multiple": 4, "least": 4, "recalibration": 8},
    "geometric_median": {**CUT, "epochs": 2},
    "collaborative": {**CUT, "epochs": 2, "images": 64},
    "kernel_entropy": {**CUT, "epochs": 2, "cluster": True},
    "adversarial": {**CUT, "epochs": 2, "mask_epochs": 2, "mask_every": 1, "discriminator": 0.1},
    "network_slimming": {**CUT, "epochs": 1, "sparse_epochs": 2},
    "ista_gamma": {**CUT, "epochs": 1, "sparse_epochs": 3, "penalty": 1.0},
    "random": {**CUT, "epochs": 2},
    "main_subsidiary": {"epochs": 1, "batch": 32, "recalibration": 8, "mask_rate": 0.05},
    "crelu": {"epochs": 2, "batch": 32, "recalibration": 8},
    "learned_groups": {"epochs": 2, "batch": 32},
    "fully_learned_groups": {"epochs": 2, "batch": 32},
    "svd": {"epochs": 1, "batch": 32, "multiple": 4, "budget": 0.9, "recalibration": 8},
    "spatial_svd": {"epochs": 1, "batch": 32, "multiple": 1, "budget": 0.97, "skip_ends": False, "recalibration": 8},
    "tucker2": {"epochs": 1, "batch": 32, "multiple": 1, "budget": 0.97, "skip_ends": False, "recalibration": 8},
    "cp": {"epochs": 1, "batch": 32, "multiple": 1, "budget": 0.97, "skip_ends": False, "recalibration": 8},
    "int8_aware": {"epochs": 1, "batch": 32, "calibration_images": 64},
    "equalisation": {"images": 64, "relu6": "open"},
    "binary_connect": {"epochs": 4, "batch": 32, "recalibration": 8},
    "binary": {"epochs": 4, "batch": 32, "recalibration": 8},
    "binary_ensemble": {"epochs": 2, "batch": 32, "recalibration": 8, "members": 2},
}  # fmt: skip

OF_BINARY = ("main_subsidiary",)  # methods that take a network which is binary already

# After an epoch or two some answers hang by a thread, more than in any network one would ship.
BARELY_TRAINED = Limits(agreement=0.9, mean_error=0.05, max_error=0.5, accuracy_drop=0.05)


@pytest.fixture(scope="module")
def trained(small_digits):
    from pipelines.training.loop import fit
    from pipelines.training.settings import Fitting

    session.open_session(0)
    model = network()
    fit(model, small_digits, Fitting(epochs=6, batch=32, learning_rate=5e-3, shift=0.0), QuietWatch(), seed=0)
    return model


def apply(name, model, data, seed=0, **changes):
    found = METHODS[name]
    settings = found.settings(**{**QUICK[name], **changes})
    return found.apply(model, settings, Context(data, seed, QuietWatch()))


def test_every_method_has_a_quick_setting():
    assert set(QUICK) == set(METHODS)


@pytest.mark.parametrize("name", METHODS)
def test_method_declares_source_summary_and_helped_settings(name):
    found = METHODS[name]
    assert found.name == name
    assert found.source
    assert found.summary.endswith(".")
    assert all(field.help for field in fields_of(found.settings))


@pytest.mark.parametrize("name", METHODS)
def test_method_leaves_the_input_alone_repeats_itself_and_survives_saving(name, trained, small_digits, tmp_path):
    if name in OF_BINARY:
        session.open_session(0)
        trained = apply("binary_connect", trained, small_digits).model
    session.open_session(0)
    before = [value.copy() for value in trained.get_weights()]
    outcome = apply(name, trained, small_digits)
    assert all(np.array_equal(a, b) for a, b in zip(before, trained.get_weights(), strict=True))
    assert outcome.model.output_shape == trained.output_shape
    session.open_session(0)
    again = apply(name, trained, small_digits)
    assert all(
        np.array_equal(a, b) for a, b in zip(outcome.model.get_weights(), again.model.get_weights(), strict=True)
    )
    path = tmp_path / ("model.h5" if outcome.int8_aware else "model.keras")
    save_model(outcome.model, path)
    images = small_digits.splits["validation"].images[:32]
    assert np.allclose(predictor(load_model(path))(images), predictor(outcome.model)(images), atol=1e-5)
    reaches_its_target_or_says_why_not(found := METHODS[name], outcome)
    assert found.int8_aware == outcome.int8_aware
    its_files_pass_the_gate(path, outcome, small_digits, tmp_path)


@pytest.fixture(scope="module", params=["mobilenet_v2", "condensenet"])
def fresh(request):
    design = {"mobilenet_v2": {"width": 0.35}, "condensenet": {"variant": "cifar50"}}[request.param]
    session.open_session(0)
    return zoo.build(request.param, **design, resolution=16, classes=10, channels=1)


@pytest.mark.parametrize("name", [name for name, found in METHODS.items() if found.rehearses])
def test_rehearsal_trains_nothing_and_refuses_only_in_a_sentence(name, fresh, small_digits):
    """On fresh weights and, with CondenseNet, on layers that still learn their groups."""

    class Idle(QuietWatch):
        def check(self):
            raise AssertionError("something was trained")

    found = METHODS[name]
    context = Context(small_digits, 0, Idle(), rehearsal=True)
    with pytest.raises((LookedOver, ValueError)):
        found.apply(fresh, found.settings(**QUICK[name]), context)


def reaches_its_target_or_says_why_not(found, outcome):
    """Half of the multiply-adds, give or take one step of four channels in a layer of sixteen."""
    if issubclass(found.settings, RemovalSettings):
        left = outcome.report["macs_after"] / outcome.report["macs_before"]
        assert left == pytest.approx(0.5, abs=0.1) or outcome.warnings


def its_files_pass_the_gate(path, outcome, data, folder):
    validation = data.splits["validation"]
    formats = ["tflite_int8"] if outcome.int8_aware else ["tflite_float32", "tflite_int8"]
    written = write_many(path, formats, folder, name="small", labels=data.classes,
                         calibration=data.splits["train"].images)  # fmt: skip
    assert not written.failures, written.failures
    logits = predictor(outcome.model)(validation.images)
    for one in written.artifacts:
        report = gate(one.path, one.contract, validation.images, logits, validation.labels,
                      limits={"tflite_int8": BARELY_TRAINED})  # fmt: skip
        assert report.passed, f"{one.format}: {report.cause}"


def test_magnitude_reaches_its_sparsity_and_says_that_no_channel_went(trained, small_digits):
    session.open_session(0)
    outcome = apply("magnitude", trained, small_digits)
    for layer, share in outcome.report["layers"].items():
        assert share == pytest.approx(0.6, abs=0.01), layer
    assert outcome.report["schedule_finished"]
    assert any("no channel was removed" in warning for warning in outcome.warnings)
    assert outcome.model.count_params() == trained.count_params()
    assert not METHODS["magnitude"].removes_channels


def test_two_of_four_leaves_two_zeros_in_every_four_input_channels(trained, small_digits):
    session.open_session(0)
    outcome = apply("magnitude", trained, small_digits, pattern="2:4")
    for name in outcome.report["layers"]:
        kernel = outcome.model.get_layer(name).get_weights()[0]
        groups = (
            kernel.reshape(-1, 4, kernel.shape[-1])
            if kernel.ndim == 2
            else kernel[0, 0].reshape(-1, 4, kernel.shape[-1])
        )
        assert ((groups == 0).sum(axis=1) >= 2).all(), name


def test_initial_sparsity_above_the_target_is_refused(trained, small_digits):
    with pytest.raises(ValueError, match=r"initial_sparsity 0\.9 is above sparsity 0\.6"):
        apply("magnitude", trained, small_digits, initial_sparsity=0.9)


def test_int8_aware_training_starts_from_warmed_ranges_and_keeps_zeros(trained, small_digits):
    session.open_session(0)
    pruned = apply("magnitude", trained, small_digits)
    session.open_session(0)
    aware = apply("int8_aware", pruned.model, small_digits)
    report = aware.report
    assert report["validation_top1_warmed"] >= report["validation_top1_float"] - 0.05
    assert report["kernels_with_zeros_held"] >= len(pruned.report["layers"])
    zeros = [
        float(np.mean(v.numpy() == 0)) for v in aware.model.trainable_variables if len(v.shape) == 4 and v.shape[0] == 1
    ]
    assert min(zeros) >= 0.59
    assert aware.int8_aware


def test_distillation_has_no_loss_when_student_equals_teacher_and_pulls_towards_it_otherwise(trained, small_digits):
    """With alpha 1 the labels do not count: a student trained so must agree more with its teacher than before."""
    session.open_session(0)
    student = network()
    images = small_digits.splits["validation"].images
    context = Context(small_digits, 0, QuietWatch(), load_run=lambda run: trained)
    settings = METHODS["hinton"].settings(
        epochs=8, batch=32, learning_rate=5e-3, teacher="run:r1", alpha=1.0, shift=0.0
    )
    outcome = METHODS["hinton"].apply(student, settings, context)
    wanted = predictor(trained)(images).argmax(1)
    assert (predictor(outcome.model)(images).argmax(1) == wanted).mean() > (
        predictor(student)(images).argmax(1) == wanted
    ).mean()
    gentle = METHODS["hinton"].settings(epochs=1, batch=32, learning_rate=1e-9, teacher="run:r1", alpha=1.0, shift=0.0)
    same = METHODS["hinton"].apply(trained, gentle, context)
    # Norms run on batch statistics while training, so teacher (inference) and student differ a little.
    assert same.report["fit"]["history"][0]["train_loss"] < outcome.report["fit"]["history"][0]["train_loss"]


def test_teacher_of_another_shape_is_refused(trained, small_digits):
    import dataclasses

    fewer = dataclasses.replace(small_digits, classes=small_digits.classes[:5])
    context = Context(fewer, 0, QuietWatch(), load_run=lambda run: trained)
    with pytest.raises(ValueError, match="teacher run:r1 maps"):
        METHODS["hinton"].apply(trained, METHODS["hinton"].settings(teacher="run:r1"), context)


def test_unknown_method_offers_the_nearest():
    with pytest.raises(ValueError, match="magnitude"):
        method("magnitud")
    with pytest.raises(ValueError, match="teacher"):
        METHODS["hinton"].settings(teacher=5)


def test_catalogue_and_folder_agree():
    from pathlib import Path

    import pipelines.methods

    files = {path.stem for path in Path(pipelines.methods.__file__).parent.glob("*.py")} - {"__init__"}
    assert files == set(METHODS)
