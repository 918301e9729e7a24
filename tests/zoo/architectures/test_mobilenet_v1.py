"""What MobileNetV1's counts do not prove."""

from __future__ import annotations

import zoo


def test_residual_adds_a_shortcut_around_every_block_that_keeps_its_shape():
    plain, residual = zoo.sketch("mobilenet_v1"), zoo.sketch("mobilenet_v1", residual=True)
    added = [op for op in residual.ops if op.name not in plain]
    kept = ["stage2_2", "stage3_2", *(f"stage4_{block}" for block in range(2, 7)), "stage5_2"]
    assert [(op.name, op.kind) for op in added] == [(f"{block}_add", "add") for block in kept]
    assert residual["stage4_3_add"].inputs == ("stage4_2_add", "stage4_3_pointwise_relu6")
    assert zoo.cost_of(plain).params == zoo.cost_of(residual).params
    assert zoo.cost_of(plain).macs == zoo.cost_of(residual).macs
