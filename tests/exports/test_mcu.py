"""What a microcontroller needs for a file: the planner's own figures, and boards that are large enough or not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exports import BOARDS, Artifact, fit_mcu, save_model, write
from exports.mcu_arena import CHIP_32_BIT, HOST_64_BIT, Buffer, arena_of, planned
from exports.mcu_boards import board_named
from exports.mcu_fit import registration
from exports.mcu_runtime import allocated, installed
from exports.tflite_file import parse

SHARED = Path(__file__).parents[3] / "shared" / "data" / "import"

# Network, width -> bytes of activations in the arena, and of the whole arena on this 64-bit host, as tflite-micro
# 0.dev20261023182759 reported them for the int8 file at 32 px with one channel and ten classes.
REPORTED = {
    ("shufflenet_v2", 0.5): (61_440, 122_064),
    ("shufflenet_v1", 0.25): (47_616, 94_416),
    ("ghostnet", 0.25): (57_344, 135_952),
    ("squeezenet", 0.25): (135_232, 151_312),
}
QUICK = ("shufflenet_v2", 0.5)


@pytest.mark.parametrize(
    "network", [one if one == QUICK else pytest.param(one, marks=pytest.mark.slow) for one in REPORTED], ids=str
)
def test_the_plan_is_that_of_the_runtime_and_the_whole_is_near_it_from_below(network, tmp_path: Path) -> None:
    import zoo

    name, width = network
    save_model(zoo.build(name, width=width, resolution=32, classes=10, channels=1), tmp_path / "model.keras")
    noise = np.random.default_rng(0).integers(0, 256, (8, 32, 32, 1), np.uint8)
    labels = tuple("0123456789")
    written = write(tmp_path / "model.keras", "tflite_int8", tmp_path, name=name, labels=labels, calibration=noise)
    data = written.path.read_bytes()
    activations, whole = REPORTED[network]
    found = arena_of(parse(data), HOST_64_BIT)
    assert found.activations == activations
    assert 0.9 * whole <= found.total <= whole
    assert arena_of(parse(data), CHIP_32_BIT).total < found.total


@pytest.mark.parametrize(
    ("name", "activations", "whole"),
    [("pretrainedResnet_quant.tflite", 49_152, 55_984), ("pretrainedResnet.tflite", 196_608, 203_376)],
)
def test_a_file_made_elsewhere(name: str, activations: int, whole: int) -> None:
    if not (SHARED / name).is_file():
        pytest.skip("the network of MLPerf Tiny is not here")
    found = arena_of(parse((SHARED / name).read_bytes()), HOST_64_BIT)
    assert found.activations == activations
    assert 0.9 * whole <= found.total <= whole


@pytest.mark.skipif(installed() is None, reason="tflite-micro is not installed")
def test_the_runtime_itself(artifacts: dict[str, Artifact]) -> None:
    for form in ("tflite_int8", "tflite_float32", "edgetpu"):
        path = artifacts[form].path
        said, found = allocated(path), arena_of(parse(path.read_bytes()), HOST_64_BIT)
        assert said is not None
        assert found.activations == said["activation_bytes"]
        # Of so small an arena the rest is a quarter.
        assert 0.9 * said["arena_bytes"] - 1024 <= found.total <= said["arena_bytes"]
        fitted = fit_mcu(path, ())
        assert fitted["runtime"] == said
        assert fitted["activation_bytes"] == said["activation_bytes"]


@pytest.mark.skipif(installed() is None, reason="tflite-micro is not installed")
def test_what_the_runtime_refuses_fits_no_board(tmp_path: Path) -> None:
    """An operator that TFLite knows and the microcontroller's runtime does not."""
    from zoo.keras import tf

    normalise = tf.function(lambda image: tf.nn.lrn(image), autograph=False)
    concrete = normalise.get_concrete_function(tf.TensorSpec((1, 4, 4, 8), tf.float32, name="image"))
    path = tmp_path / "normalised.tflite"
    path.write_bytes(tf.lite.TFLiteConverter.from_concrete_functions([concrete]).convert())
    found = fit_mcu(path)
    assert "LOCAL_RESPONSE_NORMALIZATION" in found["runtime"]["refused"]
    assert found["refusals"][0].startswith("tflite-micro")
    assert not any(board["fits"] for board in found["boards"])


def test_without_the_runtime_the_file_is_counted(artifacts: dict[str, Artifact], monkeypatch) -> None:
    monkeypatch.setattr("exports.mcu_runtime.PACKAGE", "no-such-package")
    found = fit_mcu(artifacts["tflite_int8"].path, ())
    assert found["runtime"] is None
    assert found["arena_bytes"] == arena_of(parse(artifacts["tflite_int8"].path.read_bytes())).total


def test_boards_say_yes_or_what_is_missing(artifacts: dict[str, Artifact]) -> None:
    found = fit_mcu(artifacts["tflite_int8"].path)
    assert [board["name"] for board in found["boards"]] == list(BOARDS)
    assert all(board["fits"] for board in found["boards"])
    assert found["flash_bytes"] == artifacts["tflite_int8"].path.stat().st_size
    assert {"kind": "DEPTHWISE_CONV_2D", "count": 1, "register": "AddDepthwiseConv2D"} in found["operators"]
    assert found["live_bytes"] <= found["activation_bytes"] < found["arena_bytes"]
    small = board_named("microbit_v2")
    tight = type(small)("tiny", "Tiny", "none", flash=4, ram=2)
    (board,) = fit_mcu(artifacts["tflite_int8"].path, (tight,))["boards"]
    assert not board["fits"]
    assert board["missing_flash_kb"] == -(-found["flash_bytes"] // 1024) - 4
    assert board["missing_ram_kb"] == -(-found["arena_bytes"] // 1024) - 2


def test_a_hybrid_file_is_refused_on_every_board(artifacts: dict[str, Artifact]) -> None:
    found = fit_mcu(artifacts["tflite_dynamic"].path)
    assert "computed in float" in found["refusals"][0]
    assert not any(board["fits"] for board in found["boards"])


def test_what_is_no_file_and_what_is_no_board_is_refused(tmp_path: Path) -> None:
    (tmp_path / "words.tflite").write_text("hello")
    with pytest.raises(ValueError, match=r"words\.tflite cannot be read"):
        fit_mcu(tmp_path / "words.tflite")
    with pytest.raises(ValueError, match=r"nearest: .*pico"):
        board_named("picco")


@pytest.mark.parametrize(
    ("kind", "call"),
    [("CONV_2D", "AddConv2D"), ("HARD_SWISH", "AddHardSwish"), ("RESIZE_NEAREST_NEIGHBOR", "AddResizeNearestNeighbor"),
     ("ADD", "AddAdd"), ("L2_NORMALIZATION", "AddL2Normalization")],
)  # fmt: skip
def test_operators_are_registered_by_name(kind: str, call: str) -> None:
    assert registration(kind) == call


sides = st.tuples(st.integers(1, 40), st.integers(0, 9), st.integers(0, 9))
buffers = st.lists(sides.map(lambda one: (16 * one[0], *sorted(one[1:]))), max_size=12)


@given(buffers)
def test_a_plan_holds_all_that_live_at_once_and_no_more_than_all_together(drawn) -> None:
    given = [Buffer(number, *one) for number, one in enumerate(drawn)]
    live = max((sum(one.size for one in given if one.first <= now <= one.last) for now in range(10)), default=0)
    assert live <= planned(given) <= sum(one.size for one in given)


def test_equal_buffers_are_placed_from_the_last_tensor_on() -> None:
    """The smallest case in which the order among equals matters: turned round, the same lives need another layout."""
    lives = [(32, 1, 1), (32, 3, 4), (16, 2, 4), (32, 1, 2)]
    assert planned([Buffer(number, *one) for number, one in enumerate(lives)]) == 64
    assert planned([Buffer(3 - number, *one) for number, one in enumerate(lives)]) == 80
