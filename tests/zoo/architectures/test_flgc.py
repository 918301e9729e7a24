"""MobileNetV2 with learned groups: where they are, and that nothing else changed."""

from __future__ import annotations

import pytest

import zoo


@pytest.mark.parametrize(("where", "learned"), [("projections", 17), ("all", 17 + 16 + 1)])
def test_groups_are_learned_where_they_were_asked_for(where, learned):
    sketch = zoo.sketch("flgc", form="train", where=where)
    found = [op.name for op in sketch.ops if op.layer == "LearnedGroupConv2D"]
    assert len(found) == learned
    assert all(where == "all" or name.endswith("_project_conv") for name in found)


@pytest.mark.parametrize("width", [0.05, 0.1, 0.25, 1.0])
def test_training_form_is_mobilenet_v2_and_logits_of_groups(width):
    ours, plain = zoo.sketch("flgc", form="train", width=width), zoo.sketch("mobilenet_v2", width=width)
    assert [op.name for op in ours.ops] == [op.name for op in plain.ops]
    for op in ours.ops:
        logits = 4 * (ours[op.inputs[0]].shape[-1] + op.shape[-1]) if op.kind == "learned_conv" else 0
        assert op.params == plain[op.name].params + logits
        assert op.macs == plain[op.name].macs


def test_deployed_projection_is_grouped_between_two_gathers():
    sketch = zoo.sketch("flgc", groups=8)
    names = [op.name for op in sketch.ops if op.name.startswith("stage3_2_project")]
    assert names == [f"stage3_2_project_{role}" for role in ("gather", "conv", "norm", "restore")]
    assert sketch["stage3_2_project_conv"].config["groups"] == 8
    assert sketch["stage3_2_add"].inputs == ("stage3_1_project_restore", "stage3_2_project_restore")
