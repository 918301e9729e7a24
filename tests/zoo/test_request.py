"""Wrong requests fail at once, say what was received and what would work."""

from __future__ import annotations

import numpy as np
import pytest

import zoo


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"width": 0}, "width 0 "),
        ({"width": -1.0}, "width -1.0"),
        ({"width": float("nan")}, "width nan"),
        ({"width": float("inf")}, "width inf"),
        ({"width": "wide"}, "width 'wide'"),
        ({"width": True}, "width True"),
        ({"width": 1000}, "up to 16"),
        ({"width": 10**400}, "up to 16"),
        ({"resolution": 31.5}, "resolution 31.5 is not a whole number"),
        ({"resolution": 4}, "outside 8 to 4096"),
        ({"resolution": (224, 4)}, "outside 8 to 4096"),
        ({"resolution": (224, 224, 3)}, "pair"),
        ({"resolution": "224"}, "whole number"),
        ({"resolution": 100_000}, "outside 8 to 4096"),
        ({"classes": 1}, "classes 1 "),
        ({"classes": 2.0}, "classes 2.0"),
        ({"channels": 4}, "use 1 .grey. or 3 .RGB."),
        ({"channels": True}, "channels True"),
        ({"form": "fast"}, "train or deploy"),
        ({"dropuot": 0.1}, "did you mean dropout"),
        ({"dropout": 1.5}, "a number from 0 to 0.9"),
        ({"dropout": "much"}, "a number from 0 to 0.9"),
    ],
)
@pytest.mark.parametrize("call", [zoo.cost, zoo.build], ids=["cost", "build"])
def test_wrong_argument_is_refused_with_what_would_work(call, arguments, message):
    with pytest.raises(ValueError, match=message):
        call("mobilenet_v2", **arguments)


def test_unknown_architecture_offers_the_nearest():
    with pytest.raises(ValueError, match="did you mean mobilenet_v2"):
        zoo.architecture("mobilnet_v2")
    with pytest.raises(ValueError, match=r"choose one of mobilenet_v1, mobilenet_v2, "):
        zoo.cost("zzz")
    with pytest.raises(ValueError, match=r"unknown architecture \[1\]; choose one of"):
        zoo.cost([1])


def test_a_choice_that_is_not_offered_lists_the_choices():
    with pytest.raises(ValueError, match="choose one of relu6, relu"):
        zoo.cost("mobilenet_v1", activation="tanh")
    with pytest.raises(ValueError, match=r"'smal' is not offered; did you mean small\? choose one of large, small"):
        zoo.cost("mobilenet_v3", variant="smal")
    with pytest.raises(ValueError, match="groups 16 is not offered; choose one of 4, 8"):
        zoo.cost("condensenet", groups=16)


@pytest.mark.parametrize("value", [3.7, 3.0, "3", True])
def test_an_option_in_whole_numbers_takes_whole_numbers_only(value):
    with pytest.raises(ValueError, match=f"cells {value!r} is not a whole number from 0 to 20"):
        zoo.cost("nasnet", cells=value)


@pytest.mark.parametrize("value", ["yes", "False", 1, 0.0, None])
def test_a_switch_takes_true_and_false_only(value):
    assert zoo.cost("mobilenet_v1", residual=True).macs == zoo.cost("mobilenet_v1", residual=False).macs
    with pytest.raises(ValueError, match=f"residual {value!r} is not offered; it is true or false"):
        zoo.cost("mobilenet_v1", residual=value)


def test_mobilenet_v1_refuses_a_width_that_leaves_no_channel():
    with pytest.raises(ValueError, match=r"use at least 0\.03125"):
        zoo.cost("mobilenet_v1", width=0.01)


def test_numbers_from_numpy_are_numbers():
    cost = zoo.cost("mobilenet_v2", width=np.float32(0.5), resolution=np.int64(96), classes=np.int32(10))
    assert cost == zoo.cost("mobilenet_v2", width=0.5, resolution=96, classes=10)


def test_shufflenet_widths_follow_the_table_and_the_formula_off_it():
    from zoo.architectures.shufflenet_v2 import stage2_channels

    assert [stage2_channels(width) for width in (0.5, 1.0, 1.5, 2.0)] == [48, 116, 176, 244]
    assert stage2_channels(0.75) == 88  # 116 * 0.75 = 87
    assert stage2_channels(0.45) == 52
    assert stage2_channels(0.01) == 4
    assert all(stage2_channels(width / 100) % 4 == 0 for width in range(1, 400))
