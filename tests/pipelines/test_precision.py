"""Bits for every layer under a budget: the choice against all choices, the command, and the file that comes of it."""

from __future__ import annotations

import json
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exports import Rounding, try_precisions
from exports.calibrations import logits_of
from exports.int8_noise import noise_of
from exports.mixed_bits import BITS, INT8
from pipelines.__main__ import main
from pipelines.bit_budget import Option, Unreachable, bit_operations, cheapest, options_of
from pipelines.further import copied_model, last_float_model, recipe_of_row
from pipelines.jobs import InlineExecutor
from pipelines.recipes import Recipe
from pipelines.runs import Home, Registry
from pipelines.start import record
from tests.pipelines.small import planted

PLAN = {
    "name": "small",
    "data": {"source": "digits", "resolution": 8},
    "steps": [{"export": {"formats": ["tflite_float32"]}}],
}


@pytest.fixture(scope="module")
def home(small_digits, tmp_path_factory):
    """A home with a run that begins from a trained network of three convolutions and a classifier."""
    from exports import save_model

    folder = tmp_path_factory.mktemp("bits")
    save_model(planted(small_digits, channels=0), folder / "small.keras")
    opened = Home.open(folder / "home")
    recipe = Recipe.of({**PLAN, "start": f"file:{folder / 'small.keras'}"})
    run = record(Registry(opened), recipe, queue=False).runs[0]
    assert InlineExecutor(opened).submit(run) == "done", Registry(opened).get(run).error
    return opened


def best_of_all(options, limit):
    """The least noise of all choices within the limit."""
    sums = (
        (sum(one.noise for one in chosen), sum(one.cost for one in chosen)) for chosen in product(*options.values())
    )
    return min((noise for noise, cost in sums if cost <= limit), default=None)


layer_options = st.lists(
    st.builds(Option, st.just("w8a8"), st.integers(0, 400).map(float), st.floats(0, 1)), min_size=1, max_size=4
)


@settings(max_examples=300, deadline=None)
@given(st.lists(layer_options, min_size=1, max_size=4), st.floats(0, 1600))
def test_a_choice_always_keeps_its_limit_or_says_what_the_least_is(layers, limit) -> None:
    options = {f"layer{number}": able for number, able in enumerate(layers)}
    least = sum(min(one.cost for one in able) for able in layers)
    if least > limit:
        with pytest.raises(Unreachable) as refused:
            cheapest(options, limit)
        assert refused.value.least == least
        return
    taken = cheapest(options, limit)
    assert list(taken) == list(options)
    assert sum(one.cost for one in taken.values()) <= limit
    assert sum(one.noise for one in taken.values()) >= best_of_all(options, limit) - 1e-9


def test_real_layers_are_chosen_within_one_percent_of_the_best_of_all_choices(home, tmp_path, small_digits) -> None:
    """Four layers, five bits each: all 625 choices by their sums, three budgets of each kind; then the very files."""
    step = last_float_model(Registry(home), "r00001")
    model = copied_model(home, str(step.model_sha256), tmp_path)
    train, validation = small_digits.splits["train"], small_digits.splits["validation"]
    found = try_precisions(model, train.images[:100], validation.images[:64], tuple(BITS))
    assert len(found["layers"]) == 4
    for budget, shares in (("bytes", (1.2, 1.0, 0.9)), ("bit_operations", (1.5, 1.0, 0.6))):
        options = options_of(found["layers"], tuple(BITS), budget)
        whole = bit_operations(found["layers"], {one["name"]: INT8 for one in found["layers"]})
        for share in shares:
            limit = share * whole if budget == "bit_operations" else (share - 1) * found["int8_bytes"]
            best = best_of_all(options, limit)
            taken = cheapest(options, limit)
            assert sum(one.noise for one in taken.values()) <= 1.01 * best, (budget, share)


def test_noise_of_single_layers_adds_up_to_that_of_the_file(home, tmp_path, small_digits) -> None:
    from exports.mixed_bits import MixedBits
    from exports.writers import tflite
    from exports.writers.source import Source

    step = last_float_model(Registry(home), "r00001")
    model = copied_model(home, str(step.model_sha256), tmp_path)
    images = small_digits.splits["validation"].images[:64]
    source = Source(model, small_digits.splits["train"].images[:100])
    mixed = MixedBits(tflite.convert(source, "tflite_float32"), source.calibration_batches(), Rounding())
    wanted = logits_of(mixed.plain, images)
    chosen = {layer.name: "w4a8" for layer in mixed.layers}
    alone = [noise_of(logits_of(mixed.file({name: bits}, others="float"), images), wanted)
             for name, bits in chosen.items()]  # fmt: skip
    together = noise_of(logits_of(mixed.file(chosen), images), wanted)
    assert together == pytest.approx(sum(alone), rel=0.5)


def test_files_under_three_budgets_keep_them_and_one_can_be_taken(home, monkeypatch, capsys) -> None:
    monkeypatch.setenv("LITESMITH_HOME", str(home.folder))
    asked = ("--shares", "0.95", "0.85", "0.2", "--choices", "w4a8", "w8a8")
    assert main(["precision", "r00001", *asked, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    rows = {row["name"]: row for row in document["rows"]}
    assert list(rows) == ["int8", "share_0.95", "share_0.85", "share_0.2"]
    for share in (0.95, 0.85):
        row = rows[f"share_{share}"]
        assert row["bytes"] <= row["limit"] == share * rows["int8"]["bytes"]
        assert "w4a8" in row["bits"].values()
        assert row["ratio"] > 0
    assert "the least that can be reached is" in rows["share_0.2"]["error"]

    recipe = Recipe.of(recipe_of_row(Registry(home), document, "share_0.85"))
    run = record(Registry(home), recipe, queue=False).runs[0]
    assert InlineExecutor(home).submit(run) == "done", Registry(home).get(run).error
    (file,) = Registry(home).artifacts(run)
    assert (file.format, file.passed) == ("tflite_mixed", True), file.gate
    assert file.bytes == rows["share_0.85"]["bytes"]


def test_bit_operations_are_a_budget_of_their_own(home, monkeypatch, capsys) -> None:
    monkeypatch.setenv("LITESMITH_HOME", str(home.folder))
    asked = ("--budget", "bit_operations", "--shares", "0.7", "--choices", "w4a8", "w8a8")
    assert main(["precision", "r00001", *asked]) == 0
    shown = capsys.readouterr().out
    assert "70% of the bit operations of int8" in shown
    assert "w4a8" in shown


def test_milliseconds_are_a_budget_for_which_every_layer_is_timed(home, monkeypatch, capsys) -> None:
    monkeypatch.setenv("LITESMITH_HOME", str(home.folder))
    asked = ("--budget", "milliseconds", "--shares", "16", "0.1", "--choices", "w8a8", "w8a16")
    assert main(["precision", "r00001", *asked, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    for layer in document["layers"]:
        assert layer["bits"]["w8a8"]["milliseconds"] == 0
        assert isinstance(layer["bits"]["w8a16"]["milliseconds"], float)
        assert "file" not in layer["bits"]["w8a16"]
    rows = {row["name"]: row for row in document["rows"]}
    assert rows["share_16"]["noise"] == pytest.approx(
        sum(min(one["noise"] for one in layer["bits"].values()) for layer in document["layers"])
    )
    assert "the least that can be reached is" in rows["share_0.1"]["error"]


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (("--choices", "w2a8"), "bits w2a8 are not known; choose from w8a8"),
        (("--shares", "0"), "share 0 of the int8 budget: give 0.1 to 16"),
        (("--budget", "money"), "bytes"),
        (("--images", "3"), "10"),
    ],
)
def test_settings_that_cannot_be_are_refused(home, monkeypatch, capsys, asked, message) -> None:
    monkeypatch.setenv("LITESMITH_HOME", str(home.folder))
    assert main(["precision", "r00001", *asked]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("export", "message"),
    [
        ({"formats": ["tflite_mixed"]}, "name the layers that are not plain int8"),
        ({"formats": ["tflite_int8"], "precision": "a: w4a8"}, "name the layers that are not plain int8"),
        ({"formats": ["tflite_mixed"], "precision": "a: w4a8", "keep_float": "b"}, "either keep_float or precision"),
        ({"formats": ["tflite_mixed"], "precision": "a: w5a8"}, "bits 'w5a8' are not known"),
        ({"formats": ["tflite_mixed"], "precision": "a: w4a8", "correct_bias": True}, "correct_bias is not possible"),
    ],
)
def test_an_export_that_contradicts_itself_is_refused_before_anything_runs(export, message) -> None:
    with pytest.raises(ValueError, match=message):
        Recipe.of({"start": "run:r00001", "steps": [{"export": export}]})
