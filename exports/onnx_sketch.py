"""An .onnx file as a sketch. ONNX Runtime folds norms and ReLUs when it loads a file, so it is read folded.

Convolutions lie as (batch, channels, height, width) in a file; the sketch has channels last, like every other. Nothing
is executed. `exports/file_sketch.py` does this in a child process.
"""

from __future__ import annotations

from math import prod
from pathlib import Path
from typing import Any

from zoo.sketches import Op, Sketch

KINDS = {
    "Conv": "conv", "ConvTranspose": "transposed", "MatMul": "dense", "Gemm": "dense", "BatchNormalization": "norm",
    "Relu": "relu", "Clip": "relu", "PRelu": "prelu", "LeakyRelu": "leaky_relu", "HardSwish": "hard_swish",
    "HardSigmoid": "hard_sigmoid", "Sigmoid": "activation", "Tanh": "activation", "Softmax": "softmax", "Add": "add",
    "Sub": "subtract", "Mul": "gate", "Div": "elementwise", "Max": "maximum", "Min": "elementwise",
    "Concat": "concat", "Split": "slice", "Slice": "slice", "Transpose": "shuffle", "Gather": "gather",
    "MaxPool": "max_pool", "AveragePool": "average_pool", "GlobalAveragePool": "global_pool",
    "ReduceMean": "global_pool", "Pad": "pad", "Resize": "resize", "Cast": "rescale", "QuantizeLinear": "rescale",
    "DequantizeLinear": "rescale",
}  # fmt: skip
VIEWS = ("Reshape", "Squeeze", "Unsqueeze", "Flatten", "Identity", "Dropout", "Constant")


def read_sketch(path: Path) -> tuple[Sketch, int]:
    """The sketch of the file at `path` and the bytes of one activation, 4.

    Raises: ValueError when the sizes of maps are not fixed (the batch may be open).
    """
    import onnx
    from onnx import numpy_helper

    model = onnx.shape_inference.infer_shapes(onnx.load(str(path)))
    graph = model.graph
    weights = {item.name: tuple(item.dims) for item in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant":
            weights[node.output[0]] = numpy_helper.to_array(node.attribute[0].t).shape
    shapes = {
        value.name: _shape(tuple(side.dim_value for side in value.type.tensor_type.shape.dim))
        for value in (*graph.input, *graph.value_info, *graph.output)
        if value.type.tensor_type.HasField("shape")
    }
    sketch = Sketch()
    made_by: dict[str, str] = {}
    for value in graph.input:
        if value.name not in weights:
            made_by[value.name] = sketch.input(shapes[value.name], sketch.fresh(value.name)).name
    for node in graph.node:
        if node.op_type != "Constant":
            _write(sketch, node, weights, shapes, made_by)
    sketch.outputs = tuple(made_by[value.name] for value in graph.output if value.name in made_by)
    return sketch, 4


def _write(
    sketch: Sketch,
    node: Any,
    weights: dict[str, tuple[int, ...]],
    shapes: dict[str, tuple[int, ...]],
    made_by: dict[str, str],
) -> None:
    """Appends the node, once per output."""
    maps = [name for name in node.input if name in made_by]
    kind = KINDS.get(node.op_type, node.op_type.lower())
    held = [weights[name] for name in node.input if name in weights]
    if not maps:
        weights.update(dict.fromkeys(node.output, held[0] if held else ()))
        return
    if node.op_type in VIEWS or kind in ("slice", "pad", "resize", "shuffle", "global_pool"):
        held = []  # sizes, axes and positions
    if kind in ("add", "subtract", "gate") and held:
        # A sum or product with constants: a bias or a norm, or a step of scale.
        kind = "norm" if max(map(prod, held)) > 1 else "rescale"
    if kind == "relu" and node.op_type == "Clip":
        held = []  # its bounds
    attributes: dict[str, Any] = {item.name: list(item.ints) or item.i for item in node.attribute}
    for name in node.output:
        if name not in shapes or 0 in shapes[name]:
            raise ValueError(f"node {node.name or node.op_type} has a map of open size; the linter needs a fixed one")
        shape, source = shapes[name], shapes[maps[0]]
        heavy = held[0] if kind in ("conv", "transposed", "dense") and held else None
        groups = int(attributes.get("group", 1))
        if kind == "conv" and heavy is not None and 1 < groups == source[-1]:
            kind = "depthwise"
        params = sum(map(prod, held))
        read = prod(shape) if kind == "slice" else sum(prod(shapes[each]) for each in maps)
        written = sketch.write(
            Op(
                name=sketch.fresh(_layer_name(node.name) or f"{node.op_type.lower()}_{len(sketch.ops)}"),
                kind=kind,
                layer=f"onnx:{node.op_type}",
                inputs=tuple(dict.fromkeys(made_by[each] for each in maps)),
                shape=shape,
                params=params,
                trainable_params=0,
                macs=0 if heavy is None else prod((source if kind == "transposed" else shape)[:-1]) * prod(heavy),
                moved=0 if node.op_type in VIEWS else read + prod(shape) + params,
                config=_config(kind, heavy, attributes, groups, source, shape),
            )
        )
        made_by[name] = written.name


def _config(
    kind: str, heavy: Any, attributes: dict[str, Any], groups: int, source: tuple[int, ...], shape: tuple[int, ...]
) -> dict[str, Any]:
    """Kernel, strides and groups in Keras' words. Weights lie as (out, in / groups, rows, columns)."""
    if heavy is None:
        return {}
    if kind == "dense":
        return {"units": shape[-1]}
    found = {"kernel_size": tuple(heavy[2:]), "strides": tuple(attributes.get("strides", (1, 1)))}
    if kind == "depthwise":
        return {**found, "depth_multiplier": shape[-1] // source[-1]}
    return {**found, "groups": groups}


def _shape(sides: tuple[int, ...]) -> tuple[int, ...]:
    """Sides without the batch, channels last; the first side is the batch, open or not."""
    return (*sides[2:], sides[1]) if len(sides) == 4 else sides[1:]


def _layer_name(name: str) -> str:
    """`stage1_1_conv` of `small/stage1_1_conv/Conv2D`."""
    parts = name.split("/")
    return parts[-2] if len(parts) > 1 else ""
