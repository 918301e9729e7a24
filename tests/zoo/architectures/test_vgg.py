"""What the counts of a VGG do not prove: its two forms, and where one gives way to the other."""

from __future__ import annotations

import pytest

import zoo


def test_the_published_form_has_biases_and_no_normalisation():
    sketch = zoo.sketch("vgg")
    convolutions = [op for op in sketch.ops if op.layer == "Conv2D"]
    assert len(convolutions) == 13
    assert all(op.config["use_bias"] for op in convolutions)
    assert not any(op.kind == "norm" for op in sketch.ops)


@pytest.mark.parametrize("resolution", [8, 32, (63, 300), (300, 9)])
def test_below_64_pixels_every_convolution_is_normalised_and_one_dense_layer_left(resolution):
    sketch = zoo.sketch("vgg", resolution=resolution)
    assert sum(op.kind == "norm" for op in sketch.ops) == 13 + 1
    assert [op.name for op in sketch.ops if op.layer == "Dense"] == ["head_fc", "head_logits"]


@pytest.mark.parametrize("resolution", [64, (64, 300)])
def test_from_64_pixels_on_the_head_is_the_published_one(resolution):
    sketch = zoo.sketch("vgg", resolution=resolution)
    assert [op.name for op in sketch.ops if op.layer == "Dense"] == ["head_fc1", "head_fc2", "head_logits"]
    assert not any(op.kind == "norm" for op in sketch.ops)


def test_eleven_layers_count_as_in_torchvision():
    assert zoo.cost("vgg", variant="11").params == 132_863_336
