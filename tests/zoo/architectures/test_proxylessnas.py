"""What ProxylessNAS' counts at width 1 do not prove."""

from __future__ import annotations

import pytest

import zoo
from zoo.architectures.proxylessnas import MOBILE_WIDE, VARIANTS, channels_at


def test_width_1_4_of_mobile_is_the_published_table():
    assert channels_at("mobile", 1.4) == MOBILE_WIDE
    assert channels_at("cpu", 1.4).stages[1] == 48  # 32 * 1.4 rounded; the others have no table
    assert channels_at("mobile", 1.0) == VARIANTS["mobile"].channels


def test_widths_off_the_table_are_rounded_alone():
    assert channels_at("mobile", 1.38).stages[1] == 48  # 32 * 1.38 rounded, where the table of 1.4 has 40
    cost = zoo.cost("proxylessnas", width=1.38)
    assert (cost.trainable_params, cost.params, cost.macs) == (6_966_336, 7_014_416, 611_182_176)


@pytest.mark.parametrize(("variant", "blocks", "adds"), [("mobile", 20, 13), ("gpu", 14, 7), ("cpu", 20, 13)])
def test_skipped_places_are_absent(variant, blocks, adds):
    sketch = zoo.sketch("proxylessnas", variant=variant)
    assert sum(op.kind == "depthwise" for op in sketch.ops) == blocks
    assert sum(op.kind == "add" for op in sketch.ops) == adds
    assert "stage1_1_expand_conv" not in sketch
