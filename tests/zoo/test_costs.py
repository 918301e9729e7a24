"""Cost sums, checked on networks small enough to count by hand."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

import zoo
from zoo import layers
from zoo.sketches import Sketch


def start(shape: tuple[int, int, int]):
    sketch = Sketch()
    return sketch, sketch.input(shape)


def test_one_by_one_convolution_moves_what_the_paper_says():
    # arXiv:1807.11164, guideline 1: h w (c1 + c2) + c1 c2 elements.
    for c1, c2, expected in [(128, 128, 819_200), (90, 180, 862_920), (52, 312, 1_157_728), (36, 432, 1_483_200)]:
        sketch, image = start((56, 56, c1))
        sketch.outputs = (layers.conv(image, c2, name="only_conv").name,)
        assert zoo.cost_of(sketch, element_bytes=1).memory_access_bytes == expected


def test_norm_and_relu_fold_into_the_convolution():
    sketch, x = start((8, 8, 4))
    x = layers.conv(x, 6, 3, name="a_conv")
    x = layers.relu6(layers.norm(x, name="a_norm"), name="a_relu6")
    sketch.outputs = (x.name,)
    cost = zoo.cost_of(sketch)
    assert cost.memory_access_bytes == 4 * (8 * 8 * 4 + 8 * 8 * 6 + 3 * 3 * 4 * 6)
    assert cost.peak_activation_bytes == 4 * 8 * 8 * (4 + 6)


def test_a_norm_behind_an_activation_does_not_fold():
    sketch, x = start((8, 8, 4))
    x = layers.relu(layers.conv(x, 4, name="a_conv"), name="a_relu")
    sketch.outputs = (layers.norm(x, name="late_norm").name,)
    row = zoo.cost_of(sketch, 1).layers[-1]
    assert row["memory_access_bytes"] == 2 * 8 * 8 * 4 + 4 * 4


def test_an_activation_whose_input_is_needed_elsewhere_does_not_fold():
    sketch, x = start((8, 8, 4))
    x = layers.conv(x, 4, name="a_conv")
    both = layers.add([x, layers.relu(x, name="a_relu")], name="both_add")
    sketch.outputs = (both.name,)
    rows = {row["name"]: row["memory_access_bytes"] for row in zoo.cost_of(sketch, 1).layers}
    assert rows["a_relu"] == 2 * 8 * 8 * 4
    assert rows["both_add"] == 3 * 8 * 8 * 4


def test_peak_counts_a_shortcut_while_it_waits():
    sketch, image = start((4, 4, 2))
    wide = layers.conv(image, 20, name="expand_conv")
    back = layers.conv(wide, 2, name="project_conv")
    sketch.outputs = (layers.add([image, back], name="join_add").name,)
    # While the projection runs: the image waits (2), the wide map is read (20), the narrow one written (2).
    assert zoo.cost_of(sketch, 1).peak_activation_bytes == 4 * 4 * (2 + 20 + 2)


def test_peak_of_a_chain_is_its_largest_neighbouring_pair():
    cost = zoo.cost("mobilenet_v1", element_bytes=1)
    # The first pointwise convolution reads 112x112x32 and writes 112x112x64: the largest pair of neighbours.
    assert cost.peak_activation_bytes == 112 * 112 * (32 + 64)


def test_dropout_and_flatten_move_nothing():
    sketch, x = start((4, 4, 2))
    x = layers.flatten(layers.dropout(x, 0.5, name="a_dropout"), name="a_flatten")
    sketch.outputs = (layers.dense(x, 3, name="a_logits").name,)
    cost = zoo.cost_of(sketch, 1)
    assert [row["memory_access_bytes"] for row in cost.layers] == [0, 0, 0, 32 + 3 + 32 * 3 + 3]
    assert cost.peak_activation_bytes == 32 + 3


def test_element_size_scales_the_bytes_only():
    wide, narrow = zoo.cost("mobilenet_v2", element_bytes=4), zoo.cost("mobilenet_v2", element_bytes=1)
    assert (wide.params, wide.macs) == (narrow.params, narrow.macs)
    assert wide.memory_access_bytes == 4 * narrow.memory_access_bytes
    assert wide.peak_activation_bytes == 4 * narrow.peak_activation_bytes


def test_rows_add_up_to_the_sums_and_are_json():
    cost = zoo.cost("shufflenet_v2", resolution=96)
    document = json.loads(json.dumps(cost.as_dict()))
    for column in ("params", "macs", "memory_access_bytes"):
        assert sum(row[column] for row in document["layers"]) == document[column]
    assert set(document["layers"][0]) == {"name", "kind", "stage", "shape", "params", "macs", "memory_access_bytes"}


@pytest.mark.parametrize("size", [0, 3, True, 2.5])
def test_an_impossible_element_size_is_refused(size):
    with pytest.raises(ValueError, match="element_bytes"):
        zoo.cost("mobilenet_v2", element_bytes=size)


def test_cost_does_not_import_tensorflow():
    code = (
        "import sys, zoo\n"
        "for name in zoo.ARCHITECTURES: zoo.cost(name)\n"
        "bad = {'tensorflow', 'tf_keras', 'keras', 'tensorflow_model_optimization'} & set(sys.modules)\n"
        "sys.exit(f'imported {bad}' if bad else 0)\n"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60, check=False).returncode == 0
