"""Files of one operator run in the real runtime and compute what they say."""

from __future__ import annotations

import numpy as np
import pytest

from exports.kernel_files import KINDS, Kernel, kernel_file
from exports.tflite_file import read_facts

EXAMPLES = {
    "conv": Kernel("conv", 4, (6,), 10, window=3, stride=2, groups=2),
    "depthwise": Kernel("depthwise", 4, (6,), 6, window=5, stride=2),
    "dense": Kernel("dense", 1, (12,), 7),
    "add": Kernel("add", 4, (6, 6), 6),
    "concat": Kernel("concat", 4, (6, 3, 2), 11),
    "max_pool": Kernel("max_pool", 4, (6,), 6, window=3, stride=2),
    "average_pool": Kernel("average_pool", 4, (6,), 6, window=2, stride=2),
    "mean": Kernel("mean", 1, (6,), 6, stride=5),
    "slice": Kernel("slice", 4, (6,), 3),
    "shuffle": Kernel("shuffle", 4, (6,), 6, groups=3),
    "gather": Kernel("gather", 4, (6,), 9),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_runs_in_integers_too(kind):
    from ai_edge_litert.interpreter import Interpreter

    net = Interpreter(model_content=kernel_file(EXAMPLES.get(kind, Kernel(kind, 4, (6,), 6)), "int8"), num_threads=1)
    net.allocate_tensors()
    for one in net.get_input_details():
        assert one["dtype"] == np.int8
        net.set_tensor(one["index"], np.full(one["shape"], 16, np.int8))
    net.invoke()
    assert net.get_tensor(net.get_output_details()[0]["index"]).dtype == np.int8


def run(kernel: Kernel) -> tuple[list[np.ndarray], np.ndarray]:
    from ai_edge_litert.interpreter import Interpreter

    net = Interpreter(model_content=kernel_file(kernel), num_threads=1)
    net.allocate_tensors()
    draw = np.random.default_rng(1)
    given = [draw.normal(size=one["shape"]).astype(np.float32) for one in net.get_input_details()]
    for one, values in zip(net.get_input_details(), given, strict=True):
        net.set_tensor(one["index"], values)
    net.invoke()
    return given, net.get_tensor(net.get_output_details()[0]["index"])


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_runs_and_reads_and_writes_what_it_says(kind):
    kernel = EXAMPLES.get(kind, Kernel(kind, 4, (6,), 6))
    given, answer = run(kernel)
    assert answer.size == kernel.written
    assert np.isfinite(answer).all()
    read = given[0].size if kind in ("gate", "pad") else sum(one.size for one in given)
    if kind != "pad":
        assert read == kernel.read
    assert len(read_facts(kernel_file(kernel)).inputs) == len(given)


def test_known_operators_compute_what_they_should():
    (image,), answer = run(EXAMPLES["mean"])
    np.testing.assert_allclose(answer.ravel(), image.mean((0, 1, 2)), rtol=1e-5)
    (image,), answer = run(EXAMPLES["shuffle"])
    assert np.array_equal(answer[..., :3], image[..., ::2])
    maps, answer = run(EXAMPLES["concat"])
    assert np.array_equal(answer, np.concatenate(maps, axis=-1))


def test_costs_are_those_of_the_layer():
    assert EXAMPLES["conv"].macs == 16 * 9 * 3 * 10
    assert EXAMPLES["conv"].weights == 9 * 3 * 10 + 10
    assert EXAMPLES["depthwise"].macs == 16 * 25 * 6
    assert EXAMPLES["dense"].macs == 84
    assert EXAMPLES["add"].macs == 0


def test_an_unknown_kind_is_refused():
    with pytest.raises(ValueError, match="kind 'fft' is not known"):
        kernel_file(Kernel("fft", 4, (6,), 6))
