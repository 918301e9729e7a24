"""The operations of a SavedModel in the words of the layer vocabulary: one layer for each, or for a group of them.

What TensorFlow writes in several operations becomes the one layer that it came from, so that the rest of the workbench
knows it: a bias joins its convolution, a norm in parts is a norm with its own mean and variance, x * sigmoid(x) is
swish, relu6(x + 3) / 6 the hard sigmoid, a reshape around a transposition the shuffle of channels. What depends on no
image is computed here, with numpy.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np

from exports.keras_config import MOMENTUM
from exports.saved_model import Graph, Key, Operation, Ref, constant
from zoo.plans import Call, Plan
from zoo.rules import RULES

IMAGE = "image_input"
ACTIVATIONS = {
    "Elu": "elu", "Selu": "selu", "Sigmoid": "sigmoid", "Softmax": "softmax", "Softplus": "softplus",
    "Softsign": "softsign", "Tanh": "tanh",
}  # fmt: skip
MERGES = {"Add": "Add", "AddV2": "Add", "AddN": "Add", "Sub": "Subtract", "Mul": "Multiply", "Maximum": "Maximum"}
ON_NUMBERS: dict[str, Callable[..., Any]] = {
    "Add": np.add, "AddV2": np.add, "Sub": np.subtract, "Mul": np.multiply, "RealDiv": np.divide, "Neg": np.negative,
    "Maximum": np.maximum, "Sqrt": np.sqrt, "Rsqrt": lambda x: 1 / np.sqrt(x), "Reshape": np.reshape,
    "Cast": lambda x: x, "Transpose": np.transpose, "ReadVariableOp": lambda x: x,
    "Pack": lambda *parts: np.stack(parts),
    "ConcatV2": lambda *parts: np.concatenate(parts[:-1], axis=int(parts[-1])),
    "Prod": lambda x, axes: np.prod(x, axis=tuple(np.ravel(axes).tolist()) or None),
    "ExpandDims": lambda x, axis: np.expand_dims(x, int(axis)), "Tile": np.tile, "FloorMod": np.mod,
    # How a network that learns its groups says which channel is in which.
    "ArgMax": lambda x, axis: np.argmax(x, int(axis)), "Softmax": lambda x: _softmax(x),
    "OneHot": lambda places, depth, on, off: np.where(np.arange(int(depth)) == places[..., None], on, off),
}  # fmt: skip
WEIGHTED = ("Conv2D", "DepthwiseConv2D", "Dense")
FLOAT = 1  # DT_FLOAT of TensorFlow's types.proto
HARD = 3.0  # of relu6(x + 3) / 6, arXiv:1905.02244
WORD = re.compile(r"[^A-Za-z0-9_.-]+")
INNER = ("batchnorm",)  # scopes that a layer opens within its own

Shape = tuple[int, ...]
Value = Any  # an array that depends on no image, or the name of the call that gives a tensor


def plan_of(graph: Graph, resolution: Sequence[int] | None) -> tuple[Plan, bool]:
    """The model as a plan, and whether a softmax was taken off its end. `resolution` fills in a size left open.

    Raises: ValueError naming the operation that has no words here.
    """
    return _Translation(graph, resolution).plan()


@dataclass
class _Half:
    """What has no layer of its own until a later operation makes one of it.

    `dealt`: a map dealt out into smaller ones, so that a plain convolution on them is one with gaps (`numbers`: the
    gaps, what was padded). `negated`: -x. `negative`: relu(-x). `sloped`: that times `numbers`, half of a PReLU.
    """

    kind: str
    x: str
    numbers: tuple[np.ndarray, ...] = ()
    convolution: tuple[Operation, np.ndarray] | None = None


# Half -> the operations that go on with it.
GOES_ON = {
    "dealt": ("Conv2D", "DepthwiseConv2dNative", "BatchToSpaceND"), "negated": ("Relu",), "negative": ("Mul",),
    "sloped": ("Add", "AddV2"),
}  # fmt: skip


class _Translation:
    def __init__(self, graph: Graph, resolution: Sequence[int] | None) -> None:
        self.graph = graph
        shape = list(graph.image_shape)
        if len(shape) == 4 and None in shape[1:3] and resolution:
            shape[1:3] = resolution
        if len(shape) != 4 or None in shape[1:]:
            raise ValueError(f"its input is {tuple(shape)}, an open shape; give the size of its images")
        sides = [side or 1 for side in shape[1:]]
        image = {"name": IMAGE, "batch_input_shape": (None, *sides), "dtype": "float32"}
        self._plan = Plan("model", [image], ())
        self.shapes: dict[str, Shape] = {IMAGE: tuple(sides)}
        self.values: dict[Ref, Value] = {graph.image: IMAGE}
        self.live = self._living()
        self.readers = Counter(ref for key in self.live for ref in graph.operations[key].inputs)
        self.readers[graph.answer] += 1
        self.scalings: dict[str, tuple[np.ndarray, np.ndarray]] = {}  # call -> its scale and offset by channel
        self.halves: dict[str, _Half] = {}

    def plan(self) -> tuple[Plan, bool]:
        for key, operation in self.graph.operations.items():
            if key in self.live and (key, 0) not in self.values:
                self._translate(key, operation)
        last, ended_in_softmax = self.values[self.graph.answer], False
        call = self._plan.calls.get(last) if isinstance(last, str) else None
        if call is None:
            raise ValueError("its answer does not depend on its image")
        if call.kind == "Activation" and call.config["activation"] == "softmax":
            del self._plan.calls[call.name]
            (last,), ended_in_softmax = call.inputs, True
        elif call.kind == "Activation" and call.config["activation"] != "linear":
            raise ValueError(
                f"it ends in {call.config['activation']}; a classifier of one class per image ends in a softmax or bare"
            )
        self._plan.outputs = (last,)
        return self._plan, ended_in_softmax

    def _living(self) -> set[Key]:
        """What the answer is computed from; the rest only orders or serves gradients."""
        found: set[Key] = set()
        stack = [self.graph.answer[0]]
        while stack:
            key = stack.pop()
            if key not in found:
                found.add(key)
                stack += [ref[0] for ref in self.graph.operations[key].inputs]
        return found

    def _translate(self, key: Key, operation: Operation) -> None:
        kind, where = operation.kind, f"the operation {operation.kind} ({operation.name})"
        given = [self.values[ref] for ref in operation.inputs]
        if key in self.graph.variables:
            self.values[key, 0] = self.graph.variables[key]
        elif kind == "Const":
            self.values[key, 0] = constant(operation.attributes)
        elif kind == "Shape":
            # The batch is not known; -1 stands for it, as it does for a reshape.
            known = given[0].shape if isinstance(given[0], np.ndarray) else (-1, *self.shapes[given[0]])
            self.values[key, 0] = np.asarray(known)
        elif not any(isinstance(one, str) for one in given):
            self.values[key, 0] = self._on_numbers(operation, given, where)
        else:
            write = _WORDS.get(kind)
            halves = [self.halves[one] for one in given if isinstance(one, str) and one in self.halves]
            if write is None or any(kind not in GOES_ON[half.kind] for half in halves):
                raise ValueError(f"{where} has no layer here")
            found = write(self, operation, given, where)
            for place, value in enumerate(found if isinstance(found, tuple) else (found,)):
                self.values[key, place] = value

    def _on_numbers(self, operation: Operation, given: list[Any], where: str) -> Any:
        if operation.kind == "Squeeze":
            axes = tuple(operation.attributes["squeeze_dims"].list.i)
            return np.squeeze(given[0], axes or None)
        if operation.kind == "StridedSlice":
            return given[0][tuple(_slices(operation, given, given[0].ndim, where))]
        if operation.kind == "MatMul":
            return given[0] @ (given[1].T if operation.attributes["transpose_b"].b else given[1])
        if operation.kind not in ON_NUMBERS:
            raise ValueError(f"{where} on numbers alone is not read")
        return ON_NUMBERS[operation.kind](*given)

    # What the words below are made of.

    def put(self, operation: Operation, kind: str, config: dict[str, Any], *inputs: str,
            weights: Sequence[np.ndarray] = (), shape: Shape | None = None, merges: bool = False) -> str:  # fmt: skip
        """Adds a call and gives its name; its shape is that of the rules, where it is not given."""
        name = self._name(operation, kind)
        shapes = [self.shapes[one] for one in inputs]
        self.shapes[name] = shape or tuple(RULES[kind].facts(config, shapes).shape)
        arrays = tuple(np.asarray(one, np.float32) for one in weights)
        self._plan.calls[name] = Call(name, kind, config, tuple(inputs), self.shapes[name][-1], arrays, merges)
        return name

    def _name(self, operation: Operation, kind: str) -> str:
        """The name of the layer that an operation belonged to: a/conv/Conv2D is conv, a/conv/Relu conv_relu."""
        parts = [WORD.sub("_", part) for part in operation.name.split("/")]
        outer = [part for part in parts[:-1] if part not in INNER]
        stem = (outer[-1] if outer else parts[-1]).strip("._-") or kind.lower()
        name, number = stem, 1
        while name in self._plan.calls or name == IMAGE:
            name = f"{stem}_{kind.lower()}" + (f"_{number}" if number > 1 else "")
            number += 1
        return name

    def alone(self, operation: Operation, place: int) -> bool:
        """Whether nothing but this operation reads its input number `place`."""
        return self.readers[operation.inputs[place]] == 1

    def operation(self, ref: Ref) -> Operation | None:
        return self.graph.operations.get(ref[0])

    def call(self, value: Value) -> Call | None:
        return self._plan.calls.get(value) if isinstance(value, str) else None

    def exchange(self, gone: Sequence[str], operation: Operation, kind: str, source: str) -> str:
        """One layer without weights in place of the calls `gone`, the last of which it takes the place of."""
        for name in gone:
            del self._plan.calls[name]
        return self.put(operation, kind, {}, source)

    # One method for each kind of operation, or several alike.

    def convolution(self, operation: Operation, given: list[Value], where: str) -> Value:
        x, kernel = self._mapped(operation, given, where)
        if x in self.halves:
            if self.halves[x].convolution is not None or operation.attributes["padding"].s != b"VALID":
                raise ValueError(f"{where} stands between dealing out and gathering up, but not alone")
            self.halves[x].convolution = (operation, kernel)
            return x
        x, padding = self._padding(operation, x, where)
        return self._convolution(operation, x, kernel, padding, _sides(operation, "dilations"))

    def _convolution(
        self, operation: Operation, x: str, kernel: np.ndarray, padding: str, dilation: tuple[int, int]
    ) -> str:
        strides = _sides(operation, "strides")
        config = {"kernel_size": kernel.shape[:2], "strides": strides, "padding": padding, "use_bias": False,
                  "dilation_rate": dilation}  # fmt: skip
        if operation.kind == "Conv2D":
            groups = self.shapes[x][-1] // kernel.shape[2]
            config |= {"filters": kernel.shape[3], "groups": groups}
            return self.put(operation, "Conv2D", config, x, weights=[kernel])
        config["depth_multiplier"] = kernel.shape[3]
        return self.put(operation, "DepthwiseConv2D", config, x, weights=[kernel])

    def spread_out(self, operation: Operation, given: list[Value], where: str) -> Value:
        """The first of three operations that TensorFlow writes for a convolution with gaps."""
        x, gaps, padding = given
        if len(np.ravel(gaps)) != 2 or len(self.shapes[x]) != 3:
            raise ValueError(f"{where} along {len(np.ravel(gaps))} axes; along the two of a map is read")
        return self._half(operation, _Half("dealt", x, (np.ravel(gaps), np.asarray(padding))))

    def _half(self, operation: Operation, half: _Half) -> str:
        name = f"{operation.name} {half.kind}"
        self.halves[name] = half
        self.shapes[name] = self.shapes[half.x]
        return name

    def gather_up(self, operation: Operation, given: list[Value], where: str) -> Value:
        """The last of them: the convolution is written here."""
        found = self.halves.get(given[0])
        if found is None or found.convolution is None or np.ravel(given[1]).tolist() != found.numbers[0].tolist():
            raise ValueError(f"{where} does not end a convolution with gaps")
        convolution, kernel = found.convolution
        rows, columns = (int(gap) for gap in found.numbers[0])
        added = [int(side) for side in (found.numbers[1] - np.asarray(given[2])).ravel()]
        reach = [(size - 1) * gap for size, gap in zip(kernel.shape[:2], (rows, columns), strict=True)]
        whole = [part for side in reach for part in (side // 2, side - side // 2)]
        if added not in (whole, [0, 0, 0, 0]):
            raise ValueError(f"{where} pads by {added}, neither by nothing nor as a whole map needs it")
        return self._convolution(convolution, found.x, kernel, "same" if any(added) else "valid", (rows, columns))

    def dense(self, operation: Operation, given: list[Value], where: str) -> Value:
        x, kernel = given
        if not isinstance(x, str) or not isinstance(kernel, np.ndarray) or operation.attributes["transpose_a"].b:
            raise ValueError(f"{where} is not that of a tensor with weights")
        kernel = kernel.T if operation.attributes["transpose_b"].b else kernel
        config = {"units": kernel.shape[1], "use_bias": False}
        return self.put(operation, "Dense", config, x, weights=[kernel])

    def norm(self, operation: Operation, given: list[Value], where: str) -> Value:
        x, *arrays = given
        training = operation.attributes["is_training"]
        if training.WhichOneof("value") is None or training.b:
            raise ValueError(f"{where} measures its images, as while training; save the model as it answers")
        self._channels_last(operation, where)
        epsilon = operation.attributes["epsilon"].f or 1e-4
        return self._norm(operation, x, epsilon, arrays)

    def _norm(self, operation: Operation, x: str, epsilon: float, arrays: Sequence[np.ndarray]) -> str:
        config = {"momentum": MOMENTUM, "epsilon": epsilon}
        return self.put(operation, "BatchNormalization", config, x, weights=arrays)

    def bias(self, operation: Operation, given: list[Value], where: str) -> Value:
        return self._plus(operation, given[0], given[1], 0, where)

    def merge(self, operation: Operation, given: list[Value], where: str) -> Value:
        """Two tensors, or a tensor and numbers."""
        kind = operation.kind
        if all(isinstance(one, str) for one in given):
            if any(one in self.halves for one in given):
                return self._prelu(operation, given, where)
            if kind == "Mul" and len(given) == 2:
                for x, gate, place in ((given[0], given[1], 1), (given[1], given[0], 0)):
                    if found := self._gated(operation, x, gate, place):
                        return found
            if kind not in MERGES:
                raise ValueError(f"{where} of two tensors has no layer here")
            return self.put(operation, MERGES[kind], {}, *given, merges=True)
        place = 0 if isinstance(given[0], str) else 1
        x, number = given[place], given[1 - place]
        if x in self.halves:
            return self._half(operation, replace(self.halves[x], kind="sloped", numbers=(number,)))
        if len(given) != 2 or kind == "Maximum" or (kind in ("Sub", "RealDiv") and isinstance(given[1], str)):
            raise ValueError(f"{where} with numbers has no layer here")
        if kind in ("Add", "AddV2", "Sub"):
            return self._plus(operation, x, -number if kind == "Sub" else number, place, where)
        return self._times(operation, x, 1 / number if kind == "RealDiv" else number, place, where)

    def _prelu(self, operation: Operation, given: list[str], where: str) -> str:
        """relu(x) - slope * relu(-x)."""
        half = next(self.halves[one] for one in given if one in self.halves)
        relu = next((one for one in map(self.call, given) if one is not None and one.kind == "ReLU"), None)
        if relu is None or relu.inputs != (half.x,) or half.numbers[0].ndim != len(self.shapes[half.x]):
            raise ValueError(f"{where} does not end a PReLU")
        slope = -half.numbers[0]
        shared = [axis for axis, (one, size) in enumerate(zip(slope.shape, self.shapes[half.x], strict=True), 1)
                  if one == 1 != size]  # fmt: skip
        del self._plan.calls[relu.name]
        return self.put(operation, "PReLU", {"shared_axes": shared or None}, half.x, weights=[slope])

    def _plus(self, operation: Operation, x: str, number: np.ndarray, place: int, where: str) -> str:
        """x + number by channel: a norm, a bias, or a sum of its own."""
        call, channels = self.call(x), self.shapes[x][-1]
        if number.size == 1 and not number.any():
            return x
        if call is not None and self.alone(operation, place):
            if x in self.scalings:
                if norm := self._whole_norm(operation, call, place):
                    return norm
                scale, offset = self.scalings[x]
                if not offset.any():
                    del self._plan.calls[x]
                    return self._scaled(operation, call.inputs[0], scale, number, where)
            elif call.kind in WEIGHTED and not call.config["use_bias"] and number.size == channels:
                weights = (*call.weights, _by_channel(number, channels, where))
                self._plan.calls[x] = replace(call, config={**call.config, "use_bias": True}, weights=weights)
                return x
        return self._scaled(operation, x, np.ones(1), number, where)

    def _times(self, operation: Operation, x: str, number: np.ndarray, place: int, where: str) -> Value:
        if number.size == 1 and float(number.ravel()[0]) == 1.0:
            return x
        if number.size == 1 and abs(float(number.ravel()[0]) * 6 - 1) < 1e-5 and self.alone(operation, place):
            call = self.call(x)
            if call is not None and self._is_relu6_of_sum(call):
                shift = self._plan.calls[call.inputs[0]]
                return self.exchange([call.name, shift.name], operation, "HardSigmoid", shift.inputs[0])
            if call is not None and call.kind == "Multiply" and len(call.inputs) == 2:
                for source, inner in (call.inputs, call.inputs[::-1]):
                    relu = self.call(inner)
                    if relu is not None and self._is_relu6_of_sum(relu):
                        shift = self._plan.calls[relu.inputs[0]]
                        if shift.inputs[0] == source:
                            gone = [call.name, relu.name, shift.name]
                            return self.exchange(gone, operation, "HardSwish", source)
        return self._scaled(operation, x, number, np.zeros(1), where)

    def _is_relu6_of_sum(self, call: Call) -> bool:
        """Whether a call is relu6(x + 3), each part read once."""
        if call.kind != "ReLU" or call.config.get("max_value") != 6.0:
            return False
        shift = self.call(call.inputs[0])
        if shift is None or shift.name not in self.scalings:
            return False
        readers = [one for one in self._plan.calls.values() if shift.name in one.inputs]
        scale, offset = self.scalings[shift.name]
        return len(readers) == 1 and bool((scale == 1).all() and (offset == HARD).all())

    def _gated(self, operation: Operation, x: str, gate: str, place: int) -> str | None:
        """x times a gate of x itself: swish, or hard swish."""
        call = self.call(gate)
        if call is None or call.inputs != (x,) or not self.alone(operation, place):
            return None
        if call.kind == "Activation" and call.config["activation"] == "sigmoid":
            del self._plan.calls[gate]
            return self.put(operation, "Activation", {"activation": "swish"}, x)
        return self.exchange([gate], operation, "HardSwish", x) if call.kind == "HardSigmoid" else None

    def _scaled(self, operation: Operation, x: str, scale: np.ndarray, offset: np.ndarray, where: str) -> str:
        """x * scale + offset by channel, as a layer that does not learn."""
        channels = self.shapes[x][-1]
        scale, offset = (_by_channel(one, channels, where) for one in (scale, offset))
        if len(self.shapes[x]) == 1:
            epsilon, ones = 1e-3, np.ones(channels, np.float32)
            name = self._norm(operation, x, epsilon, [scale, offset, 0 * ones, (1 - epsilon) * ones])
        else:
            config = {"kernel_size": (1, 1), "strides": (1, 1), "padding": "same", "use_bias": True, "trainable": False}
            weights = [scale.reshape(1, 1, channels, 1), offset]
            name = self.put(operation, "DepthwiseConv2D", config, x, weights=weights)
        self.scalings[name] = (scale, offset)
        return name

    def _whole_norm(self, operation: Operation, scaled: Call, place: int) -> str | None:
        """The norm behind x * scale + offset, when its parts are there: gamma / sqrt(variance + epsilon), beta - mean
        * scale. With them it goes on learning as it did."""
        times, shift = self.operation(operation.inputs[place]), self.operation(operation.inputs[1 - place])
        if times is None or shift is None or (operation.kind, times.kind, shift.kind) != ("AddV2", "Mul", "Sub"):
            return None
        scale_ref = next((ref for ref in times.inputs if isinstance(self.values[ref], np.ndarray)), None)
        parts = None if scale_ref is None else self._scale_parts(scale_ref)
        moved = self.operation(shift.inputs[1])
        if parts is None or moved is None or moved.kind != "Mul" or scale_ref not in moved.inputs:
            return None
        mean = self.values[next(ref for ref in moved.inputs if ref != scale_ref)]
        gamma, variance, epsilon = parts
        beta = self.values[shift.inputs[0]]
        channels = scaled.channels
        arrays = [np.broadcast_to(np.ravel(one), channels) for one in (gamma, beta, mean, variance)]
        del self._plan.calls[scaled.name]
        return self._norm(operation, scaled.inputs[0], epsilon, arrays)

    def _scale_parts(self, ref: Ref) -> tuple[np.ndarray, np.ndarray, float] | None:
        """Gamma, variance and epsilon of rsqrt(variance + epsilon) * gamma, or without gamma."""
        found, gamma = self.operation(ref), np.ones(1)
        if found is not None and found.kind == "Mul":
            root = next((one for one in found.inputs if self.graph.operations[one[0]].kind == "Rsqrt"), None)
            if root is None:
                return None
            gamma = self.values[next(one for one in found.inputs if one != root)]
            found = self.operation(root)
        if found is None or found.kind != "Rsqrt":
            return None
        total = self.operation(found.inputs[0])
        if total is None or total.kind not in ("Add", "AddV2"):
            return None
        arrays = sorted((self.values[one] for one in total.inputs), key=lambda one: one.size)
        return (gamma, arrays[1], float(arrays[0].ravel()[0])) if arrays[0].size == 1 else None

    def negate(self, operation: Operation, given: list[Value], where: str) -> Value:
        return self._half(operation, _Half("negated", given[0]))

    def activation(self, operation: Operation, given: list[Value], where: str) -> Value:
        kind, x = operation.kind, given[0]
        if x in self.halves:
            return self._half(operation, replace(self.halves[x], kind="negative"))
        if kind in ("Relu", "Relu6"):
            return self.put(operation, "ReLU", {"max_value": 6.0} if kind == "Relu6" else {}, x)
        if kind == "LeakyRelu":
            return self.put(operation, "LeakyReLU", {"alpha": operation.attributes["alpha"].f or 0.2}, x)
        return self.put(operation, "Activation", {"activation": ACTIVATIONS[kind]}, x)

    def pool(self, operation: Operation, given: list[Value], where: str) -> Value:
        if operation.attributes["padding"].s == b"EXPLICIT":
            raise ValueError(f"{where} pads by itself, which is not read: zeros would count")
        x, padding = self._padding(operation, given[0], where)
        kind = "MaxPooling2D" if operation.kind == "MaxPool" else "AveragePooling2D"
        config = {"pool_size": _sides(operation, "ksize"), "strides": _sides(operation, "strides"), "padding": padding}
        return self.put(operation, kind, config, x)

    def over_map(self, operation: Operation, given: list[Value], where: str) -> Value:
        x, axes = given
        if sorted(axis % 4 for axis in np.ravel(axes).tolist()) != [1, 2] or len(self.shapes[x]) != 3:
            raise ValueError(f"{where} over axes {np.ravel(axes).tolist()}; over a whole map is read")
        kind = "GlobalAveragePooling2D" if operation.kind == "Mean" else "GlobalMaxPooling2D"
        return self.put(operation, kind, {"keepdims": operation.attributes["keep_dims"].b}, x)

    def pad(self, operation: Operation, given: list[Value], where: str) -> Value:
        x, sides, *filling = given
        if filling and np.any(filling[0]):
            raise ValueError(f"{where} with {float(np.ravel(filling[0])[0]):g}; with zeros is read")
        rows = [(int(before), int(after)) for before, after in sides]
        if len(rows) != 4 or any(rows[0]) or (any(rows[3]) and any(map(any, rows[1:3]))):
            raise ValueError(f"{where} of {rows}; of a map's sides, or of its channels alone, is read")
        if any(rows[3]):
            return self.put(operation, "ChannelPad", {"before": rows[3][0], "after": rows[3][1]}, x)
        return self.put(operation, "ZeroPadding2D", {"padding": (rows[1], rows[2])}, x)

    def concat(self, operation: Operation, given: list[Value], where: str) -> Value:
        *parts, axis = given
        if any(not isinstance(part, str) for part in parts) or int(axis) not in (-1, len(self.shapes[parts[0]])):
            raise ValueError(f"{where} along axis {int(axis)}; of tensors along their channels is read")
        if len(parts) == 1:
            return parts[0]
        return self.put(operation, "Concatenate", {"axis": -1}, *parts, merges=True)

    def gather(self, operation: Operation, given: list[Value], where: str) -> Value:
        x, indices, axis = given
        listed = [int(index) for index in np.ravel(indices)]
        place, shape = int(axis) % (len(self.shapes[x]) + 1), self.shapes[x]
        if place == len(shape):
            return self.put(operation, "ChannelGather", {"indices": listed}, x)
        if place == 0 or len(shape) != 3:
            raise ValueError(f"{where} along axis {place}; of channels or of a map's cells is read")
        rows, columns = (listed, list(range(shape[1]))) if place == 1 else (list(range(shape[0])), listed)
        before = self.call(x) if place == 2 and self.alone(operation, 0) else None
        if before is not None and before.kind == "CellGather" and before.config["columns"] == list(range(shape[1])):
            del self._plan.calls[x]  # rows first, then columns: one layer crosses both
            rows, x = before.config["rows"], before.inputs[0]
        return self.put(operation, "CellGather", {"rows": rows, "columns": columns}, x)

    def split(self, operation: Operation, given: list[Value], where: str) -> Value:
        if operation.kind == "Split":
            axis, x = given
            sizes = [self.shapes[x][-1] // operation.attributes["num_split"].i] * operation.attributes["num_split"].i
        else:
            x, listed, axis = given
            sizes = [int(size) for size in listed]
        if int(axis) not in (-1, len(self.shapes[x])) or sum(sizes) != self.shapes[x][-1]:
            raise ValueError(f"{where} along axis {int(axis)} into {sizes}; of channels is read")
        ends = np.cumsum(sizes).tolist()
        return tuple(
            self.put(operation, "ChannelSlice", {"start": end - size, "stop": end}, x)
            for size, end in zip(sizes, ends, strict=True)
        )

    def cut(self, operation: Operation, given: list[Value], where: str) -> Value:
        x, shape = given[0], self.shapes[given[0]]
        slices = _slices(operation, given, len(shape) + 1, where)
        whole = [part.indices(size) for part, size in zip(slices[1:], shape, strict=True) if isinstance(part, slice)]
        every_image = slices[0] in (slice(None, None, 1), slice(0, None, 1))
        if not every_image or len(whole) < len(shape) or any(step != 1 for _, _, step in whole):
            raise ValueError(f"{where} takes single places, steps or images, which is not read")
        *sides, (start, stop, _) = whole
        cropping = tuple((begin, size - end) for (begin, end, _), size in zip(sides, shape[:-1], strict=True))
        if len(sides) == 2 and any(map(any, cropping)):
            x = self.put(operation, "Cropping2D", {"cropping": cropping}, x)
        if (start, stop) == (0, shape[-1]):
            return x
        return self.put(operation, "ChannelSlice", {"start": start, "stop": stop}, x)

    def reshape(self, operation: Operation, given: list[Value], where: str) -> Value:
        x, target = given[0], given[1] if len(given) > 1 else None
        old = self.shapes[x]
        if operation.kind == "Squeeze":
            gone = {axis % (len(old) + 1) for axis in operation.attributes["squeeze_dims"].list.i}
            new = [size for place, size in enumerate(old, 1) if place not in gone and (gone or size != 1)]
        elif operation.kind == "ExpandDims":
            place = int(given[1]) % (len(old) + 2)
            new = [*old[: place - 1], 1, *old[place - 1 :]]
        elif isinstance(target, np.ndarray):
            new = [int(size) for size in np.ravel(target)[1:]]
            if new.count(-1) == 1:
                new[new.index(-1)] = prod(old) // -prod(new)
        else:
            raise ValueError(f"{where} to a size that depends on the image")
        if prod(new) != prod(old) or not new:
            raise ValueError(f"{where} of {list(old)} to {new}; one image stays one image")
        if tuple(new) == old:
            return x
        if self.alone(operation, 0) and (source := self._shuffled(x, tuple(new))):
            return self.put(operation, "ChannelShuffle", {"groups": source[1]}, source[0])
        if len(new) == 1:
            return self.put(operation, "Flatten", {}, x)
        return self.put(operation, "Reshape", {"target_shape": tuple(new)}, x)

    def _shuffled(self, x: str, new: Shape) -> tuple[str, int] | None:
        """What was shuffled and in how many groups, when `x` is it between two reshapes; these calls are taken away."""
        turned = self.call(x)
        first = self.call(turned.inputs[0]) if turned is not None and turned.kind == "Permute" else None
        if turned is None or first is None or first.kind != "Reshape" or self.shapes[first.inputs[0]] != new:
            return None
        middle, rank = self.shapes[first.name], len(self.shapes[first.name])
        swapped = (*range(1, rank - 1), rank, rank - 1)
        if len(new) != 3 or turned.config["dims"] != swapped or middle[-2] * middle[-1] != new[-1]:
            return None
        for name in (turned.name, first.name):
            del self._plan.calls[name]
        return first.inputs[0], middle[-2]

    def transpose(self, operation: Operation, given: list[Value], where: str) -> Value:
        x, order = given[0], [int(axis) for axis in given[1]]
        if order[0] != 0:
            raise ValueError(f"{where} moves the batch, which is not read")
        shape = tuple(self.shapes[x][axis - 1] for axis in order[1:])
        return self.put(operation, "Permute", {"dims": tuple(order[1:])}, x, shape=shape)

    def resize(self, operation: Operation, given: list[Value], where: str) -> Value:
        x, size = given
        if operation.attributes["align_corners"].b or not operation.attributes["half_pixel_centers"].b:
            raise ValueError(f"{where} with corners aligned, or without half pixels, has no layer here")
        way = "bilinear" if operation.kind == "ResizeBilinear" else "nearest"
        height, width = (int(side) for side in size)
        return self.put(operation, "Resizing", {"height": height, "width": width, "interpolation": way}, x)

    def cast(self, operation: Operation, given: list[Value], where: str) -> Value:
        if operation.attributes["DstT"].type != FLOAT:
            raise ValueError(f"{where} to whole or shorter numbers has no layer here")
        return given[0]

    # What several of them ask.

    def _mapped(self, operation: Operation, given: list[Value], where: str) -> tuple[str, np.ndarray]:
        x, kernel = given
        self._channels_last(operation, where)
        if not isinstance(x, str) or not isinstance(kernel, np.ndarray) or kernel.ndim != 4:
            raise ValueError(f"{where} is not that of a map with weights")
        return x, kernel

    def _channels_last(self, operation: Operation, where: str) -> None:
        order = operation.attributes["data_format"].s
        if order not in (b"", b"NHWC"):
            raise ValueError(f"{where} has its channels first ({order.decode()}); with channels last it is read")

    def _padding(self, operation: Operation, x: str, where: str) -> tuple[str, str]:
        self._channels_last(operation, where)
        word = operation.attributes["padding"].s.decode()
        if word != "EXPLICIT":
            return x, word.lower()
        sides = list(operation.attributes["explicit_paddings"].list.i)[2:6]
        rows = ((sides[0], sides[1]), (sides[2], sides[3]))
        return self.put(operation, "ZeroPadding2D", {"padding": rows}, x), "valid"


def _softmax(x: np.ndarray) -> np.ndarray:
    from scipy.special import softmax

    return np.asarray(softmax(x, axis=-1))


def _by_channel(number: np.ndarray, channels: int, where: str) -> np.ndarray:
    """One number or one for each channel, as one for each."""
    if number.size != 1 and (number.size, number.shape[-1]) != (channels, channels):
        raise ValueError(f"{where} with an array of {number.shape}, neither one number nor one for each channel")
    return np.broadcast_to(np.ravel(number), channels).astype(np.float32)


def _sides(operation: Operation, name: str) -> tuple[int, int]:
    """Height and width of an attribute that names all four axes; 1 where it is left out."""
    found = list(operation.attributes[name].list.i) or [1, 1, 1, 1]
    return int(found[1]), int(found[2])


def _slices(operation: Operation, given: list[Any], rank: int, where: str) -> list[Any]:
    """The slice of every axis, as Python has it; a single place where an axis is taken away."""
    begin, end, steps = (np.ravel(one).tolist() for one in given[1:4])
    masks = {
        name: operation.attributes[f"{name}_mask"].i for name in ("begin", "end", "ellipsis", "new_axis", "shrink_axis")
    }
    if masks["new_axis"]:
        raise ValueError(f"{where} makes a new axis, which is not read")
    found: list[Any] = []
    for place, (start, stop, step) in enumerate(zip(begin, end, steps, strict=True)):
        bit = 1 << place
        if masks["ellipsis"] & bit:
            found += [slice(None, None, 1)] * (rank - len(begin) + 1)
        elif masks["shrink_axis"] & bit:
            found.append(int(start))
        else:
            found.append(slice(None if masks["begin"] & bit else start, None if masks["end"] & bit else stop, step))
    return found + [slice(None, None, 1)] * (rank - len(found))


_WORDS: dict[str, Callable[[_Translation, Operation, list[Value], str], Value]] = {
    "BiasAdd": _Translation.bias, "Cast": _Translation.cast, "ConcatV2": _Translation.concat,
    "GatherV2": _Translation.gather,
    "Conv2D": _Translation.convolution, "DepthwiseConv2dNative": _Translation.convolution, "MatMul": _Translation.dense,
    "Neg": _Translation.negate,
    "FusedBatchNorm": _Translation.norm, "FusedBatchNormV2": _Translation.norm, "FusedBatchNormV3": _Translation.norm,
    "MaxPool": _Translation.pool, "AvgPool": _Translation.pool, "Mean": _Translation.over_map,
    "Max": _Translation.over_map, "Pad": _Translation.pad, "PadV2": _Translation.pad, "Split": _Translation.split,
    "SplitV": _Translation.split, "StridedSlice": _Translation.cut, "Reshape": _Translation.reshape,
    "Squeeze": _Translation.reshape, "ExpandDims": _Translation.reshape, "Transpose": _Translation.transpose,
    "ResizeBilinear": _Translation.resize, "ResizeNearestNeighbor": _Translation.resize,
    "RealDiv": _Translation.merge, "SpaceToBatchND": _Translation.spread_out, "BatchToSpaceND": _Translation.gather_up,
    **dict.fromkeys(MERGES, _Translation.merge),
    **dict.fromkeys(("Relu", "Relu6", "LeakyRelu", *ACTIVATIONS), _Translation.activation),
}  # fmt: skip
