"""`fit` and `zoo --grid`: one document, the promised exit codes, and the same numbers as `cost`."""

from __future__ import annotations

import csv
import io
import json

import pytest

from pipelines.__main__ import main
from pipelines.commands.command import count
from zoo.grid import grid


def document_of(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict:
    assert main([*arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize(
    ("text", "value"), [("20M", 20e6), ("20e6", 20e6), ("1.5 G", 1.5e9), ("300k", 3e5), ("300K", 3e5), ("250", 250.0)]
)
def test_numbers_are_read_as_people_write_them(text: str, value: float) -> None:
    assert count(text, "--macs") == value


def test_the_fit_costs_what_cost_says(capsys: pytest.CaptureFixture[str]) -> None:
    found = document_of(
        capsys, "fit", "mobilenet_v1", "--macs", "10M", "--kb", "250", "--activation-kb", "128", "--classes", "10"
    )
    best = found["best"]
    assert best == found["rows"][0]
    assert best["macs"] <= 10_000_000
    assert best["predicted_int8_bytes"] <= 250_000
    assert best["int8_peak_activation_bytes"] <= 128_000
    cost = document_of(
        capsys, "cost", "mobilenet_v1", "--width", str(best["width"]), "--resolution", str(best["resolution"]),
        "--classes", "10", "--element-bytes", "1",
    )  # fmt: skip
    assert cost["macs"] == best["macs"]
    assert cost["peak_activation_bytes"] == best["int8_peak_activation_bytes"]
    assert cost["predicted_int8_bytes"] == best["predicted_int8_bytes"]


def test_a_fit_keeps_to_the_resolutions_and_options_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    found = document_of(
        capsys, "fit", "mobilenet_v1", "--macs", "30e6", "--resolutions", "64,96x128", "--set", "activation=relu"
    )
    assert {str(row["resolution"]) for row in found["rows"]} == {"64", "[96, 128]"}
    assert {row["options"]["activation"] for row in found["rows"]} == {"relu"}


def test_nothing_that_fits_is_an_answer_too(capsys: pytest.CaptureFixture[str]) -> None:
    found = document_of(capsys, "fit", "mobilenet_v2", "--kb", "2")
    assert found["best"] is None
    assert found["rows"] == []
    assert found["least"]["predicted_int8_bytes"] > 2000
    assert main(["fit", "mobilenet_v2", "--kb", "2"]) == 0
    assert "The least that any of its networks needs" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["fit", "mobilenet_v2"], "--macs 20M"),
        (["fit", "mobilenet_v2", "--macs", "many"], "'many'"),
        (["fit", "mobilenet_v2", "--macs", "20,000"], "'20,000'"),
        (["fit", "mobilenet_v2", "--kb", "0"], "'0'"),
        (["fit", "mobilenet_v2", "--kb=-3"], "'-3'"),
        (["fit", "mobilenet_v2", "--activation-kb", "nan"], "'nan'"),
        (["fit", "mobilenet_v2", "--macs", "0.5"], "--macs '0.5' allows nothing"),
        (["fit", "mobilenet_v2", "--kb", "0.0001"], "--kb '0.0001' allows nothing: the least is 0.001"),
        (["fit", "mobilenet_v2", "--kb", "100", "--resolutions", ""], "resolution ''"),
        (["fit", "mobilenet_v2", "--kb", "100", "--set", "classes=10"], "write --classes"),
        (["fit", "mobilenet_v2", "--kb", "100", "--resolutions", "96,3"], "3"),
        (["fit", "mobilenet_v2", "--kb", "100", "--resolutions", "big"], "'big'"),
        (["fit", "mobilenet_v2", "--kb", "100", "--set", "drpout=1"], "dropout"),
        (["fit", "mobilenet_v2", "--kb", "100", "--classes", "1"], "classes 1"),
        (["fit", "mobilenet_v9", "--kb", "100"], "mobilenet_v2"),
        (["fit", "--kb", "100"], "required: name"),
        (["zoo", "mobilenet_v9", "--grid"], "mobilenet_v2"),
        (["zoo", "--csv"], "need --grid"),
        (["zoo", "--kb", "100"], "need --grid"),
        (["zoo", "--classes", "5"], "need --grid"),
        (["zoo", "--channels", "3"], "need --grid"),
        (["zoo", "--resolutions", ""], "resolution"),
        (["zoo", "--grid", "--channels", "2"], "channels"),
    ],
)
def test_mistakes_end_with_code_2(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*arguments, "--json"]) == 2
    found = json.loads(capsys.readouterr().out)
    assert found["kind"] == "person"
    assert message in found["error"]


def test_the_grid_is_listed_as_json_csv_and_table(capsys: pytest.CaptureFixture[str]) -> None:
    designs = document_of(capsys, "zoo", "mobilenet_v1", "shufflenet_v2", "--grid")["designs"]
    labels = [one.label for one in grid(["mobilenet_v1", "shufflenet_v2"])]
    assert [row["label"] for row in designs] == labels
    assert main(["zoo", "mobilenet_v1", "shufflenet_v2", "--grid", "--csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["label"] for row in rows] == labels
    assert [int(row["macs"]) for row in rows] == [row["macs"] for row in designs]
    assert main(["zoo", "mobilenet_v1", "--grid", "--usual", "--plain"]) == 0
    assert "MobileNetV1 x 1 at 224 px" in capsys.readouterr().out


def test_the_grid_keeps_within_limits(capsys: pytest.CaptureFixture[str]) -> None:
    found = document_of(capsys, "zoo", "--grid", "--macs", "60M", "--resolutions", "96,224", "--classes", "10")
    assert found["designs"]
    assert all(one["macs"] <= 60_000_000 and one["resolution"] in (96, 224) for one in found["designs"])
    assert document_of(capsys, "zoo", "--grid", "--kb", "0.5")["designs"] == []
    assert main(["zoo", "--grid", "--kb", "0.5", "--csv"]) == 0


@pytest.mark.parametrize(
    ("name", "width", "chosen", "in_paper"),
    [
        ("mobilenet_v2", "0.6", [], True),
        ("resnet", "0.5", [], False),
        ("proxylessnas", "1.4", [], True),
        ("proxylessnas", "1.4", ["--set", "variant=cpu"], False),
    ],
)
def test_cost_says_whether_the_width_is_the_papers(name, width, chosen, in_paper, capsys) -> None:
    assert document_of(capsys, "cost", name, "--width", width, *chosen)["in_paper"] is in_paper


def test_the_largest_that_fits_a_board_keeps_within_its_flash_and_ram(capsys):
    assert main(["fit", "mobilenet_v2", "--board", "nano_33_ble", "--classes", "10", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    best = document["best"]
    assert best["predicted_int8_bytes"] <= 1024 * 1024
    assert best["int8_peak_activation_bytes"] <= 256 * 1024
    assert document["limits"]["int8_peak_activation_bytes"] == 256 * 1024
    assert main(["fit", "mobilenet_v2", "--board", "nano_33_ble", "--kb", "100", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["limits"]["predicted_int8_bytes"] == 100_000
    assert main(["fit", "mobilenet_v2", "--board", "nano_33"]) == 2
    assert "nearest: nano_33_ble" in capsys.readouterr().err
