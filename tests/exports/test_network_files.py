"""Files of whole networks, written from their sketches: they run, and have the operators of the trained network's."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

import zoo
from exports import save_model, write
from exports.network_files import network_file
from exports.sketch_kernels import PADDED, kernels_of
from exports.tflite_file import read_facts
from tests.exports.test_zoo_files import lively
from tests.zoo.designs import NAMES, small
from zoo.lint.traffic import Traffic

# What the time of a network is learnt from, and the operators that it stands for.
OPERATORS = {
    "conv": "CONV_2D", "depthwise": "DEPTHWISE_CONV_2D", "dense": "FULLY_CONNECTED", "concat": "CONCATENATION",
    "max_pool": "MAX_POOL_2D", "average_pool": "AVERAGE_POOL_2D", "mean": "MEAN", "hard_swish": "HARD_SWISH",
    "pad": "PAD", "slice": "STRIDED_SLICE", "gather": "GATHER", "shuffle": "TRANSPOSE",
}  # fmt: skip


# Ours less the converter's, where they differ. ResNet: the pad before the stem becomes the convolution's own, as
# XNNPACK makes it in any case; NASNet: a ReLU that all readers of the stem share; ESPNetV2: one product.
MORE = {"resnet": {"PAD": 1}, "nasnet": {"RELU": 1}, "espnet_v2": {"MUL": -1}}


def operators(content: bytes) -> Counter[str]:
    return Counter(read_facts(content).operators)


@pytest.mark.parametrize("dtype", ["float32", "int8"])
@pytest.mark.parametrize("name", NAMES)
def test_a_file_runs_and_has_the_operators_that_its_time_is_foretold_from(name, dtype):
    from ai_edge_litert.interpreter import Interpreter

    sketch = zoo.sketch(name, **small(name), form="deploy")
    content = network_file(sketch, dtype)
    net = Interpreter(model_content=content, num_threads=1)
    net.allocate_tensors()
    (taken,), (given,) = net.get_input_details(), net.get_output_details()
    assert taken["dtype"] == given["dtype"] == np.dtype(dtype)
    image = np.random.default_rng(0).random(taken["shape"], dtype=np.float32)
    net.set_tensor(taken["index"], image if dtype == "float32" else (64 * image).astype(np.int8))
    net.invoke()
    assert np.isfinite(net.get_tensor(given["index"])).all()
    assert given["shape"].tolist() == [1, *sketch[sketch.outputs[0]].shape]
    kernels = Counter(kernel.kind for _, kernel in kernels_of(sketch))
    traffic = Traffic(sketch)
    kernels["pad"] += sum(
        op.kind == "pad" and all(sketch[reader].kind in PADDED for reader in traffic.readers[op.name])
        for op in traffic.ops
    )
    found = operators(content)
    assert {kind: kernels[kind] for kind in OPERATORS} == {kind: found[one] for kind, one in OPERATORS.items()}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", NAMES)
def test_a_file_has_the_operators_that_the_converter_writes(name, tmp_path):
    # A norm that adds 0, as an untrained one does, would lose its addition.
    save_model(lively(name, {**small(name), "form": "deploy"}), tmp_path / "model.keras")
    file = write(tmp_path / "model.keras", "tflite_float32", tmp_path, name="net", labels=["a", "b", "c"])
    theirs = operators(file.path.read_bytes())
    ours = operators(network_file(zoo.sketch(name, **small(name), form="deploy")))
    more = {kind: ours[kind] - theirs[kind] for kind in {*ours, *theirs} if ours[kind] != theirs[kind]}
    assert more == MORE.get(name, {})


def test_what_has_no_operator_is_refused_by_name():
    sketch = zoo.Sketch()
    image = sketch.input((8, 8, 3))
    sketch.add("Conv2DTranspose", "wider", {"filters": 4, "kernel_size": (2, 2), "strides": (2, 2)}, [image])
    with pytest.raises(ValueError, match=r"layer wider: a \.tflite for Conv2DTranspose can only be written"):
        network_file(sketch)
