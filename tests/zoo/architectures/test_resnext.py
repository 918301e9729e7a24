"""What the counts of a ResNeXt do not prove: what width does to the groups."""

from __future__ import annotations

import pytest

import zoo


@pytest.mark.parametrize(("width", "groups"), [(0.01, 1), (0.25, 8), (1.0, 32), (1.5, 48)])
def test_width_changes_the_number_of_groups_and_not_their_size(width, groups):
    sketch = zoo.sketch("resnext", width=width)
    for stage in (1, 2, 3, 4):
        convolution = sketch[f"stage{stage}_1_spatial_conv"]
        assert convolution.config.get("groups", 1) == groups
        assert convolution.shape[-1] // groups == 4 * 2 ** (stage - 1)


def test_the_stride_lies_on_the_grouped_convolution():
    sketch = zoo.sketch("resnext")
    assert sketch["stage2_1_reduce_conv"].shape == (56, 56, 256)
    assert sketch["stage2_1_spatial_conv"].shape == (28, 28, 256)


def test_the_cifar_network_has_the_printed_size():
    # Paper, table 7: ResNeXt-29, 8x64d has 34.4 million weights.
    assert zoo.cost("resnext", variant="cifar29", classes=10).trainable_params == pytest.approx(34.4e6, rel=0.002)
