"""A sketch read back from any built functional Keras model: imported, pruned, factorised or our own."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from typing import TYPE_CHECKING, Any

from zoo.layer_configs import config_of
from zoo.rules import RULES
from zoo.sketches import Node, Op, Sketch

if TYPE_CHECKING:
    from zoo.keras import keras


def sketch_of(model: keras.Model) -> Sketch:
    """The sketch of a functional model, nested models laid open as `outer/inner`.

    A layer called several times gives one operation per call (`name`, `name:2`, ...), its weights counted once. A layer
    without a rule is listed in `sketch.unknown` with Keras' own shape and weights, and 0 multiply-adds.

    Raises: ValueError for a model that is not functional, or whose map sizes are not fixed.
    """
    if not getattr(model, "_is_graph_network", False):
        raise ValueError(
            f"model {model.name} is not a built functional model; sketches need one with a fixed input size"
        )
    sketch = Sketch()
    nodes: dict[int, Node] = {}
    for tensor in model.inputs:
        nodes[id(tensor)] = sketch.input(_shape(tensor), tensor.node.layer.name)
    _walk(model, nodes, sketch, "", set())
    sketch.outputs = tuple(nodes[id(tensor)].name for tensor in model.outputs)
    return sketch


def _walk(model: Any, nodes: dict[int, Node], sketch: Sketch, prefix: str, seen: set[int]) -> None:
    for call in calls(model):
        layer, inputs = call.layer, [nodes[id(tensor)] for tensor in call.keras_inputs]
        outputs = flat(call.outputs)
        if hasattr(layer, "_nodes_by_depth"):
            inner = {id(tensor): nodes[id(given)] for given, tensor in entries(call)}
            _walk(layer, inner, sketch, f"{prefix}{layer.name}/", seen)
            made = [inner[id(tensor)] for tensor in layer.outputs]  # in the order of `flat`, of dictionaries too
        else:
            made = [_place(layer, inputs, outputs, sketch, prefix + layer.name, shared=id(layer) in seen)]
            seen.add(id(layer))
        for position, tensor in enumerate(outputs):
            nodes[id(tensor)] = made[position] if len(made) == len(outputs) else made[0]


def calls(model: Any) -> Iterator[Any]:
    """The model's layer calls in an order that can be run, inputs left out."""
    for depth in sorted(model._nodes_by_depth, reverse=True):
        for node in model._nodes_by_depth[depth]:
            if not node.is_input:
                yield node


def _place(layer: Any, inputs: list[Node], outputs: list[Any], sketch: Sketch, name: str, shared: bool) -> Node:
    calls = sum(1 for op in sketch.ops if op.name == name or op.name.startswith(f"{name}:"))
    name = f"{name}:{calls + 1}" if calls else name
    kind = type(layer).__name__
    config = config_of(layer) if kind in RULES else {}
    known = kind in RULES and config.get("data_format", "channels_last") == "channels_last" and len(outputs) == 1
    if known:
        return sketch.add(kind, name, config, inputs, shared=shared)
    sketch.unknown.append(name)
    weights = 0 if shared else layer.count_params()
    trainable = 0 if shared else sum(prod(weight.shape) for weight in layer.trainable_weights)
    shape = _shape(outputs[0])
    moved = sum(prod(node.shape) for node in inputs) + prod(shape) + weights
    return sketch.write(
        Op(name, "unknown", kind, tuple(node.name for node in inputs), shape, weights, trainable, 0, moved, config)
    )


def _shape(tensor: Any) -> tuple[int, ...]:
    shape = tuple(tensor.shape[1:])
    if any(size is None for size in shape):
        raise ValueError(
            f"tensor {tensor.name} has the open shape {tuple(tensor.shape)}; sketches need a fixed input size"
        )
    return shape


def flat(outputs: Any) -> list[Any]:
    """What a layer puts out, or is given, as a list; dictionaries in the order of their keys, as Keras has them."""
    from zoo.keras import tf

    return list(tf.nest.flatten(outputs))


def entries(call: Any) -> list[tuple[Any, Any]]:
    """For a call of a nested model, each tensor it is given with the input inside that this one becomes."""
    given = call.layer._call_spec.split_out_first_arg(call.call_args, call.call_kwargs)[0]
    return list(zip(call.layer._flatten_to_reference_inputs(given), call.layer.inputs, strict=True))
