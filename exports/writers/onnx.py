"""ONNX float32 through tf2onnx: input `image` `(batch, height, width, channels)` float32 with values 0..255.

Source: tf2onnx 1.17, opset 17. Grouped convolutions need a hand: legacy Keras wraps them in a jitted function, which
tf2onnx leaves as an unresolved call without complaining, so the plain operation is put back before tracing.
"""

from __future__ import annotations

import logging
import re
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

from exports.writers.source import PIXEL, Source

OPSET = 17
# Dense kernels with more weights are put in afterwards: the converter copies every constant dozens of times. AlexNet
# took 16 GB and 69 s with its kernels, and takes 3 GB and 10 s without, for the same bytes.
LARGE = 1_000_000
COUNTED = re.compile(r"__\d+")


def write(source: Source, format_id: str, path: Path) -> list[str]:
    """Write the ONNX file to `path` after `onnx.checker` has accepted it.

    Raises:
        ValueError: the model is int8-aware.
    """
    if source.int8_aware:
        raise ValueError(
            "onnx_float32 cannot be written from an int8-aware model; export it from the model before the quantise step"
        )
    import tf2onnx

    from zoo.keras import tf

    logging.getLogger("tf2onnx").setLevel(logging.WARNING)
    model = source.deployed
    _unjit_grouped_convolutions(model)
    dense = [layer for layer in model.layers if type(layer).__name__ == "Dense"]
    large = [layer for layer in dense if layer.kernel.shape.num_elements() > LARGE]
    signature = [tf.TensorSpec((None, *model.input_shape[1:]), tf.float32, name="image")]
    signature += [tf.TensorSpec(layer.kernel.shape, tf.float32, name=f"large_{at}") for at, layer in enumerate(large)]
    traced = tf.function(partial(_answer, model, large), autograph=False)
    graph, _ = tf2onnx.convert.from_function(traced, input_signature=signature, opset=OPSET)
    _put_back(graph, large)
    for value in (graph.graph.input[0], graph.graph.output[0]):
        value.type.tensor_type.shape.dim[0].dim_param = "batch"
    path.write_bytes(settled_bytes(graph))
    return []


def settled_bytes(graph: Any) -> bytes:
    """The graph as bytes that depend on the model alone, after `onnx.checker` has accepted it."""
    import onnx

    _settle_order(graph)
    _settle_names(graph)
    onnx.checker.check_model(graph, full_check=True)
    return bytes(graph.SerializeToString(deterministic=True))


def _answer(model: Any, large: list[Any], image: Any, *kernels: Any) -> Any:
    """The model's logits, with `kernels` in place of those of its `large` layers."""
    held = [layer.kernel for layer in large]
    try:
        for layer, kernel in zip(large, kernels, strict=True):
            vars(layer)["kernel"] = kernel  # past Keras, which would take the tensor for a new weight
        return model(image * PIXEL, training=False)
    finally:
        for layer, kernel in zip(large, held, strict=True):
            vars(layer)["kernel"] = kernel


def _put_back(graph: Any, large: list[Any]) -> None:
    """Turns the inputs that stood for the kernels of `large` layers into constants."""
    from onnx import numpy_helper

    inner = graph.graph
    for at, layer in enumerate(large):
        inner.initializer.append(numpy_helper.from_array(layer.kernel.numpy(), f"large_{at}"))
    del inner.input[1:]


def _unjit_grouped_convolutions(model: Any) -> None:
    for layer in model._flatten_layers(include_self=False):
        if getattr(layer, "groups", 1) > 1 and hasattr(layer, "_jit_compiled_convolution_op"):
            layer._jit_compiled_convolution_op = layer.convolution_op


def _settle_order(graph: Any) -> None:
    """Put the nodes in the order in which a walk from the answer back to the image meets them.

    tf2onnx rewrites graphs over unordered sets, so the order of nodes that do not need each other changes from one
    process to the next, and with it the bytes of the file.
    """
    inner = graph.graph
    makers = {output: node for node in inner.node for output in node.output}
    ordered: list[Any] = []
    met: set[int] = set()
    waiting: list[tuple[Any, bool]] = [(makers[inner.output[0].name], False)]
    while waiting:
        node, ready = waiting.pop()
        if ready:
            ordered.append(node)
        elif id(node) not in met:
            met.add(id(node))
            waiting.append((node, True))
            waiting += [(makers[name], False) for name in reversed(node.input) if name in makers]
    copies = [type(node).FromString(node.SerializeToString()) for node in ordered]
    del inner.node[:]
    inner.node.extend(copies)


def _settle_names(graph: Any) -> None:
    """Name the input `image`, the answer `logits` and the constants `constant`, and number repeated names.

    tf2onnx counts its names (`const_fold_opt__12`) through the whole process and calls a shared constant after any of
    its users, so the same model would otherwise give other bytes depending on what was converted before it.
    """
    inner = graph.graph
    constants = {constant.name for constant in inner.initializer}
    names: dict[str, str] = {"": "", inner.input[0].name: "image", inner.output[0].name: "logits"}
    times: Counter[str] = Counter(names.values())

    def settled(name: str) -> str:
        if name not in names:
            plain = "constant" if name in constants else COUNTED.sub("", name)
            times[plain] += 1
            names[name] = plain if times[plain] == 1 else f"{plain}__{times[plain]}"
        return names[name]

    inner.doc_string = ""
    inner.input[0].name = "image"
    inner.output[0].name = "logits"
    for node in inner.node:
        node.input[:] = [settled(name) for name in node.input]
        node.output[:] = [settled(name) for name in node.output]
    calls: Counter[str] = Counter()
    for node in inner.node:
        plain = COUNTED.sub("", node.name)
        calls[plain] += 1
        node.name = plain if calls[plain] == 1 else f"{plain}__{calls[plain]}"
    for constant in inner.initializer:
        constant.name = settled(constant.name)
    inner.initializer.sort(key=lambda constant: constant.name)
    # Shapes noted for inner tensors may still speak of the old symbol; they are derived again by every reader.
    del inner.value_info[:]
