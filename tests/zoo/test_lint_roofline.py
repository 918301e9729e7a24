"""The roofline and the energy estimate, redone by hand."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

import zoo
from zoo import layers, lint
from zoo.lint.roofline import MULTIPLY_ADD_PJ
from zoo.sketches import Sketch

# 1 G operations a second and 1 GB a second: the ridge is at one operation a byte, and seconds are billions.
UNIT = lint.Profile("unit", "Unit", 1.0, 4.0, 1.0, "dram", "made up")


def two_layers() -> Sketch:
    """A 3x3 convolution with much work a byte, and a pool with none."""
    sketch = Sketch()
    x = layers.conv(sketch.input((16, 16, 8)), 8, 3, name="a_conv")
    sketch.outputs = (layers.max_pool(x, 2, name="b_pool").name,)
    return sketch


def test_a_layer_takes_the_longer_of_arithmetic_and_memory():
    drawn = lint.roofline(two_layers(), UNIT)
    convolution, pool = drawn.layers
    operations = 2 * 256 * 9 * 8 * 8
    moved = 4 * (256 * 8 + 256 * 8 + 9 * 8 * 8)
    assert (convolution["bound"], pool["bound"]) == ("compute", "memory")
    assert convolution["intensity"] == pytest.approx(operations / moved)
    assert convolution["seconds"] == pytest.approx(operations / 1e9)
    assert pool["seconds"] == pytest.approx(4 * (256 * 8 + 64 * 8) / 1e9)
    assert pool["intensity"] == 0
    assert drawn.seconds == pytest.approx(convolution["seconds"] + pool["seconds"])
    assert drawn.memory_bound_share == pytest.approx(pool["seconds"] / drawn.seconds)
    assert sum(row["seconds_share"] for row in drawn.layers) == pytest.approx(1)


def test_a_faster_memory_moves_the_ridge():
    sketch = two_layers()
    slow, fast = (replace(UNIT, bandwidth_gbs=speed) for speed in (0.01, 100.0))
    assert [row["bound"] for row in lint.roofline(sketch, slow).layers] == ["memory", "memory"]
    assert lint.roofline(sketch, fast).layers[0]["bound"] == "compute"
    assert (slow.ridge(4), fast.ridge(4)) == (pytest.approx(100), pytest.approx(0.01))
    assert lint.roofline(sketch, fast, element_bytes=1).ridge == pytest.approx(0.04)


def test_energy_follows_the_cited_figures():
    # Horowitz, ISSCC 2014, 45 nm: float32 3.7 + 0.9 pJ, int8 0.2 + 0.1 pJ (32-bit sum), DRAM 1.3 to 2.6 nJ and 1 MB of
    # SRAM 100 pJ for 64 bits.
    macs = 256 * 9 * 8 * 8
    elements = (256 * 8 + 256 * 8 + 9 * 8 * 8) + (256 * 8 + 64 * 8)
    floats = lint.roofline(two_layers(), UNIT)
    assert floats.energy_low_j == pytest.approx(1e-12 * (macs * 4.6 + 4 * elements * 1300 / 8))
    assert floats.energy_high_j == pytest.approx(1e-12 * (macs * 4.6 + 4 * elements * 2600 / 8))
    small = lint.roofline(two_layers(), replace(UNIT, memory="sram"), element_bytes=1)
    assert small.energy_low_j == small.energy_high_j == pytest.approx(1e-12 * (macs * 0.3 + elements * 12.5))
    assert MULTIPLY_ADD_PJ[2] == pytest.approx(1.5)
    assert "estimate" in floats.as_dict()["energy"]


@pytest.mark.parametrize("name", lint.PROFILES)
def test_every_profile_draws_every_layer_that_moves_something(name):
    sketch = zoo.sketch("mobilenet_v2")
    for element_bytes in (4, 1):
        drawn = lint.roofline(sketch, name, element_bytes=element_bytes)
        document = json.loads(json.dumps(drawn.as_dict()))
        assert document["profile"]["name"] == name
        assert sum(row["bytes"] for row in drawn.layers) == zoo.cost_of(sketch, element_bytes).memory_access_bytes
        assert sum(row["macs"] for row in drawn.layers) == zoo.cost_of(sketch).macs
        assert 0 < drawn.memory_bound_share <= 1


def test_peaks_follow_from_what_their_origin_says():
    phone, desktop, gpu, micro = (
        lint.PROFILES[name] for name in ("phone_cpu", "desktop_cpu", "gpu", "microcontroller")
    )
    assert (phone.float_gops, phone.int8_gops) == (pytest.approx(2.84 * 16, abs=0.1), pytest.approx(2.84 * 64, abs=0.1))
    assert phone.bandwidth_gbs == pytest.approx(4.266 * 4 * 2, abs=0.1)
    assert (desktop.float_gops, desktop.int8_gops, desktop.bandwidth_gbs) == (4 * 32, 4 * 128, 3.2 * 8 * 2)
    assert gpu.float_gops == pytest.approx(3584 * 2 * 1.582, abs=1)
    assert gpu.int8_gops == 4 * gpu.float_gops
    assert gpu.bandwidth_gbs == 352 / 8 * 11
    assert (micro.float_gops, micro.int8_gops, micro.bandwidth_gbs) == (0.48 * 2, 0.48 * 4, 0.24 * 8)


def test_impossible_targets_are_refused():
    with pytest.raises(ValueError, match="did you mean phone_cpu"):
        lint.roofline(two_layers(), "phone")
    with pytest.raises(ValueError, match="bandwidth_gbs 0 is not a number above 0"):
        replace(UNIT, bandwidth_gbs=0)
    with pytest.raises(ValueError, match="use dram or sram"):
        replace(UNIT, memory="flash")
