"""What the counts of IGCV3 and IGCV1 do not prove."""

from __future__ import annotations

import numpy as np
import pytest

import zoo
from zoo.architectures.igc import interleaved


def test_block_of_v3_is_grouped_twice_and_activated_once():
    sketch = zoo.sketch("igc")
    assert sketch["stage2_2_shuffle"].inputs == ("stage2_2_expand_norm",)  # no activation between
    assert sketch["stage2_2_depthwise_conv"].inputs == ("stage2_2_shuffle",)
    assert sketch["stage2_2_project_conv"].inputs == ("stage2_2_depthwise_relu6",)  # no second permutation
    assert sketch["stage2_2_add"].inputs == ("stage2_1_project_norm", "stage2_2_project_norm")
    grouped = [op for op in sketch.ops if op.name.endswith(("_expand_conv", "_project_conv"))]
    assert {op.config["groups"] for op in grouped} == {2}
    assert len(grouped) == 2 * (1 + 4 + 6 + 8 + 6 + 6 + 1)
    assert sketch["stage1_1_expand_conv"].shape == (112, 112, 32)  # kept although it expands nothing
    assert sketch["last_conv"].config["groups"] == 1


@pytest.mark.parametrize("width", [0.05, 0.7, 1.1, 1.4])
def test_channels_of_v3_are_even_and_the_last_layer_only_grows(width):
    sketch = zoo.sketch("igc", width=width)
    assert all(op.shape[-1] % 2 == 0 for op in sketch.ops if op.kind == "conv")
    assert sketch["last_conv"].shape[-1] == max(1280, int(1280 * width + 0.5))


def test_v1_by_hand():
    primary, secondary = 24, 2  # L, M
    weights = 3 * 3 * 3 * 48 + 2 * 48
    inward = 48
    for stage in range(3):
        per, channels = secondary * 2**stage, primary * secondary * 2**stage
        for _ in range(6):
            weights += 9 * inward * (channels // primary) + channels * primary + 2 * channels
            inward = channels
        assert channels == primary * per
    cost = zoo.cost("igc", variant="v1", classes=10)
    assert cost.trainable_params == weights + 192 * 10 + 10


def test_v1_halves_the_map_twice_and_doubles_the_secondary_groups():
    sketch = zoo.sketch("igc", variant="v1", depth=8)
    assert [sketch[f"stage{stage}_2_secondary_relu"].shape for stage in (1, 2, 3)] == [
        (32, 32, 48), (16, 16, 96), (8, 8, 192)]  # fmt: skip
    assert [sketch[f"stage{stage}_1_secondary_conv"].config["groups"] for stage in (1, 2, 3)] == [2, 4, 8]
    assert {sketch[f"stage{stage}_1_primary_conv"].config["groups"] for stage in (1, 2, 3)} == {24}
    assert "relu" not in {sketch[name].kind for name in sketch["stage1_1_secondary_conv"].inputs}


def test_every_secondary_group_takes_one_channel_of_every_primary_group():
    # With 3 primary groups of 2 channels, a change of channel 0 reaches its own primary group, 0 and 1; each of these
    # lies in another secondary group, so together every channel behind the block moves. Complementary: the block is
    # one dense layer in two sparse ones.
    from zoo.keras import keras

    image = keras.Input((1, 1, 6))
    out = interleaved(image, 3, 2, name="it", form="deploy", stride=1)
    model = keras.Model(image, [model_tensor(out, "it_primary_conv"), model_tensor(out, "it_secondary_conv"), out])
    rng = np.random.default_rng(0)
    model.set_weights([rng.uniform(0.1, 1.0, weight.shape).astype("float32") for weight in model.weights])
    rest = np.full((1, 1, 1, 6), 0.5, dtype="float32")
    changed = rest.copy()
    changed[..., 0] += 1.0
    moved = [
        np.flatnonzero(np.abs(one - other)[0, 0, 0] > 1e-6).tolist()
        for one, other in zip(model(changed), model(rest), strict=True)
    ]
    assert moved == [[0, 1], [0, 1, 2, 3, 4, 5], [0, 1, 2, 3, 4, 5]]


def model_tensor(end, name):
    """The output of the layer called `name` on the way to `end`."""
    from zoo.keras import keras

    return keras.Model(keras.utils.get_source_inputs(end), end).get_layer(name).output
