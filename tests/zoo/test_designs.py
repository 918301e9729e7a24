"""Single designs, and the grid of all of them."""

from __future__ import annotations

import subprocess
import sys

import pytest

import zoo
from zoo.designs import design, published
from zoo.grid import EXTENSION_WIDTHS, grid, requests, resolutions_of, variants_of

NAMES = list(zoo.ARCHITECTURES)


@pytest.mark.parametrize("name", NAMES)
def test_a_design_costs_what_the_cost_command_says(name):
    family = zoo.architecture(name)
    for options in variants_of(family):
        side = family.usual_resolution(options)
        one = design(name, width=family.default_width, classes=10, **options)
        float32 = zoo.cost(name, width=family.default_width, resolution=side, classes=10, **options)
        int8 = zoo.cost(name, width=family.default_width, resolution=side, classes=10, element_bytes=1, **options)
        assert one.resolution == side
        assert one.usual_resolution
        for sum_ in ("params", "trainable_params", "macs", "memory_access_bytes", "peak_activation_bytes"):
            assert getattr(one, sum_) == getattr(float32, sum_)
        assert one.int8_peak_activation_bytes == int8.peak_activation_bytes
        assert one.predicted_int8_bytes == zoo.predicted_int8_bytes(
            zoo.sketch(name, width=family.default_width, resolution=side, classes=10, **options)
        )


@pytest.mark.parametrize("name", NAMES)
def test_the_grid_holds_every_variant_width_resolution_and_published_design(name):
    family = zoo.architecture(name)
    found = grid([name], extensions=True)
    assert len({(one.width, one.resolution, tuple(one.options.items())) for one in found}) == len(found)
    asked = list(requests(family, extensions=True))
    assert {one.width for one in found} >= {request["width"] for request in asked}
    assert {one.resolution for one in found} == {request["resolution"] for request in asked}
    for options in variants_of(family):
        settled = {key: value for key, value in family.settle(options).items() if key in options}
        assert any(settled.items() <= dict(one.options).items() and one.usual_resolution for one in found), options
    for row in family.published:
        same = [
            one
            for one in found
            if (one.width, one.resolution) == (row.width, row.resolution)
            and family.settle(one.options) == family.settle(row.options)
        ]
        assert len(same) == 1, row
        if row.top1 is not None:
            assert same[0].top1 is not None


@pytest.mark.parametrize("name", NAMES)
def test_widths_of_our_own_are_asked_for_and_marked(name):
    family = zoo.architecture(name)
    without, with_them = grid([name]), grid([name], extensions=True)
    assert set(without) <= set(with_them)
    assert all(one.in_paper for one in without)
    for options in variants_of(family):
        published = set(family.published_widths(options))
        own = [one for one in with_them if family.settle(options) == family.settle(one.options)]
        assert {one.width for one in own if one.in_paper} == published
        beyond = set(EXTENSION_WIDTHS) - published if family.other_widths_are_extension(options) else set()
        assert {one.width for one in own if not one.in_paper} == beyond


@pytest.mark.parametrize(
    ("name", "options", "inside", "beyond"),
    [
        ("mobilenet_v2", {}, (0.35, 0.6, 1.4), ()),
        ("resnet", {}, (1.0,), (0.5, 2.0)),
        ("shufflenet_v2", {}, (0.5, 1.0, 1.5, 2.0), (0.25, 0.75, 2.5)),
        ("proxylessnas", {"variant": "mobile"}, (1.0, 1.4), (0.5, 1.2)),
        ("proxylessnas", {"variant": "gpu"}, (1.0,), (0.5, 1.4)),
        ("proxylessnas", {"variant": "cpu"}, (1.0,), (0.5, 1.4)),
        ("igc", {"variant": "v3"}, (0.5, 0.7, 1.0), ()),
        ("igc", {"variant": "v1"}, (1.0,), (0.7, 1.4)),
    ],
)
def test_a_width_is_in_the_paper_by_a_table_or_by_a_multiplier(name, options, inside, beyond):
    assert [design(name, width=width, **options).in_paper for width in inside] == [True] * len(inside)
    assert [design(name, width=width, **options).in_paper for width in beyond] == [False] * len(beyond)


def test_resolutions_of_a_variant_end_at_its_own():
    family = zoo.Architecture(
        name="made_up", title="", source="", summary="", features=lambda image: image, widths=(1.0,),
        options=(zoo.Option("variant", "large", "Which", choices=("large", "huge", "cifar")),),
        resolutions=(96, 160, 224), variant_resolutions={"huge": 260, "cifar": 32},
    )  # fmt: skip
    assert resolutions_of(family, {"variant": "large"}) == (96, 160, 224)
    assert resolutions_of(family, {"variant": "huge"}) == (96, 160, 224, 260)
    assert resolutions_of(family, {"variant": "cifar"}) == (32,)


def test_a_published_figure_belongs_to_exactly_its_design():
    family = zoo.architecture("mobilenet_v1")
    assert published(family, 1.0, 224, {}).top1 == 70.9
    assert published(family, 1.0, 223, {}) is None
    assert published(family, 0.26, 224, {}) is None
    other = {"activation": "relu"}
    assert published(family, 1.0, 224, other) is None


def test_special_operators_name_what_a_plain_runtime_lacks():
    assert design("mobilenet_v2").special == ()
    assert set(design("shufflenet_v2").special) >= {"shuffle", "slice"}


@pytest.mark.parametrize("wrong", [{"classes": 1}, {"channels": 2}])
def test_the_grid_refuses_what_no_network_can_be(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        grid(**wrong)
    with pytest.raises(ValueError, match="mobilenet_v2"):
        grid(["mobilenet_v22"])


def test_the_whole_grid_is_counted_without_tensorflow_and_kept():
    code = (
        "import sys; from zoo.grid import grid; found = grid(); print(len(found))\n"
        "assert all(kept is one for kept, one in zip(grid(), found, strict=True))\n"
        "bad = {'tensorflow', 'tf_keras', 'keras'} & set(sys.modules); assert not bad, bad\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= 70
