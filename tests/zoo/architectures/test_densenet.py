"""What the counts of a DenseNet do not prove: the order inside a layer, and whose channels come first."""

from __future__ import annotations

import pytest

import zoo


def test_a_layer_normalises_first_and_adds_its_channels_behind():
    sketch = zoo.sketch("densenet")
    names = [op.name.removeprefix("stage2_3_") for op in sketch.ops if op.name.startswith("stage2_3_")]
    assert names == [
        "input_norm", "input_relu", "reduce_conv", "reduce_norm", "reduce_relu", "grow_conv", "concat",
    ]  # fmt: skip
    assert sketch["stage2_3_concat"].inputs == ("stage2_2_concat", "stage2_3_grow_conv")


def test_only_the_compact_form_halves_the_channels():
    compact, plain = (zoo.sketch("densenet", variant=variant) for variant in ("cifar_bc100", "cifar40"))
    assert compact["transition1_conv"].shape[-1] == (24 + 16 * 12) // 2
    assert plain["transition1_conv"].shape[-1] == 16 + 12 * 12
    assert not any("reduce" in op.name for op in plain.ops)


@pytest.mark.parametrize(("variant", "trainable"), [("169", 14_149_480), ("201", 20_013_928), ("161", 28_681_000)])
def test_deeper_variants_count_as_in_torchvision(variant, trainable):
    assert zoo.cost("densenet", variant=variant).trainable_params == trainable
