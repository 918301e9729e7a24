import argparse
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as some

from pipelines.settings import Settings, fields_of, make, setting
from pipelines.settings_arguments import settings_arguments, settings_given, settings_words


class Example(Settings):
    epochs: int = setting(5, ge=1, le=9, unit="epochs", help="How often")
    rate: float = setting(0.5, gt=0, lt=1, help="How fast")
    mode: Literal["a", "b"] = setting("a", help="Which way")
    patience: int | None = setting(None, ge=1, help="How long")
    formats: tuple[str, ...] = setting(("x",), help="Which files")
    sizes: tuple[int, ...] = setting((), help="How many")
    flip: bool = setting(False, help="Mirror")


class Scale(Settings):
    factor: float | None = setting(None, gt=0, help="How large")
    steps: tuple[float, ...] = setting((1.0,), help="In which steps")
    sharp: bool = setting(False, help="Without smoothing")
    count: int = setting(1, help="How many")


def test_fields_tell_all_that_a_form_needs():
    fields = {field.name: field for field in fields_of(Example)}
    assert (fields["epochs"].type, fields["epochs"].minimum, fields["epochs"].maximum) == (int, 1, 9)
    assert (fields["epochs"].unit, fields["epochs"].help, fields["epochs"].default) == ("epochs", "How often", 5)
    assert (fields["rate"].minimum, fields["rate"].maximum, fields["rate"].exclusive) == (0, 1, True)
    assert fields["mode"].choices == ("a", "b")
    assert fields["patience"].optional
    assert fields["patience"].type is int
    assert fields["formats"].type is tuple
    assert fields["flip"].type is bool


def test_settings_are_frozen():
    with pytest.raises(Exception, match="frozen"):
        Example().epochs = 3  # type: ignore[misc]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"epoch": 3}, r"train\.epoch is not a setting; did you mean epochs\?"),
        ({"epochs": 0}, r"train\.epochs = 0: .*greater than or equal to 1"),
        ({"epochs": 2.5}, r"train\.epochs = 2\.5"),
        ({"rate": float("nan")}, r"train\.rate = nan"),
        ({"mode": "c"}, r"train\.mode = 'c': .*'a' or 'b'"),
        ({"zzz": 1}, "known keys: epochs, rate, mode"),
        ({"epochs": True}, r"train\.epochs = True: .*valid integer"),
        ({"epochs": "3"}, r"train\.epochs = '3': .*valid integer"),
        ({"epochs": 3.0}, r"train\.epochs = 3\.0: .*valid integer"),
        ({"rate": True}, r"train\.rate = True: .*valid number"),
        ({"rate": "0.5"}, r"train\.rate = '0\.5': .*valid number"),
        ({"patience": True}, r"train\.patience = True: .*valid integer"),
        ({"flip": 1}, r"train\.flip = 1: .*valid boolean"),
        ({"sizes": [8, True]}, r"train\.sizes\.1 = True: .*valid integer"),
        ({"sizes": ["8"]}, r"train\.sizes\.0 = '8': .*valid integer"),
        ({"formats": "x" * 100}, r"train\.formats = 'x{76}\.\.\.: .*valid tuple"),
    ],
)
def test_mistakes_name_the_place_the_value_and_what_would_work(values, message):
    with pytest.raises(ValueError, match=message):
        make(Example, values, "train")


def test_a_whole_number_is_a_number_and_a_list_is_a_tuple():
    made = make(Scale, {"factor": 2, "steps": [1, 0.5]}, "scale")
    assert (made.factor, made.steps) == (2.0, (1.0, 0.5))


@pytest.mark.parametrize(
    ("flags", "values"),
    [
        (["--factor", "2", "--steps", "1", "0.5"], {"factor": 2.0, "steps": [1.0, 0.5]}),
        (["--sharp", "--count", "7"], {"sharp": True, "count": 7}),
    ],
)
def test_flags_hand_over_values_of_the_right_type(flags, values):
    parser = argparse.ArgumentParser()
    settings_arguments(parser, Scale)
    given = settings_given(parser.parse_args(flags), Scale)
    assert given == values
    make(Scale, given, "scale")


@given(
    values=some.fixed_dictionaries(
        {},
        optional={
            "epochs": some.integers(1, 9),
            "rate": some.floats(0.01, 0.99),
            "mode": some.sampled_from("ab"),
            "patience": some.integers(1, 1000),
            "formats": some.lists(some.text("xyz_", min_size=1), max_size=3),
            "flip": some.booleans(),
        },
    )
)
def test_words_of_values_are_read_back_as_the_same_values(values):
    parser = argparse.ArgumentParser()
    settings_arguments(parser, Example)
    read = settings_given(parser.parse_args(settings_words(Example, values)), Example)
    assert make(Example, read, "example") == make(Example, values, "example")


def test_what_stands_at_its_default_needs_no_words():
    assert settings_words(Example, {"epochs": 5, "formats": ["x"], "flip": False}) == []
    assert settings_words(Example, {"formats": [], "flip": True}) == ["--formats", "--flip"]
