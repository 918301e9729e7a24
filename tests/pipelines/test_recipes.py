import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.recipes import MAX_GRID, READY_MADE, Recipe, ready_made

GOOD = """
name: try
data: {source: digits, resolution: 16}
model: {name: mobilenet_v2, width: 0.5}
steps:
  - train: {epochs: 2}
  - prune: {method: magnitude, sparsity: 0.6}
  - export: {formats: [tflite_float32]}
  - quantise: {method: int8_aware}
  - export: {formats: [tflite_int8, edgetpu]}
  - measure: {}
"""


@pytest.mark.parametrize("name", ready_made())
def test_ready_made_recipes_load_and_survive_being_written(name):
    recipe = Recipe.load(name)
    assert recipe.description
    assert Recipe.parse(recipe.dump()) == recipe
    assert Recipe.of(recipe.as_dict()) == recipe
    assert (READY_MADE / f"{name}.yaml").read_text().startswith("#"), "a remark on top says what to expect"


@given(
    epochs=st.integers(1, 500), width=st.sampled_from([0.25, 0.35, 0.5, 1.0, 1.3]), resolution=st.integers(8, 256),
    sparsity=st.floats(0.05, 0.98), seed=st.integers(0, 2**31 - 1), flip=st.booleans(),
)  # fmt: skip
def test_any_recipe_survives_yaml(epochs, width, resolution, sparsity, seed, flip):
    recipe = Recipe.of(
        {
            "seed": seed,
            "data": {"source": "digits", "resolution": resolution},
            "model": {"name": "mobilenet_v1", "width": width},
            "steps": [{"train": {"epochs": epochs, "flip": flip}}, {"prune": {"sparsity": sparsity}}],
        }
    )
    assert Recipe.parse(recipe.dump()) == recipe
    assert Recipe.parse(recipe.dump(brief=False)) == recipe
    assert Recipe.parse(recipe.dump()).sha256 == recipe.sha256


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("width: 0.5", "width: 0.5, options: {affine: true}"), "unknown option of mobilenet_v2 'affine'"),
        (("width: 0.5", "dropout: 0.5"), "mobilenet_v2 alone stands below options: {dropout: 0.5}"),
        (("width: 0.5", "options: {width: 0.5}"), "unknown option of mobilenet_v2 'width'"),
        (("width: 0.5", "width: 0"), r"model\.width = 0: .*greater than 0"),
        (("resolution: 16", "resolution: 31.5"), r"data\.resolution = 31\.5: .*whole number of pixels"),
        (("mobilenet_v2", "mobilenet_v9"), "mobilenet_v1"),
        (("epochs: 2", "epoch: 2"), r"steps\.1\.train\.epoch is not a setting; did you mean epochs"),
        (("source: digits", "sorce: digits"), r"data\.sorce is not a setting; did you mean source"),
        (("- train:", "- trian:"), "did you mean train"),
        (("method: magnitude", "method: magnitud"), "nearest: magnitude"),
        (("method: magnitude", "method: int8_aware"), "prune method 'int8_aware' is not known"),
        (("tflite_float32", "tflite_float33"), "tflite_float32"),
        (("[tflite_int8, edgetpu]", "[tflite_float32]"), "int8-aware model cannot be written as tflite_float32"),
        (("  - train: {epochs: 2}\n", ""), "needs a trained model: put train or distil before it"),
        (("steps:", "steps: 5\nother:"), "must be a list of steps"),
        (("name: try", "nme: try"), "nme is not a setting; did you mean name"),
        (("{epochs: 2}", "&a {epochs: 2}\n  - train: *a"), "aliases"),
        (("name: try", "name: [try"), "not valid YAML"),
        (("{epochs: 2}", "5"), r"steps\.1\.train = 5: must be a mapping of settings"),
        (("{epochs: 2}", "[1, 2]"), r"steps\.1\.train = \[1, 2\]: must be a mapping"),
        (("{epochs: 2}", "abc"), r"steps\.1\.train = 'abc': must be a mapping"),
        (("{epochs: 2}", "''"), r"steps\.1\.train = '': must be a mapping"),
        (("{epochs: 2}", "[[epochs, 1]]"), r"steps\.1\.train = \[\['epochs', 1\]\]: must be a mapping"),
        (("{epochs: 2}", "{1: 2}"), r"steps\.1\.train\.1 = 1: Keys should be strings"),
        (("width: 0.5", "options: {width: 2}"), "unknown option of mobilenet_v2 'width'; choose one of dropout"),
        (("width: 0.5", "options: {name: x}"), "unknown option of mobilenet_v2 'name'; choose one of dropout"),
        (("width: 0.5", "options: [1]"), r"model\.options = \[1\]: .*dictionary"),
        (("name: try", f"description: {'[' * 5000}"), "more than 20 deep in each other"),
        (("name: try", f"description: {'- ' * 5000}"), "more than 20 deep|not valid YAML"),
        (("name: try", "name: try\nname: again"), r"name is there twice \(line 3, column 1\)"),
        (("{epochs: 2}", "{epochs: 2, epochs: 3}"), "epochs is there twice"),
        (("name: try", "name: !!binary dHJ5"), "YAML tags"),
        (("epochs: 2", "epochs: true"), r"steps\.1\.train\.epochs = True: .*valid integer"),
        (("epochs: 2", "epochs: 1:30"), r"steps\.1\.train\.epochs = '1:30': .*valid integer"),
        (("epochs: 2", "epochs: '2'"), r"steps\.1\.train\.epochs = '2': .*valid integer"),
        (("epochs: 2", "flip: 1"), r"steps\.1\.train\.flip = 1: .*valid boolean"),
        (("width: 0.5", "width: true"), r"model\.width = True: .*valid number"),
        (("width: 0.5", "width: '0.5'"), r"model\.width = '0\.5': .*valid number"),
        (("name: try", "seed: true"), r"seed = True: .*valid integer"),
        (("resolution: 16", "resolution: 4000"), r"data\.resolution = 4000: .*from 8 to 2048"),
        (("resolution: 16", "resolution: [16]"), r"data\.resolution = \[16\]: .*\[height, width\]"),
        (("resolution: 16", "validation: 0.49, test: 0.49"), "leave no room to train; keep their sum at most"),
    ],
)
def test_mistakes_in_a_recipe_are_named(change, message):
    assert change[0] in GOOD
    Recipe.parse(GOOD)
    with pytest.raises(ValueError, match=message):
        Recipe.parse(GOOD.replace(*change))


@pytest.mark.parametrize(
    ("text", "rate"), [("0.001", 0.001), ("1e-3", 0.001), ("1.0e-03", 0.001), (".5", 0.5), ("1", 1.0), ("01", 1.0)]
)
def test_numbers_are_read_in_every_way_people_write_them(text, rate):
    recipe = Recipe.parse(GOOD.replace("epochs: 2", f"learning_rate: {text}"))
    assert recipe.steps[0].settings.learning_rate == rate
    assert Recipe.parse(recipe.dump()) == recipe


@pytest.mark.parametrize("name", ["1:30", "1e3", "010", "2026-11-26", "yes", "null", "0.5", "0x10", "[a]", "a: b"])
def test_a_text_that_looks_like_something_else_survives_yaml(name):
    recipe = Recipe.of({"name": name})
    assert Recipe.parse(recipe.dump()) == recipe


def test_a_path_is_kept_whole_because_jobs_run_in_another_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert Recipe.of({"data": {"source": "folder:photos"}}).data.source == f"folder:{tmp_path}/photos"
    assert Recipe.of({"data": {"source": "zip:/a/b.zip"}}).data.source == "zip:/a/b.zip"


@pytest.mark.parametrize("text", ["", "5", "- a", "!!python/object/apply:os.system ['true']"])
def test_text_that_is_no_recipe_is_refused(text):
    with pytest.raises(ValueError, match="recipe"):
        Recipe.parse(text)


def test_oversized_recipe_is_refused():
    with pytest.raises(ValueError, match="at most"):
        Recipe.parse("# " + "x" * 300_000)


def test_unknown_file_offers_ready_made_ones():
    with pytest.raises(ValueError, match="digits_quick"):
        Recipe.load("digit_quick")


def test_grid_becomes_one_recipe_per_combination():
    recipe = Recipe.parse(GOOD + "grid: {widths: [0.35, 0.5], resolutions: [16, 24, 32]}\n")
    plans = recipe.expand()
    assert [(plan.model.width, plan.data.resolution) for plan in plans] == [
        (width, side) for width in (0.35, 0.5) for side in (16, 24, 32)
    ]
    assert len({plan.name for plan in plans}) == 6
    assert all(plan.grid is None for plan in plans)


def test_grid_with_an_impossible_member_fails_before_anything_starts():
    with pytest.raises(ValueError, match="width"):
        Recipe.parse(GOOD + "grid: {widths: [0.35, 0]}\n")
    with pytest.raises(ValueError, match=r"grid\.widths = \[0\.5, 0\.5\]: 0\.5 is there twice"):
        Recipe.parse(GOOD + "grid: {widths: [0.5, 0.5]}\n")
    with pytest.raises(ValueError, match=r"grid\.resolutions = \[16, 24, 16\]: 16 is there twice"):
        Recipe.parse(GOOD + "grid: {resolutions: [16, 24, 16]}\n")
    with pytest.raises(ValueError, match="from 8 to 2048"):
        Recipe.parse(GOOD + "grid: {resolutions: [16, 4000]}\n")
    many = ", ".join(str(8 + n) for n in range(MAX_GRID + 1))
    with pytest.raises(ValueError, match=f"at most {MAX_GRID}"):
        Recipe.parse(GOOD + f"grid: {{resolutions: [{many}]}}\n")


def test_hash_ignores_the_name_and_sees_every_setting():
    one = Recipe.parse(GOOD)
    assert Recipe.parse(GOOD.replace("name: try", "name: other")).sha256 == one.sha256
    assert Recipe.parse(GOOD.replace("epochs: 2", "epochs: 3")).sha256 != one.sha256
