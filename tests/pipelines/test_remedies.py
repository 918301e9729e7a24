"""A model whose int8 file loses accuracy for a planted reason: the remedies are tried, the right one regains it."""

from __future__ import annotations

import json

import pytest

from exports import save_model
from pipelines.__main__ import main
from pipelines.further import recipe_of_row
from pipelines.jobs import InlineExecutor
from pipelines.recipes import Recipe
from pipelines.remedies import RemedySettings, first_remedies, loss, regained, remedies_of_layers
from pipelines.runs import Home, Registry
from pipelines.settings import make
from pipelines.start import record
from tests.pipelines.small import planted

PLAN = {
    "name": "uneven",
    "data": {"source": "digits", "resolution": 8},
    "steps": [{"export": {"formats": ["tflite_float32"]}}],
}


@pytest.fixture(scope="module")
def home(small_digits, tmp_path_factory):
    """A home with a run that begins from a model of which four of twelve channels were made 4,096 times as large."""
    folder = tmp_path_factory.mktemp("uneven")
    save_model(planted(small_digits, channels=4, factor=4096.0), folder / "uneven.keras")
    opened = Home.open(folder / "home")
    recipe = Recipe.of({**PLAN, "start": f"file:{folder / 'uneven.keras'}"})
    run = record(Registry(opened), recipe, queue=False).runs[0]
    assert InlineExecutor(opened).submit(run) == "done", Registry(opened).get(run).error
    return opened


def test_equalisation_regains_what_a_planted_scale_costs_and_can_be_taken(home, monkeypatch, capsys) -> None:
    monkeypatch.setenv("LITESMITH_HOME", str(home.folder))
    only = ("--only", "mse", "equalisation", "--keep", "2", "--int8-aware-epochs", "1")
    assert main(["remedies", "r00001", *only, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    rows = {row["name"]: row for row in document["rows"]}
    assert list(rows) == ["none", "mse", "equalisation", "keep_2", "int16_2", "int8_aware"]
    assert document["drop_points"] > 3, document
    assert document["faults"][0]["cause"] == "wide_activation"
    whole = document["float"]["top1"]
    assert regained(rows["equalisation"], document["rows"], whole) >= 0.8
    assert rows["keep_2"]["top1"] > rows["none"]["top1"]
    assert rows["keep_2"]["bytes"] > rows["none"]["bytes"]
    assert rows["int16_2"]["top1"] > rows["none"]["top1"]
    assert rows["int16_2"]["kept"] == rows["keep_2"]["kept"]
    assert rows["int8_aware"]["top1"] > rows["none"]["top1"]
    assert rows["equalisation"]["ratio"] > 0

    recipe = Recipe.of(recipe_of_row(Registry(home), document, "equalisation"))
    assert [step.step for step in recipe.steps] == ["quantise", "export", "measure"]
    others = {name: Recipe.of(recipe_of_row(Registry(home), document, name)) for name in ("int16_2", "int8_aware")}
    assert others["int16_2"].steps[0].settings.rounding.precision == tuple(
        (layer, "w8a16") for layer in rows["int16_2"]["kept"]
    )
    assert others["int8_aware"].steps[0].settings.epochs == 1
    mixed = Recipe.of(recipe_of_row(Registry(home), document, "keep_2"))
    for plan, format_id in ((recipe, "tflite_int8"), (mixed, "tflite_mixed")):
        run = record(Registry(home), plan, queue=False).runs[0]
        assert InlineExecutor(home).submit(run) == "done", Registry(home).get(run).error
        (file,) = Registry(home).artifacts(run)
        assert (file.format, file.passed) == (format_id, True), file.gate


@pytest.mark.parametrize(
    ("points", "said"), [(2.5, "loses 2.50 points"), (0.0, "loses nothing"), (-1.1, "loses nothing")]
)
def test_a_file_that_scores_no_worse_loses_nothing(points: float, said: str) -> None:
    assert loss(points) == said


def test_what_cannot_be_tried_is_refused(home, monkeypatch, capsys) -> None:
    monkeypatch.setenv("LITESMITH_HOME", str(home.folder))
    assert main(["remedies", "r00001", "--only", "prayer"]) == 2
    assert "prayer is no remedy; there are images, mse" in capsys.readouterr().err
    assert main(["remedies", "r00001", "--keep", "2", "0"]) == 2
    assert "0 layers cannot stay float; give numbers from 1" in capsys.readouterr().err
    assert make(RemedySettings, {"keep": ()}, "remedies").keep == ()
    with pytest.raises(ValueError, match="was not tried or failed"):
        recipe_of_row(Registry(home), {"run": "r00001", "step": 1, "rows": []}, "mse")


def test_every_remedy_is_a_recipe() -> None:
    for remedy in first_remedies(50):
        recipe = Recipe.of({"start": "run:r00001", "steps": remedy.steps()})
        assert recipe.steps[-2].settings.rounding == remedy.rounding
    names = [one.name for one in first_remedies(50)]
    assert len(set(names)) == len(names)
    assert RemedySettings().only == ()


def test_only_layers_with_weights_get_bits_and_the_costliest_come_first() -> None:
    costs = (("stem_conv", 0.1, {"spread": 1.0}), ("gate", 0.4, None), ("sum", 0.3, None), ("", 0.2, {"spread": 2.0}))
    places = [{"layer": layer, "cost": cost, "kernel": kernel} for layer, cost, kernel in costs]
    found = {one.name: one for one in remedies_of_layers([*places, {**places[0], "cost": None}], (1, 3), 400)}
    assert {name: one.rounding.keep for name, one in found.items() if name.startswith("keep")} == {
        "keep_1": ("gate",), "keep_3": ("gate", "sum", "logits"),
    }  # fmt: skip
    assert found["int16_1"].rounding.precision == (("logits", "w8a16"),)
    assert found["int16_3"].rounding.precision == (("logits", "w8a16"), ("stem_conv", "w8a16"))
    assert found["int16_3"].title.startswith("2 layers with 16-bit activations")
    assert remedies_of_layers([], (1, 3), 400) == []


def test_share_regained() -> None:
    rows = [{"top1": 0.9}, {"top1": 0.94}]
    assert regained(rows[1], rows, 0.95) == pytest.approx(0.8)
    assert regained(rows[1], rows, 0.9) is None
    assert regained({"error": "no"}, rows, 0.95) is None
