"""The largest design within limits: it fits, and nothing larger of its kind does."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import zoo
from zoo.designs import design
from zoo.fitting import NARROWEST, PER_WIDTH, WIDEST, largest
from zoo.grid import grid, resolutions_of, variants_of
from zoo.limits import Limits

NAMES = list(zoo.ARCHITECTURES)
SUMS = ("macs", "predicted_int8_bytes", "int8_peak_activation_bytes")


def request_of(one):
    return {"resolution": one.resolution, "classes": one.classes, "channels": one.channels, **one.options}


def counts(one):
    return one.params, one.macs, one.memory_access_bytes, one.peak_activation_bytes


def next_larger(one):
    """The next network of the same kind, one step of the rounding wider; None at the end of the search."""
    for step in range(round(one.width * PER_WIDTH) + 1, WIDEST + 1):
        wider = design(one.name, width=step / PER_WIDTH, **request_of(one))
        if counts(wider) != counts(one):
            return wider
    return None


@st.composite
def questions(draw):
    """A family, a resolution of one of its variants, and limits around what a random width of it needs."""
    name = draw(st.sampled_from(NAMES))
    family = zoo.architecture(name)
    options = draw(st.sampled_from(variants_of(family)))
    side = draw(st.sampled_from(resolutions_of(family, options)))
    middle = design(name, width=draw(st.integers(NARROWEST, 150)) / PER_WIDTH, resolution=side, classes=10, **options)
    limited = draw(st.sets(st.sampled_from(SUMS), min_size=1))
    limits = {key: int(getattr(middle, key) * draw(st.floats(0.5, 3.0))) for key in limited}
    return name, options, side, Limits(**limits)


@settings(max_examples=30, deadline=None)
@given(questions())
def test_the_answer_fits_and_the_next_larger_width_does_not(question):
    name, options, side, limits = question
    found = largest(name, limits, resolutions=[side], classes=10, **options)
    for one in found.rows:
        assert all(getattr(one, key) <= limit for key, limit in limits.named.items())
        wider = next_larger(one)
        assert wider is None or not limits.allow(wider)
    if not found.rows:
        assert limits.broken(design(name, width=found.narrowest[0].width, resolution=side, classes=10, **options))


@settings(max_examples=30, deadline=None)
@given(questions(), st.integers(NARROWEST, WIDEST))
def test_no_other_width_beats_the_answer(question, step):
    name, options, side, limits = question
    other = design(name, width=step / PER_WIDTH, resolution=side, classes=10, **options)
    best = largest(name, limits, resolutions=[side], classes=10, **options).best
    if limits.allow(other):
        assert best is not None
        assert (best.macs, best.params) >= (other.macs, other.params)


def test_a_published_network_is_found_by_its_own_cost():
    paper = design("mobilenet_v2", width=0.5, resolution=160)
    limits = Limits(macs=paper.macs, predicted_int8_bytes=paper.predicted_int8_bytes)
    assert largest("mobilenet_v2", limits, resolutions=[160]).best == paper


@pytest.mark.parametrize("name", NAMES)
def test_every_usual_resolution_and_variant_is_answered(name):
    family = zoo.architecture(name)
    enough = max(one.macs for one in grid([name], classes=10))
    found = largest(name, Limits(macs=enough), classes=10)
    kinds = {(tuple(one.options.items()), one.resolution) for one in found.rows}
    assert kinds == {(tuple(one.options.items()), one.resolution) for one in found.narrowest}
    assert {family.usual_resolution(options) for options in variants_of(family)} <= {
        one.resolution for one in found.rows
    }
    assert [one.macs for one in found.rows] == sorted((one.macs for one in found.rows), reverse=True)


def test_nothing_fits_says_what_the_smallest_needs():
    found = largest("mobilenet_v2", Limits(macs=1000, int8_peak_activation_bytes=10**9))
    assert found.best is None
    document = found.as_dict()
    assert document["rows"] == []
    assert document["smallest"]["macs"] == document["least"]["macs"] > 1000
    assert document["least"]["int8_peak_activation_bytes"] < 10**9


def test_a_named_option_is_kept():
    found = largest("mobilenet_v1", Limits(macs=50_000_000), resolutions=[96, (96, 128)], activation="relu")
    assert {one.options["activation"] for one in found.rows} == {"relu"}
    assert {one.resolution for one in found.rows} == {96, (96, 128)}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"macs": 0}, "macs 0"),
        ({"macs": -5}, "macs -5"),
        ({"macs": float("nan")}, "nan"),
        ({"macs": float("inf")}, "inf"),
        ({"macs": True}, "True"),
    ],
)
def test_limits_that_are_none_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        Limits(**wrong)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"resolutions": [96, 3]}, "3"),
        ({"classes": 1}, "classes"),
        ({"channels": 4}, "channels"),
        ({"drpout": 0.1}, "dropout"),
        ({"limits": Limits()}, "no limit"),
    ],
)
def test_a_wrong_question_is_refused(asked, message):
    with pytest.raises(ValueError, match=message):
        largest("mobilenet_v2", **{"limits": Limits(macs=10**7), **asked})
