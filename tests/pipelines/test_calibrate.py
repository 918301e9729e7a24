"""The calibration lab and the search for layers, on a real run and from the command line; and what is a safe set."""

from __future__ import annotations

import json

import pytest

from pipelines.__main__ import main
from pipelines.calibrate import CalibrationSettings, smallest_safe
from pipelines.jobs import InlineExecutor
from pipelines.recipes import Recipe
from pipelines.runs import Home, Registry
from pipelines.start import record
from pipelines.steps.export import calibration_places
from tests.pipelines.small import digits

PLAN = {
    "name": "tiny",
    "data": {"source": "digits", "resolution": 16},
    "model": {"name": "mobilenet_v1", "width": 0.1},
    "steps": [
        {"train": {"epochs": 6, "batch": 32, "learning_rate": 0.005, "shift": 0}},
        {"export": {"formats": ["tflite_int8"], "calibration_images": 8, "ranges": "mse"}},
    ],
}


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    opened = Home.open(tmp_path_factory.mktemp("home"))
    run = record(Registry(opened), Recipe.of(PLAN), queue=False).runs[0]
    assert InlineExecutor(opened).submit(run) == "done", Registry(opened).get(run).error
    return opened


@pytest.fixture
def asked(home, monkeypatch, capsys):
    """Runs a command in the home; gives its exit code, what it printed and its complaint."""
    monkeypatch.setenv("LITESMITH_HOME", str(home.folder))

    def ask(*words):
        code = main(list(words))
        out, err = capsys.readouterr()
        return code, out, err

    return ask


def test_the_lab_tries_sizes_and_ranges_over_repeats(asked) -> None:
    flags = ("--sizes", "100", "4", "--repeats", "2", "--images", "120")
    code, out, err = asked("calibrate", "r00001", *flags, "--json")
    assert code == 0, err
    found = json.loads(out)
    tried = [(row["images"], row["ranges"], row["seed"]) for row in found["rows"]]
    sizes = [(4, "min_max"), (100, "min_max"), (100, "percentile"), (100, "mse")]
    assert tried == [(*one, seed) for one in sizes for seed in (0, 1)]
    by_size = {(row["images"], row["ranges"]): row for row in found["summary"]}
    assert by_size[4, "min_max"]["noise"] > by_size[100, "min_max"]["noise"]
    assert by_size[100, "min_max"]["against_largest"] == 0.0
    assert found["smallest_safe"] in (100, 4)
    assert all(0 <= row["low"] <= row["top1"] <= row["high"] <= 1 for row in found["summary"])
    code, out, _ = asked("calibrate", "r00001", *flags)
    assert code == 0
    assert "images are enough" in out
    assert f"float top-1 {found['float_top1']:.4f}" in out


def test_the_layers_of_a_file_are_ranked_and_its_few_images_known(asked, home) -> None:
    (file,) = Registry(home).artifacts("r00001")
    code, out, err = asked("localise", file.id, "--images", "32", "--json")
    assert code == 0, err
    found = json.loads(out)
    assert (found["artifact"], found["images"]) == (file.id, 32)
    # Eight images leave ranges that clip, and clipped layers do not simply add up as those of a sound file do.
    assert 1 / 3 < sum(place["cost"] or 0 for place in found["places"]) / found["noise"] < 3
    for fault in found["faults"]:
        assert fault["cause"] not in ("one_sided_calibration", "input_range")
    assert asked("localise", file.id, "--images", "8")[0] == 0


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("calibrate", "r00009"), "r00009"),
        (("calibrate", "r00001", "--sizes", "0"), "give 1 to 4096 images"),
        (("calibrate", "r00001", "--repeats", "1"), "repeats = 1"),
        (("localise", "r00001-9-none"), "there is no artifact 'r00001-9-none'"),
        (("localise", "r00001-1-tflite_int8", "--images", "0"), "images = 0"),
    ],
)
def test_what_cannot_be_asked_is_refused(words, complaint, asked) -> None:
    code, _, err = asked(*words)
    assert code == 2
    assert complaint in err


def row(images: int, lost: float, noise: float) -> dict:
    return {"images": images, "ranges": "min_max", "against_largest_low": lost, "noise": noise}


def test_the_smallest_safe_set_is_safe_at_every_larger_size_too() -> None:
    rows = [row(8, 0.0, 1.0), row(25, -0.01, 1.2), row(100, 0.0, 1.1), row(400, 0.0, 1.0)]
    assert smallest_safe(rows, 0.5, 1.5) == 100, "25 loses a point, so 8 are not trusted either"
    assert smallest_safe(rows, 1.0, 1.5) == 8
    assert smallest_safe([row(8, 0.0, 2.0), row(400, 0.0, 1.0)], 0.5, 1.5) == 400


def test_settings_are_sorted_and_bounded() -> None:
    assert CalibrationSettings(sizes=(100, 8, 100)).sizes == (8, 100)
    with pytest.raises(ValueError, match="sizes"):
        CalibrationSettings(sizes=(5000,))


def test_images_are_drawn_evenly_or_as_they_come(cache_folder) -> None:
    data = digits(cache_folder)
    labels = data.splits["train"].labels
    even = [int((labels[calibration_places(data, 40, 0)] == label).sum()) for label in range(10)]
    assert even == [4] * 10
    mixed = calibration_places(data, 40, 0, even=False)
    assert len(set(mixed.tolist())) == 40
    assert [int((labels[mixed] == label).sum()) for label in range(10)] != even
    assert calibration_places(data, 40, 1).tolist() != calibration_places(data, 40, 0).tolist()
