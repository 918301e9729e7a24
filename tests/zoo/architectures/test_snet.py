"""What SNet535's counts do not prove."""

from __future__ import annotations

import pytest

import zoo


@pytest.mark.parametrize(("variant", "macs"), [("49", 51.2), ("146", 161.1), ("535", 535.4)])
def test_every_variant_costs_what_its_printed_table_costs(variant, macs):
    assert zoo.cost("snet", variant=variant).macs == pytest.approx(macs * 1e6, abs=0.05e6)


@pytest.mark.parametrize(("variant", "stem", "channels"), [("49", 24, 512), ("146", 24, 528), ("535", 48, 992)])
def test_stages_repeat_4_8_4_and_only_snet49_ends_in_a_convolution(variant, stem, channels):
    sketch = zoo.sketch("snet", variant=variant)
    assert sketch["stem_conv"].shape == (112, 112, stem)
    assert sum(op.kind == "concat" for op in sketch.ops) == 4 + 8 + 4
    assert ("conv5_conv" in sketch) == (variant == "49")
    assert sketch["head_pool"].shape == (channels,)


def test_all_depthwise_kernels_are_5x5():
    filters = [op for op in zoo.sketch("snet").ops if op.kind == "depthwise"]
    assert {op.config["kernel_size"] for op in filters} == {(5, 5)}
    assert len(filters) == 16 + 3  # one a unit, one more in the left branch of each stage's first
