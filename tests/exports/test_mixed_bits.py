"""Files whose layers have bits of their own: what is stored, that they run, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from exports import Rounding, gate, try_precisions, write
from exports.calibrations import logits_of
from exports.int8_noise import noise_of
from exports.mixed_bits import BITS, FLOAT, INT8, MixedBits, parse_precision
from exports.tflite_file import parse, tensor_name
from tests.exports.conftest import LABELS


@pytest.fixture(scope="module")
def mixed(digits, tmp_path_factory) -> MixedBits:
    plain = write(digits.model_path, "tflite_float32", tmp_path_factory.mktemp("plain"), name="plain", labels=LABELS)
    batches = list(digits.calibration[:64, None].astype(np.float32))
    return MixedBits(plain.path.read_bytes(), batches, Rounding())


def stored_types(content: bytes) -> list[str]:
    file = parse(content)
    return [file.type_names[one.type] for one in file.model.subgraphs[0].tensors]


def test_layers_are_named_as_in_the_model_with_their_counts(mixed) -> None:
    assert [(one.name, one.operator, one.weights, one.macs) for one in mixed.layers] == [
        ("stem", "CONV_2D", 144, 64 * 144),
        ("depthwise", "DEPTHWISE_CONV_2D", 144, 64 * 144),
        ("second", "CONV_2D", 4608, 16 * 4608),
        ("logits", "FULLY_CONNECTED", 320, 320),
    ]
    assert "w4a8" not in mixed.layers[1].bits
    assert set(mixed.layers[0].bits) == set(BITS)


def test_every_precision_of_every_layer_runs_and_is_stored_as_it_says(mixed, digits) -> None:
    images = digits.images[:100]
    wanted = logits_of(mixed.plain, images)
    whole = len(mixed.file({}))
    for layer in mixed.layers:
        noise = {}
        for bits in layer.bits:
            content = mixed.file({layer.name: bits})
            types = stored_types(content)
            assert ("INT4" in types) == bits.startswith("w4"), (layer.name, bits)
            assert ("INT16" in types) == bits.endswith("a16"), (layer.name, bits)
            assert ("FLOAT32" in types) == (bits == FLOAT), (layer.name, bits)
            noise[bits] = noise_of(logits_of(content, images), wanted)
            assert noise[bits] < 0.2, (layer.name, bits)
        if layer.weights > 1000:
            assert len(mixed.file({layer.name: "w4a8"})) < whole - layer.weights // 2 + 600
            assert noise["w4a8"] > noise[INT8]


def test_alone_in_a_float_network_a_layer_has_the_noise_of_its_bits_only(mixed, digits) -> None:
    images = digits.images[:100]
    wanted = logits_of(mixed.plain, images)
    assert mixed.file({}, others=FLOAT) == mixed.plain
    alone = {bits: noise_of(logits_of(mixed.file({"second": bits}, others=FLOAT), images), wanted)
             for bits in ("w4a8", INT8, "w8a16")}  # fmt: skip
    assert alone["w4a8"] > alone[INT8] > alone["w8a16"] > 0


def test_ranges_are_those_of_the_rounding_and_a_pixel_is_one_step(mixed, digits) -> None:
    narrow = MixedBits(mixed.plain, mixed.batches, Rounding("percentile", 99.0))
    files = [parse(one.file({})).model.subgraphs[0] for one in (mixed, narrow)]
    assert float(files[0].tensors[int(files[0].inputs[0])].quantization.scale[0]) == 1.0
    scales = []
    for main in files:
        given = [one for one in main.tensors if one.quantization.scale is not None]
        scales.append({tensor_name(one): float(one.quantization.scale[0]) for one in given})
    smaller = [name for name in scales[0] if name in scales[1] and scales[1][name] < scales[0][name]]
    assert len(smaller) >= 3


def test_the_written_file_passes_its_gate(digits, tmp_path: Path) -> None:
    rounding = Rounding(precision=(("s*", "w4a8"), ("stem", "w8a16"), ("logits", FLOAT)))
    assert Rounding.from_dict(rounding.as_dict()) == rounding
    written = write(digits.model_path, "tflite_mixed", tmp_path, name="mixed", labels=LABELS,
                    calibration=digits.calibration, rounding=rounding)  # fmt: skip
    types = stored_types(written.path.read_bytes())
    assert {"INT4", "INT16", "FLOAT32", "INT8"} <= set(types)
    report = gate(written.path, written.contract, digits.images, digits.logits, digits.labels)
    assert report.passed, report.cause


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("stem_conv", "'stem_conv' cannot be read; write layer: bits"),
        ("stem_conv: w3a8", "bits 'w3a8' are not known; choose w8a8"),
        ("a: w8a8: w4a8", "cannot be read"),
        (": w8a8", "cannot be read"),
    ],
)
def test_a_precision_that_cannot_be_read_is_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_precision(text)


def test_precisions_are_read_in_order_and_the_later_pattern_counts(mixed) -> None:
    assert parse_precision(" conv2d* : w4a8,, logits:float ") == (("conv2d*", "w4a8"), ("logits", FLOAT))
    assert parse_precision("") == ()
    found = mixed.resolved((("*", INT8), ("second", "w4a8")))
    assert found == {"stem": INT8, "depthwise": INT8, "second": "w4a8", "logits": INT8}


def test_unknown_layers_and_bits_without_a_kernel_are_refused(mixed, digits, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"'head\*' fits no layer with weights; there are stem, depthwise"):
        mixed.resolved((("head*", INT8),))
    with pytest.raises(ValueError, match="'depthwise' cannot have w4a8; its operator runs with w8a8, w8a16"):
        mixed.resolved((("*", "w4a8"),))
    with pytest.raises(ValueError, match="no layer 'head'"):
        mixed.file({"head": INT8})
    with pytest.raises(ValueError, match="cannot have w4a8"):
        write(digits.model_path, "tflite_mixed", tmp_path, name="mixed", labels=LABELS,
              calibration=digits.calibration, rounding=Rounding(precision=(("*", "w4a8"),)))  # fmt: skip
    with pytest.raises(ValueError, match="bits w2a2 are not known"):
        try_precisions(digits.model_path, digits.calibration, digits.images[:8], ["w2a2"])
