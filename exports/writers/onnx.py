"""ONNX float32 through tf2onnx: input `image` `(batch, height, width, channels)` float32 with values 0..255.

Source: tf2onnx 1.17, opset 17. Grouped convolutions need a hand: legacy Keras wraps them in a jitted function, which
tf2onnx leaves as an unresolved call without complaining, so the plain operation is put back before tracing.
"""

from __future__ import annotations

import logging
from pathlib import Path

from exports.writers.source import Source

OPSET = 17


def write(source: Source, format_id: str, path: Path) -> list[str]:
    """Write the ONNX file to `path` after `onnx.checker` has accepted it.

    Raises:
        ValueError: the model is int8-aware.
    """
    if source.int8_aware:
        raise ValueError(
            "onnx_float32 cannot be written from an int8-aware model; export it from the model before the quantise step"
        )
    import onnx
    import tf2onnx

    from zoo.keras import tf

    logging.getLogger("tf2onnx").setLevel(logging.WARNING)
    model = source.raw_pixels(batch=None)
    _unjit_grouped_convolutions(model)
    signature = [tf.TensorSpec((None, *model.input_shape[1:]), tf.float32, name="image")]
    traced = tf.function(lambda image: model(image, training=False), autograph=False)
    graph, _ = tf2onnx.convert.from_function(traced, input_signature=signature, opset=OPSET)
    _name_ends(graph)
    onnx.checker.check_model(graph, full_check=True)
    path.write_bytes(graph.SerializeToString(deterministic=True))
    return []


def _unjit_grouped_convolutions(model: object) -> None:
    for layer in model._flatten_layers(include_self=False):  # type: ignore[attr-defined]
        if getattr(layer, "groups", 1) > 1 and hasattr(layer, "_jit_compiled_convolution_op"):
            layer._jit_compiled_convolution_op = layer.convolution_op


def _name_ends(graph: object) -> None:
    """Call the answer `logits` and the free dimension `batch`; tf2onnx names them after internal tensors."""
    inner = graph.graph  # type: ignore[attr-defined]
    old = inner.output[0].name
    for node in inner.node:
        node.input[:] = ["logits" if name == old else name for name in node.input]
        node.output[:] = ["logits" if name == old else name for name in node.output]
    inner.output[0].name = "logits"
    for value in (inner.input[0], inner.output[0]):
        value.type.tensor_type.shape.dim[0].dim_param = "batch"
    # Shapes noted for inner tensors may still speak of the old symbol; they are derived again by every reader.
    del inner.value_info[:]
