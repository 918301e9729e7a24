from typing import Literal

import pytest

from pipelines.settings import Settings, fields_of, make, setting


class Example(Settings):
    epochs: int = setting(5, ge=1, le=9, unit="epochs", help="How often")
    rate: float = setting(0.5, gt=0, lt=1, help="How fast")
    mode: Literal["a", "b"] = setting("a", help="Which way")
    patience: int | None = setting(None, ge=1, help="How long")
    formats: tuple[str, ...] = setting(("x",), help="Which files")
    flip: bool = setting(False, help="Mirror")


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
    ],
)
def test_mistakes_name_the_place_the_value_and_what_would_work(values, message):
    with pytest.raises(ValueError, match=message):
        make(Example, values, "train")
