"""What ESPNetv2's counts at width 1 do not prove."""

from __future__ import annotations

import numpy as np
import pytest

import zoo
from zoo.architectures.espnet_v2 import base_channels, branch_channels, dilated_depthwise, dilations


@pytest.mark.parametrize(
    ("width", "mega_macs"), [(0.5, 28.37), (1.0, 85.72), (1.25, 123.39), (1.5, 168.6), (2.0, 284.8)]
)
def test_multiply_adds_without_classifier_are_the_printed_ones(width, mega_macs):
    cost = zoo.cost("espnet_v2", width=width)
    classifier = cost.layers[-1]["macs"]
    assert (cost.macs - classifier) / 1e6 == pytest.approx(mega_macs, abs=0.01)


def test_weights_are_the_declared_ones_without_those_that_never_run():
    # The code's last image branch (3x3 on 3 channels and 1x1 to 512, two norms, one PReLU) and the last activations
    # of four units of stride 2, whose outputs have 32, 64, 128 and 256 channels.
    image_branch = 9 * 3 * 3 + 2 * 3 + 3 + 3 * 512 + 2 * 512
    activations = 32 + 64 + 128 + 256
    assert zoo.cost("espnet_v2").trainable_params == 1_670_072 - image_branch - activations
    assert "stage5_down_image_add" not in zoo.sketch("espnet_v2")


def test_dilations_shrink_to_the_reach():
    assert [dilations(reach) for reach in (13, 11, 9, 7, 5)] == [
        (1, 2, 3, 4), (1, 2, 3, 4), (1, 2, 3, 4), (1, 1, 2, 3), (1, 1, 1, 2)]  # fmt: skip


def test_branches_add_up_in_ascending_order():
    sketch = zoo.sketch("espnet_v2")
    assert sketch["stage4_2_branch2_add"].inputs == ("stage4_2_branch1_conv", "stage4_2_branch2_conv")
    assert sketch["stage4_2_branch4_add"].inputs == ("stage4_2_branch3_add", "stage4_2_branch4_conv")
    assert sketch["stage4_2_concat"].inputs == (
        "stage4_2_branch1_conv",
        *(f"stage4_2_branch{n}_add" for n in (2, 3, 4)),
    )
    assert sketch["stage4_2_prelu"].inputs == ("stage4_2_add",)
    assert sketch["stage4_2_add"].inputs == ("stage4_1_prelu", "stage4_2_expand_norm")


def test_first_unit_of_a_stage_joins_the_pooled_input_and_adds_the_image():
    sketch = zoo.sketch("espnet_v2")
    assert sketch["stage3_down_join"].inputs == ("stage3_down_pool", "stage3_down_expand_norm")
    assert sketch["stage3_down_image_filter_conv"].inputs == ("stage3_image_pool",)
    assert sketch["stage3_image_pool"].inputs == ("stage2_image_pool",)
    assert sketch["stage3_down_prelu"].inputs == ("stage3_down_image_add",)
    assert sketch["stage5_down_prelu"].inputs == ("stage5_down_join",)


@pytest.mark.parametrize("size", [(6, 6), (7, 7), (8, 5), (2, 3)])
@pytest.mark.parametrize("dilation", [2, 3, 4])
def test_a_stride_with_a_dilation_is_every_second_cell_of_the_dilated_map(size, dilation):
    from zoo.keras import keras

    image = keras.Input((*size, 3))
    strided = keras.Model(image, dilated_depthwise(image, name="it", stride=2, dilation=dilation))
    plain = keras.Model(image, dilated_depthwise(image, name="it", stride=1, dilation=dilation))
    kernel = np.random.default_rng(1).normal(size=(3, 3, 3, 1)).astype("float32")
    strided.get_layer("it_conv").set_weights([kernel])
    plain.get_layer("it_conv").set_weights([kernel])
    array = np.random.default_rng(0).random((2, *size, 3), dtype="float32")
    # `same` padding puts the first window of a stride of 2 on cell 1 of an even side, on cell 0 of an odd one.
    rows, columns = (slice(1 - side % 2, None, 2) for side in size)
    np.testing.assert_allclose(strided(array), plain(array)[:, rows, columns], rtol=1e-5, atol=1e-6)


def test_groups_divide_all_channels_at_any_width():
    assert [base_channels(width) for width in (0.05, 0.5, 1.0, 1.25, 1.5, 2.0)] == [4, 16, 32, 40, 48, 64]
    for percent in range(4, 400, 7):
        base = base_channels(percent / 100)
        for channels in (2 * base - min(32, base), 2 * base, 4 * base, 8 * base):
            assert channels % 4 == branch_channels(channels) % 4 == 0
            assert branch_channels(channels) * 4 >= channels
    with pytest.raises(ValueError, match="leaves none of 32 channels"):
        zoo.cost("espnet_v2", width=0.01)
