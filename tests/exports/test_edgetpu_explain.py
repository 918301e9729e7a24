"""The Edge TPU's placement foretold: real compiled twins, files of the zoo, and one planted fault for each rule."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exports import Artifact, explain_edgetpu
from exports.edgetpu_explain import explained, first_subgraph
from exports.edgetpu_rules import CPU, EDGETPU, RULES, UNCERTAIN, Seen, Tensor, ruling
from exports.tflite_file import pack, parse

PAIRS = Path(__file__).parents[3] / "shared" / "data" / "edgetpu"


@pytest.mark.parametrize("name", ["mobilenet_v1_0.25_128_quant", "deeplabv3_mnv2_dm05_pascal_quant"])
def test_a_file_before_the_compiler_tells_what_the_file_after_it_shows(name: str) -> None:
    if not (PAIRS / f"{name}.tflite").is_file():
        pytest.skip("the compiled pairs are not here")
    before, after = (explain_edgetpu(PAIRS / f"{name}{end}.tflite") for end in ("", "_edgetpu"))
    left = Counter(one["kind"] for one in before["ops"] if one["placement"] != "edgetpu")
    assert left == Counter(one["kind"] for one in after["ops"] if one["placement"] == "cpu")
    assert before["cpu_at_least"] == before["cpu_at_most"] == sum(left.values())
    assert after["verdict"] == "compiled"
    assert before["verdict"] == ("partial" if left else "all mapped")


def test_our_own_file_for_the_chip_is_mapped_whole(artifacts: dict[str, Artifact]) -> None:
    found = explain_edgetpu(artifacts["edgetpu"].path)
    assert (found["verdict"], found["blocker"], found["refusals"]) == ("all mapped", None, [])
    assert found["ops"][-1]["layer"] == "logits"
    # 16 x 9 + 16 x 9 + 512 x 9 weights and 330 of the dense layer; a bias of four bytes for each of 74 outputs.
    assert found["parameter_bytes"] >= 144 + 144 + 4608 + 320 + 4 * 74


def test_other_forms_of_the_same_network_say_what_is_missing(artifacts: dict[str, Artifact]) -> None:
    plain = explain_edgetpu(artifacts["tflite_float32"].path)
    assert plain["verdict"] == "refused"
    assert "not quantised" in plain["refusals"][0]
    assert {one["edit"] for one in plain["ops"] if one["kind"] == "CONV_2D"} == {
        "write the file as format edgetpu, int8 throughout"
    }
    per_channel = explain_edgetpu(artifacts["tflite_int8"].path)
    assert per_channel["verdict"] == "uncertain"
    (doubtful,) = [one for one in per_channel["ops"] if one["placement"] == "uncertain"]
    assert (doubtful["kind"], doubtful["edit"]) == ("FULLY_CONNECTED", "write the file as format edgetpu")
    assert (per_channel["cpu_at_least"], per_channel["cpu_at_most"]) == (0, 1)


def test_an_operator_in_the_middle_that_the_chip_lacks_ends_its_part(artifacts: dict[str, Artifact]) -> None:
    file = parse(artifacts["edgetpu"].path.read_bytes())
    kinds = [file.operator(one)[0] for one in file.model.subgraphs[0].operators]
    depthwise = kinds.index("DEPTHWISE_CONV_2D")
    numbers = {name: number for number, name in file.operator_names.items()}
    code = file.model.operatorCodes[file.model.subgraphs[0].operators[depthwise].opcodeIndex]
    code.builtinCode = code.deprecatedBuiltinCode = numbers["HARD_SWISH"]
    found = explained(pack(file.model))
    assert found.verdict == "partial"
    assert found.blocker is not None
    assert (found.blocker.kind, found.blocker.number) == ("HARD_SWISH", depthwise)
    assert "ReLU6" in found.blocker.edit
    assert [one.placement for one in found.ops] == [EDGETPU] * depthwise + [CPU] * (len(kinds) - depthwise)
    assert all("only before the first operator" in one.reason for one in found.ops[depthwise + 1 :])


def test_a_newer_version_of_an_operator_refuses_the_whole_file(artifacts: dict[str, Artifact]) -> None:
    file = parse(artifacts["edgetpu"].path.read_bytes())
    conv = next(one for one in file.model.subgraphs[0].operators if file.operator(one)[0] == "CONV_2D")
    file.model.operatorCodes[conv.opcodeIndex].version = 6
    found = explained(pack(file.model))
    assert found.verdict == "refused"
    assert "CONV_2D has version 6" in found.refusals[0]


@pytest.mark.parametrize("damage", ["cut", "text", "noise"])
def test_a_damaged_file_is_refused_in_a_sentence(artifacts: dict[str, Artifact], tmp_path: Path, damage: str) -> None:
    data = artifacts["edgetpu"].path.read_bytes()
    noise = np.random.default_rng(0).integers(0, 256, len(data), np.uint8).tobytes()
    broken = {"cut": data[: len(data) // 3], "text": b"hello", "noise": data[:8] + noise[8:]}[damage]
    (tmp_path / "broken.tflite").write_bytes(broken)
    with pytest.raises(ValueError, match=r"broken\.tflite cannot be read"):
        explain_edgetpu(tmp_path / "broken.tflite")


def int8(*shape: int, **more) -> Tensor:
    return Tensor(shape, "INT8", **more)


def values(*numbers: int) -> Tensor:
    return Tensor((len(numbers),), "INT32", constant=True, values=np.array(numbers, np.int32))


class Options:
    """Options as the flatbuffer names them; what is not given is as after a plain conversion."""

    def __init__(self, **given: int) -> None:
        self.__dict__.update({"ellipsisMask": 0, "newAxisMask": 0, "axis": 3} | given)


IMAGE, VECTOR = int8(1, 8, 8, 16), int8(1, 10)
KERNEL = int8(16, 3, 3, 16, constant=True, scales=16)
RULED = {
    "grouped": (Seen("CONV_2D", 5, (IMAGE, int8(16, 3, 3, 4, constant=True)), (IMAGE,)), CPU, "it is grouped"),
    "dilation": (Seen("CONV_2D", 1, (IMAGE, KERNEL), (IMAGE,), Options(dilationWFactor=2, dilationHFactor=1)), CPU,
                 "its dilation differs"),
    "plain convolution": (Seen("CONV_2D", 1, (IMAGE, KERNEL), (IMAGE,), Options()), EDGETPU, ""),
    "computed weights": (Seen("CONV_2D", 1, (IMAGE, int8(16, 3, 3, 16)), (IMAGE,), Options()), CPU, "weights are"),
    "dense on pixels": (Seen("FULLY_CONNECTED", 1, (IMAGE, int8(10, 16, constant=True)), (int8(1, 8, 8, 10),)), CPU,
                        "more than one vector"),
    "dense": (Seen("FULLY_CONNECTED", 1, (VECTOR, int8(10, 10, constant=True, scales=1)), (VECTOR,)), EDGETPU, ""),
    "pool with activation": (Seen("MAX_POOL_2D", 1, (IMAGE,), (IMAGE,), Options(fusedActivationFunction=1)), CPU,
                             "an activation is folded"),
    "constant part": (Seen("CONCATENATION", 1, (IMAGE, int8(1, 8, 8, 1, constant=True, values=np.ones(64))), (IMAGE,)),
                      CPU, "a constant that is not all zeros"),
    "mean of 6 channels": (Seen("MEAN", 1, (int8(1, 8, 8, 6), values(3)), (int8(1, 8, 8),)), CPU, "in fours"),
    "mean of pixels": (Seen("MEAN", 1, (IMAGE, values(1, 2)), (int8(1, 16),)), EDGETPU, ""),
    "mean of the batch": (Seen("MEAN", 1, (IMAGE, values(0)), (int8(8, 8, 16),)), CPU, "over the batch"),
    "split of channels": (Seen("SPLIT", 1, (values(3), IMAGE), (int8(1, 8, 8, 8),) * 2), EDGETPU, ""),
    "split of the batch": (Seen("SPLIT", 1, (values(0), IMAGE), (IMAGE,)), CPU, "along the batch"),
    "pad": (Seen("PAD", 1, (IMAGE, values(0, 0, 1, 1, 1, 1, 0, 0)), (int8(1, 10, 10, 16),)), EDGETPU, ""),
    "pad of the batch": (Seen("PAD", 1, (IMAGE, values(1, 0, 0, 0, 0, 0, 0, 0)), (int8(2, 8, 8, 16),)), CPU, "pads"),
    "slope for each pixel": (Seen("PRELU", 1, (IMAGE, int8(8, 8, 16, constant=True)), (IMAGE,)), CPU, "each pixel"),
    "slope for each channel": (Seen("PRELU", 1, (IMAGE, int8(1, 1, 16, constant=True)), (IMAGE,)), EDGETPU, ""),
    "twice as large": (Seen("RESIZE_BILINEAR", 1, (IMAGE,), (int8(1, 16, 16, 16),)), EDGETPU, ""),
    "four times": (Seen("RESIZE_BILINEAR", 1, (IMAGE,), (int8(1, 32, 32, 16),)), UNCERTAIN, "not published"),
    "middles of pixels": (Seen("RESIZE_BILINEAR", 3, (IMAGE,), (int8(1, 16, 16, 16),)), UNCERTAIN, "aligns"),
    "softmax over pixels": (Seen("SOFTMAX", 1, (IMAGE,), (IMAGE,)), CPU, "not one vector"),
    "every second value": (Seen("STRIDED_SLICE", 1, (IMAGE, values(0), values(8), values(1, 2, 2, 1)), (IMAGE,),
                                Options()), CPU, "every second"),
    "slice": (Seen("STRIDED_SLICE", 1, (IMAGE, values(0), values(8), values(1, 1, 1, 1)), (IMAGE,), Options()),
              EDGETPU, ""),
    "five dimensions": (Seen("RESHAPE", 1, (IMAGE,), (int8(1, 8, 8, 4, 4),)), CPU, "more than three inner dimensions"),
    "float": (Seen("ADD", 1, (Tensor((1, 8), "FLOAT32"),) * 2, (Tensor((1, 8), "FLOAT32"),)), CPU, "float32"),
    "quantised on the host": (Seen("QUANTIZE", 1, (Tensor((1, 8), "FLOAT32"),), (int8(1, 8),)), CPU, "on the host"),
    "open shape": (Seen("ADD", 1, (int8(1, 8, fixed=False),), (int8(1, 8),)), CPU, "not known before"),
    "transpose": (Seen("TRANSPOSE", 1, (IMAGE,), (IMAGE,)), UNCERTAIN, "some transpositions"),
    "pack": (Seen("PACK", 1, (int8(1, 8),) * 2, (int8(1, 2, 8),), Options(axis=1)), EDGETPU, ""),
    "unknown": (Seen("GATHER", 1, (IMAGE,), (IMAGE,)), CPU, "not among the chip's operators"),
}  # fmt: skip


@pytest.mark.parametrize("name", RULED)
def test_each_rule_says_its_reason(name: str) -> None:
    seen, placement, reason = RULED[name]
    found = ruling(seen)
    assert found.placement == placement
    assert reason in found.reason
    assert bool(found.reason) == (placement != EDGETPU)


def test_the_table_of_rules_is_tried_but_for_operators_that_always_run() -> None:
    tried = {seen.kind for seen, _, _ in RULED.values()}
    always = {kind for kind, rule in RULES.items() if rule.__name__ == "_always"}
    alike = {"DEPTHWISE_CONV_2D", "AVERAGE_POOL_2D", "SUM", "REDUCE_MAX", "REDUCE_MIN", "RESIZE_NEAREST_NEIGHBOR"}
    assert set(RULES) - tried - always == alike


@given(st.lists(st.tuples(st.booleans(), st.sets(st.integers(0, 11), max_size=3)), max_size=12))
def test_the_chip_gets_one_part_that_needs_nothing_from_later(drawn) -> None:
    """Any graph: the part is of able operators, closed under what lies between, and could not be larger."""
    able = [one for one, _ in drawn]
    sources = [sorted(given for given in reads if given < number) for number, (_, reads) in enumerate(drawn)]
    taken = first_subgraph(able, sources)
    assert all(able[one] for one in taken)
    below: list[bool] = []  # whether an operator of the CPU that needs the chip's part stands before this one
    for number, reads in enumerate(sources):
        behind = any(below[one] or (one in taken and number not in taken) for one in reads)
        below.append(behind)
        if number in taken:
            assert not behind
    before = set(range(len(able))) - taken
    # What could still join: able, and all that it reads is in the part or was run before it.
    first = min(taken, default=len(able))
    for one in before:
        if able[one] and one > first and all(each in taken for each in sources[one]):
            raise AssertionError(f"operator {one} could have joined")


def test_a_circle_is_no_graph() -> None:
    with pytest.raises(ValueError, match="in a circle"):
        first_subgraph([True, True], [[1], [0]])
