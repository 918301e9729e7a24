"""What the counts of a NASNet do not prove: which map a cell reads and what it does with it."""

from __future__ import annotations

import pytest

import zoo


def test_a_cell_reads_the_input_of_the_cell_before_it():
    sketch = zoo.sketch("nasnet")
    expected = {
        "stem2": "stem_norm",
        "stage1_1": "stem1_concat",
        "stage1_2": "stem2_concat",
        "reduce1": "stage1_3_concat",
        "stage2_1": "stage1_4_concat",  # the input of the reduction, not its output and not two reductions back
        "stage2_2": "reduce1_concat",
    }
    assert {cell: sketch[f"{cell}_adjust_relu"].inputs[0] for cell in expected} == expected


def test_the_first_cell_reads_its_input_as_it_is():
    sketch = zoo.sketch("nasnet")
    assert sketch["stem1_p_relu"].inputs == ("stem_norm",)
    assert "stem1_adjust_relu" not in sketch


def test_cells_put_out_their_sums_in_the_papers_order():
    sketch = zoo.sketch("nasnet")
    normal, reduction = sketch["stage2_3_concat"], sketch["reduce2_concat"]
    assert normal.inputs[1:] == tuple(f"stage2_3_sum{number}_add" for number in (1, 2, 3, 4, 5))
    assert normal.shape == (14, 14, 6 * 88)
    assert reduction.inputs == tuple(f"reduce2_sum{number}_add" for number in (2, 3, 4, 5))
    assert sketch["stage2_3_sum4_add"].inputs == ("stage2_3_p_pool", "stage2_3_p_pool")
    assert sketch["reduce2_sum4_add"].inputs == ("reduce2_sum2_add", "reduce2_sum1_pool")


def test_sums_take_maps_that_are_not_activated():
    for op in zoo.sketch("nasnet").ops:
        if op.layer == "Add":
            assert not any(name.endswith("_relu") for name in op.inputs), op.name


def test_cells_and_filters_give_other_networks_of_the_family():
    last = [op for op in zoo.sketch("nasnet", cells=2, filters=480).ops if len(op.shape) == 3][-1]
    assert last.shape[-1] == 480
    assert "stage3_2_concat" in zoo.sketch("nasnet", cells=2)
    assert "stage3_3_concat" not in zoo.sketch("nasnet", cells=2)
    assert zoo.cost("nasnet", cells=4, filters=1056).params == zoo.cost("nasnet").params
    with pytest.raises(ValueError, match="filters 1000 is not a multiple of 96; use 960 or 1056"):
        zoo.sketch("nasnet", filters=1000)


def test_the_cifar_network_has_the_printed_size():
    # Paper, table 1: NASNet-A (6 @ 768) has 3.3 million weights.
    assert zoo.cost("nasnet", variant="cifar", classes=10).trainable_params == pytest.approx(3.3e6, rel=0.02)


def test_below_64_pixels_the_same_weights_see_larger_maps():
    small, large = zoo.sketch("nasnet", resolution=32), zoo.sketch("nasnet", resolution=224)
    assert small["last_relu"].shape[:2] == (4, 4)
    assert {op.name: op.params for op in small.ops} == {op.name: op.params for op in large.ops}
