"""Labels inside a .tflite: readable, harmless, and never in the way of an export."""

from __future__ import annotations

import io
import zipfile

import numpy as np
import pytest

import zoo
from exports.labels_inside import ENTRY, labels_inside, with_labels
from exports.network_files import network_file
from exports.tflite_file import BUFFER_ALIGNMENT, parse

LABELS = ("ankle boot", "Käse", "3")


@pytest.fixture(scope="module")
def plain() -> bytes:
    return network_file(zoo.sketch("mobilenet_v1", width=0.25, resolution=32, classes=3, channels=1, form="deploy"))


def answer(content: bytes) -> np.ndarray:
    from ai_edge_litert.interpreter import Interpreter

    net = Interpreter(model_content=content, num_threads=1)
    net.allocate_tensors()
    (taken,), (given,) = net.get_input_details(), net.get_output_details()
    net.set_tensor(taken["index"], np.random.default_rng(0).random(taken["shape"], dtype=np.float32))
    net.invoke()
    return net.get_tensor(given["index"])


def test_a_file_with_labels_answers_as_before(plain):
    content = with_labels(plain, LABELS, name="net", channels=1, divisor=1.0)
    assert np.array_equal(answer(content), answer(plain))
    assert labels_inside(content) == LABELS
    assert labels_inside(plain) is None
    with zipfile.ZipFile(io.BytesIO(content)) as archive:  # which must be mapped, not unpacked
        assert archive.getinfo("labels.txt").compress_type == zipfile.ZIP_STORED
    assert with_labels(plain, LABELS, name="net", channels=1, divisor=1.0) == content


def test_the_table_says_what_goes_in_and_what_the_labels_belong_to(plain):
    from flatbuffers import encode, number_types, table

    content = with_labels(plain, LABELS, name="net", channels=1, divisor=255.0)
    model = parse(content).model
    (entry,) = [one for one in model.metadata if one.name == ENTRY]
    held = bytes(bytearray(model.buffers[entry.buffer].data))
    assert held[4:8] == b"M001"

    def at(parent: table.Table, slot: int) -> table.Table:
        return table.Table(held, parent.Indirect(parent.Offset(4 + 2 * slot) + parent.Pos))

    def first(parent: table.Table, slot: int) -> table.Table:
        return table.Table(held, parent.Indirect(parent.Vector(parent.Offset(4 + 2 * slot))))

    def byte(parent: table.Table, slot: int) -> int:
        return parent.Get(number_types.Int8Flags, parent.Offset(4 + 2 * slot) + parent.Pos)

    root = table.Table(held, encode.Get(number_types.UOffsetTFlags.packer_type, held, 0))
    graph = first(root, 3)
    image, scores = first(graph, 2), first(graph, 3)
    content_of = at(image, 3)
    assert byte(content_of, 0) == 2  # ImageProperties
    assert byte(at(content_of, 1), 0) == 2  # GRAYSCALE
    step = first(image, 4)
    assert byte(step, 0) == 1  # NormalizationOptions
    options = at(step, 1)
    divisor = options.Get(number_types.Float32Flags, options.Vector(options.Offset(6)))
    assert divisor == 255.0
    file = first(scores, 6)
    assert file.String(file.Offset(4) + file.Pos) == b"labels.txt"
    assert byte(file, 2) == 2  # TENSOR_AXIS_LABELS


def test_labels_given_again_take_the_place_of_the_old_ones(plain):
    once = with_labels(plain, LABELS, name="net", channels=1, divisor=1.0)
    again = with_labels(once, LABELS[::-1], name="net", channels=1, divisor=1.0)
    assert labels_inside(again) == LABELS[::-1]
    assert len([one for one in parse(again).model.metadata if one.name == ENTRY]) == 1


@pytest.mark.parametrize("label", ["two\nlines", ""])
def test_a_label_that_is_not_one_line_is_refused(plain, label):
    with pytest.raises(ValueError, match="is not one line of text"):
        with_labels(plain, ["a", label, "b"], name="net", channels=1, divisor=1.0)


def test_buffers_lie_where_kernels_may_read_them_in_vectors(plain):
    from ai_edge_litert import schema_py_generated as schema

    model = schema.Model.GetRootAs(with_labels(plain, LABELS, name="net", channels=1, divisor=1.0), 0)
    places = [
        one._tab.Vector(one._tab.Offset(4))
        for one in map(model.Buffers, range(model.BuffersLength()))
        if one.DataLength()
    ]
    assert len(places) > 20
    assert all(place % BUFFER_ALIGNMENT == 0 for place in places)
