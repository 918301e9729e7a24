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
    ],
)
def test_mistakes_in_a_recipe_are_named(change, message):
    assert change[0] in GOOD
    Recipe.parse(GOOD)
    with pytest.raises(ValueError, match=message):
        Recipe.parse(GOOD.replace(*change))


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
    many = ", ".join(str(8 + n) for n in range(MAX_GRID + 1))
    with pytest.raises(ValueError, match=f"at most {MAX_GRID}"):
        Recipe.parse(GOOD + f"grid: {{resolutions: [{many}]}}\n")


def test_hash_ignores_the_name_and_sees_every_setting():
    one = Recipe.parse(GOOD)
    assert Recipe.parse(GOOD.replace("name: try", "name: other")).sha256 == one.sha256
    assert Recipe.parse(GOOD.replace("epochs: 2", "epochs: 3")).sha256 != one.sha256
