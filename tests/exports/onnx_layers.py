"""An int8 ONNX file against the .tflite it was made of, layer by layer."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import onnx
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from exports.run_file import onnx_session


def layers_apart(tflite: Path, path: Path, images: np.ndarray, folder: Path) -> dict[str, int]:
    """How many steps each tensor of an ONNX file lies from the .tflite's at most, its layer given the latter's numbers.

    `images`: raw inputs `(n, height, width, channels)`. Each layer is cut free: in front of it stand an input and a
    pair that quantises and dequantises, as within the file, so that ONNX Runtime fuses it as it does there.
    """
    theirs = TfliteTensors(tflite)
    model = onnx.shape_inference.infer_shapes(onnx.load(str(path)))
    graph, answer = model.graph, model.graph.output[0].name
    shapes = {one.name: [side.dim_value for side in one.type.tensor_type.shape.dim]
              for one in (*graph.value_info, *graph.output)}  # fmt: skip
    constants = {one.name: onnx.numpy_helper.to_array(one) for one in graph.initializer}
    made = {
        node.output[0]: (node.input[1], node.input[2]) for node in graph.node
        if node.op_type == "QuantizeLinear" and (node.output[0] == answer or theirs.name(node.output[0]))
    }  # fmt: skip
    whole = onnx.ModelProto.FromString(model.SerializeToString())
    del whole.graph.output[:]
    for node in graph.node:
        for place, name in enumerate(node.input):
            if name in made:
                node.input[place] = f"{name}//read"
    read = {name for node in graph.node for name in node.input}
    before, after = [], []
    del graph.output[:], graph.value_info[:]
    for name, (scale, zero_point) in made.items():
        tensor = (onnx.TensorProto.FLOAT, shapes[name])
        whole.graph.output.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.INT8, shapes[name]))
        if f"{name}//read" in read:
            graph.input.append(onnx.helper.make_tensor_value_info(f"{name}//in", *tensor))
            before.append(
                onnx.helper.make_node("QuantizeLinear", [f"{name}//in", scale, zero_point], [f"{name}//read"])
            )
        graph.output.append(onnx.helper.make_tensor_value_info(f"{name}//out", *tensor))
        after.append(onnx.helper.make_node("DequantizeLinear", [name, scale, zero_point], [f"{name}//out"]))
    nodes = [*before, *graph.node, *after]
    del graph.node[:]
    graph.node.extend(nodes)
    onnx.save(whole, str(folder / "whole.onnx"))
    onnx.save(model, str(folder / "cut.onnx"))
    whole_run, cut_run = onnx_session(folder / "whole.onnx"), onnx_session(folder / "cut.onnx")
    apart = dict.fromkeys(made, 0)
    for image in images[:, None]:
        first = {graph.input[0].name: image}
        near = dict(zip(made, whole_run.run(list(made), first), strict=True))
        wanted = {name: laid_out_like(near[name], tensor) for name, tensor in theirs(image, made, answer).items()}
        fed = {
            f"{name}//in": (wanted[name] - constants[zero_point].astype(np.float32)) * constants[scale]
            for name, (scale, zero_point) in made.items() if f"{name}//read" in read
        }  # fmt: skip
        answers = cut_run.run([f"{name}//out" for name in made], first | fed)
        for (name, (scale, zero_point)), found in zip(made.items(), answers, strict=True):
            steps = np.rint(found / constants[scale]) + constants[zero_point] - wanted[name]
            apart[name] = max(apart[name], int(np.abs(steps).max()))
    return apart


class TfliteTensors:
    """All that a .tflite computes on the way to its answer, with the plainest of TFLite's kernels."""

    def __init__(self, path: Path) -> None:
        self._run = Interpreter(
            str(path), experimental_op_resolver_type=OpResolverType.BUILTIN_REF, experimental_preserve_all_tensors=True
        )
        self._run.allocate_tensors()
        self.places = {one["name"]: one["index"] for one in self._run.get_tensor_details()}

    def name(self, name: str) -> str | None:
        """What the .tflite calls a tensor of the ONNX file: tf2onnx puts its own words behind that."""
        return next((one for one in (name, name.split("_prequant")[0]) if one in self.places), None)

    def __call__(self, image: np.ndarray, names: Iterable[str], answer: str) -> dict[str, np.ndarray]:
        self._run.set_tensor(self._run.get_input_details()[0]["index"], image)
        self._run.invoke()
        last = self._run.get_output_details()[0]["index"]
        return {name: self._run.get_tensor(last if name == answer else self.places[self.name(name)]) for name in names}


def laid_out_like(near: np.ndarray, tensor: np.ndarray) -> np.ndarray:
    """A tensor of the .tflite, channels last, laid out as the ONNX file's; `near` has the latter's values, about."""
    ways = [tensor] + ([tensor.transpose(0, 3, 1, 2)] if tensor.ndim == 4 else [])
    fitting = [way for way in ways if way.shape == near.shape] or [tensor.reshape(near.shape)]
    return min(fitting, key=lambda way: np.abs(way.astype(int) - near).mean())
