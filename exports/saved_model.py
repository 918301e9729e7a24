"""A SavedModel read as a list of operations and numbers. TensorFlow never loads it, and nothing of it is ever run.

Its signature is followed from the answer back to the image, through calls of its functions and along the edges that
only order what happens. Every operation on the way must be on the list below: they compute, and touch no file, no
network and no code. Variables are read from the checkpoint as plain numbers, by the names under which the model's own
restoring function asks for them. Call it in a child process only: protobuf and checkpoint are foreign bytes.
"""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from exports.keras_weights import MOST_BYTES, unpacked

GRAPH = "saved_model.pb"
MOST_GRAPH_BYTES = 512 * 2**20
MOST_OPERATIONS, MOST_CALLS, MOST_FILES = 50_000, 64, 1_000  # in all; calls within calls; files of a checkpoint
CALLS = ("PartitionedCall", "StatefulPartitionedCall")
PASSING = ("EnsureShape", "Identity", "IdentityN", "PreventGradient", "StopGradient")
VARIABLES = ("VarHandleOp", "VariableV2")
ORDERING = ("NoOp",)
COMPUTING = (
    "Add", "AddN", "AddV2", "ArgMax", "AvgPool", "BatchToSpaceND", "BiasAdd", "Cast", "ConcatV2", "Const", "Conv2D",
    "DepthwiseConv2dNative", "Elu", "ExpandDims", "FloorMod", "FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3",
    "GatherV2", "LeakyRelu", "MatMul", "Max", "Maximum", "MaxPool", "Mean", "Mul", "Neg", "OneHot", "Pack", "Pad",
    "PadV2", "Placeholder", "Prod", "ReadVariableOp", "RealDiv", "Relu", "Relu6", "Reshape", "ResizeBilinear",
    "ResizeNearestNeighbor", "Rsqrt", "Selu", "Shape", "Sigmoid", "Softmax", "Softplus", "Softsign",
    "SpaceToBatchND", "Split", "SplitV", "Sqrt", "Squeeze", "StridedSlice", "Sub", "Tanh", "Tile", "Transpose",
)  # fmt: skip
READ = frozenset({*CALLS, *PASSING, *VARIABLES, *ORDERING, *COMPUTING})

Key = tuple[int, str]  # the number of a scope and the name of a node in it
Ref = tuple[Key, int]  # an output of an operation


@dataclass(frozen=True)
class Operation:
    """One operation: its kind, its attributes as protobuf has them, and the outputs that it reads."""

    kind: str
    name: str
    attributes: Any
    inputs: tuple[Ref, ...]


@dataclass(frozen=True)
class Graph:
    """Operations in an order in which they can be computed; the image, the answer, and each variable's numbers."""

    operations: dict[Key, Operation]
    image: Ref
    image_shape: tuple[int | None, ...]  # batch, height, width, channels
    answer: Ref
    variables: dict[Key, np.ndarray]
    signature: str


@dataclass
class _Scope:
    """The main graph or one call of a function: its nodes, and where its arguments come from."""

    number: int
    nodes: dict[str, Any]
    depth: int = 0
    function: Any = None
    arguments: dict[str, tuple[_Scope, str]] = field(default_factory=dict)


def is_saved_model(path: Path) -> bool:
    """Whether `path` is a folder, or a zip of one, as SavedModels are."""
    return path.is_dir() or path.suffix == ".zip"


def hash_of(path: Path) -> str:
    """The hash of a SavedModel's folder: of the names and contents of what is read of it."""
    digest = hashlib.sha256()
    for file in _files(path):
        digest.update(f"{file.relative_to(path)}\0".encode())
        with file.open("rb") as content:
            digest.update(hashlib.file_digest(content, "sha256").digest())
    return digest.hexdigest()


def read_saved_model(path: Path, scratch: Path) -> Graph:
    """The graph of the SavedModel at `path`, a folder or a zip; `scratch` is a folder for what has to be unpacked.

    Raises: ValueError, and whatever protobuf or the checkpoint's reader raise on damaged bytes.
    """
    from tensorflow.core.protobuf import saved_model_pb2

    folder = path if path.is_dir() else _extracted(path, scratch)
    _files(folder)
    graph = folder / GRAPH
    if graph.stat().st_size > MOST_GRAPH_BYTES:
        raise ValueError(f"its {GRAPH} has {graph.stat().st_size:,} bytes; at most {MOST_GRAPH_BYTES:,} are read")
    saved = saved_model_pb2.SavedModel.FromString(graph.read_bytes())
    served = [one for one in saved.meta_graphs if "serve" in one.meta_info_def.tags]
    if not served:
        raise ValueError("it holds no graph with the tag 'serve'")
    return _Reader(served[0]).read(folder)


def _files(folder: Path) -> list[Path]:
    """What is read of a folder, in order. Raises: ValueError for links, and where the graph is missing."""
    found = [folder / GRAPH, *sorted((folder / "variables").glob("variables.*"))[:MOST_FILES]]
    if not found[0].is_file():
        raise ValueError(f"there is no {GRAPH} in it, so it is no SavedModel")
    if linked := [one for one in (*found, folder / "variables") if one.is_symlink()]:
        raise ValueError(f"{linked[0].name} is a link, which is not followed")
    if sum(one.stat().st_size for one in found) > MOST_BYTES:
        raise ValueError(f"it has more than {MOST_BYTES:,} bytes")
    return found


def _extracted(path: Path, scratch: Path) -> Path:
    """The folder of a zip, at its top or one below."""
    out = scratch / "saved_model"
    (out / "variables").mkdir(parents=True)
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        tops = [name.removesuffix(GRAPH) for name in names if name == GRAPH or name.endswith(f"/{GRAPH}")]
        if len(tops) != 1 or tops[0].count("/") > 1:
            raise ValueError(f"it is a zip with {len(tops)} {GRAPH}; a SavedModel has one, at its top or one folder in")
        left = MOST_BYTES
        for name in names:
            inner = name.removeprefix(tops[0])
            kept = Path(inner).name
            if inner == GRAPH or (inner == f"variables/{kept}" and kept.startswith("variables.")):
                content = unpacked(archive, name, left)
                left -= len(content)
                (out / (GRAPH if inner == GRAPH else f"variables/{kept}")).write_bytes(content)
    return out


class _Reader:
    def __init__(self, graph: Any) -> None:
        self.graph = graph
        self.functions = {one.signature.name: one for one in graph.graph_def.library.function}
        self.scopes: list[_Scope] = []
        self.called: dict[Key, _Scope] = {}
        self.main = self._scope({one.name: one for one in graph.graph_def.node})

    def read(self, folder: Path) -> Graph:
        name, signature = self._signature()
        (given,), (asked,) = signature.inputs.values(), signature.outputs.values()
        image, answer = self.source(self.main, given.name), self.source(self.main, asked.name)
        operations = self._operations(self._immediate(self.main, asked.name)[:2])
        if operations.get(image[0]) is None or operations[image[0]].kind != "Placeholder":
            raise ValueError(f"its answer does not depend on {given.name}")
        sides = given.tensor_shape.dim
        shape = tuple(None if side.size < 0 else int(side.size) for side in sides)
        return Graph(operations, image, shape, answer, self._variables(operations, folder), name)

    def _signature(self) -> tuple[str, Any]:
        signatures = {
            name: one for name, one in self.graph.signature_def.items() if one.inputs and not name.startswith("__")
        }
        if not signatures:
            raise ValueError("it has no signature that takes an image")
        name = next((one for one in ("serving_default", "serve") if one in signatures), min(signatures))
        found = signatures[name]
        if len(found.inputs) != 1 or len(found.outputs) != 1:
            raise ValueError(
                f"its signature {name} has {len(found.inputs)} inputs and {len(found.outputs)} outputs; one each is "
                "read"
            )
        return name, found

    def _operations(self, last: tuple[_Scope, Any]) -> dict[Key, Operation]:
        """All that happens before `last` and itself, each kind on the list, inputs first."""
        done: dict[Key, Operation] = {}
        open_: set[Key] = set()
        stack: list[tuple[_Scope, Any, Iterator[tuple[_Scope, Any]] | None]] = [(*last, None)]
        while stack:
            scope, node, rest = stack.pop()
            key = (scope.number, node.name)
            if rest is None:
                if key in done:
                    continue
                if key in open_:
                    raise ValueError(f"its operations read each other in a circle, at {node.name}")
                if node.op not in READ:
                    raise ValueError(
                        f"it has the operation {node.op} ({node.name}), which is not read: only operations that "
                        "compute on tensors are, none that reads or writes files, calls Python or draws at random"
                    )
                open_.add(key)
                if len(open_) + len(done) > MOST_OPERATIONS:
                    raise ValueError(f"it has more than {MOST_OPERATIONS:,} operations")
                rest = self._before(scope, node)
            following = next(rest, None)
            if following is not None:
                stack += [(scope, node, rest), (*following, None)]
                continue
            open_.discard(key)
            inputs = () if node.op in CALLS else tuple(self.source(scope, ref) for ref in node.input if ref[0] != "^")
            done[key] = Operation(node.op, node.name, node.attr, inputs)
        return {key: one for key, one in done.items() if one.kind not in (*CALLS, *PASSING, *ORDERING)}

    def _before(self, scope: _Scope, node: Any) -> Iterator[tuple[_Scope, Any]]:
        for ref in node.input:
            if ref.startswith("^"):
                yield scope, self._node(scope, ref[1:])
            else:
                yield self._immediate(scope, ref)[:2]
        if node.op in CALLS:
            inner = self._called(scope, node)
            for ref in inner.function.ret.values():
                yield self._immediate(inner, ref)[:2]
            for name in inner.function.control_ret.values():
                yield inner, self._node(inner, name)

    def _immediate(self, scope: _Scope, ref: str) -> tuple[_Scope, Any, int]:
        """The node that gives `ref`, outside of a function where it is an argument, and which of its outputs."""
        while ref in scope.arguments:
            scope, ref = scope.arguments[ref]
        name, *place = ref.split(":")
        node = self._node(scope, name)
        # NAME:2 in the main graph, NAME:output:2 in functions; of norms and pools only the first word counts.
        if len(place) == 2 and node.op.startswith("FusedBatchNorm") and place[0] != "y":
            raise ValueError(f"{node.name} gives {place[0]}, which is read only while training")
        return scope, node, int(place[-1]) if place else 0

    def source(self, scope: _Scope, ref: str) -> Ref:
        """The operation behind `ref` that computes, through calls and what only hands on."""
        for _ in range(MOST_OPERATIONS):
            scope, node, index = self._immediate(scope, ref)
            if node.op in PASSING:
                ref = node.input[index]
            elif node.op in CALLS:
                scope = self._called(scope, node)
                ref = scope.function.ret[scope.function.signature.output_arg[index].name]
            else:
                return (scope.number, node.name), index
        raise ValueError("its operations hand on to each other in a circle")

    def _called(self, scope: _Scope, node: Any) -> _Scope:
        key = (scope.number, node.name)
        if key not in self.called:
            function = self.functions.get(node.attr["f"].func.name)
            if function is None:
                raise ValueError(f"{node.name} calls a function that it does not hold")
            if scope.depth >= MOST_CALLS or len(self.scopes) > MOST_OPERATIONS:
                raise ValueError(f"its functions call each other more than {MOST_CALLS} deep")
            given = [ref for ref in node.input if not ref.startswith("^")]
            names = [one.name for one in function.signature.input_arg]
            if len(names) != len(given):
                raise ValueError(f"{node.name} calls a function of {len(names)} arguments with {len(given)}")
            inner = self._scope({one.name: one for one in function.node_def})
            inner.depth, inner.function = scope.depth + 1, function
            inner.arguments = {name: (scope, ref) for name, ref in zip(names, given, strict=True)}
            self.called[key] = inner
        return self.called[key]

    def _scope(self, nodes: dict[str, Any]) -> _Scope:
        scope = _Scope(len(self.scopes), nodes)
        self.scopes.append(scope)
        return scope

    def _node(self, scope: _Scope, name: str) -> Any:
        if name not in scope.nodes:
            raise ValueError(f"it reads {name!r}, which is not there")
        return scope.nodes[name]

    def _variables(self, operations: dict[Key, Operation], folder: Path) -> dict[Key, np.ndarray]:
        import tensorflow as tf

        wanted = [key for key, one in operations.items() if one.kind in VARIABLES]
        if not wanted:
            return {}
        if not (folder / "variables" / "variables.index").is_file():
            raise ValueError("there is no checkpoint in its folder variables, so its weights are missing")
        names = self._names_in_checkpoint()
        reader = tf.train.load_checkpoint(str(folder / "variables" / "variables"))
        shapes, left, found = reader.get_variable_to_shape_map(), MOST_BYTES, {}
        for key in wanted:
            name = names.get(key)
            if name is None or name not in shapes:
                raise ValueError(f"the checkpoint has no numbers for the variable {key[1]}")
            left -= prod(shapes[name]) * 4
            if left < 0:
                raise ValueError(f"its variables hold more than {MOST_BYTES:,} bytes")
            value = np.asarray(reader.get_tensor(name))
            if value.dtype.kind != "f" or not np.isfinite(value).all():
                raise ValueError(f"the variable {key[1]} holds {value.dtype} that is not all finite numbers")
            found[key] = value.astype(np.float32)
        return found

    def _names_in_checkpoint(self) -> dict[Key, str]:
        """The name in the checkpoint of every variable, as the restoring function assigns them; it is only read."""
        last = self.graph.saver_def.restore_op_name
        scope = self.main
        if last in scope.nodes and scope.nodes[last].op in CALLS:
            scope = self._called(scope, scope.nodes[last])
        found = {}
        for node in scope.nodes.values():
            if node.op not in ("AssignVariableOp", "Assign"):
                continue
            (number, name), place = self.source(scope, node.input[1])
            restore = self.scopes[number].nodes[name]
            if restore.op == "RestoreV2":
                (cut, slices), _ = self.source(self.scopes[number], restore.input[2])
                if any(constant(self.scopes[cut].nodes[slices].attr).ravel()):
                    raise ValueError("its variables lie in pieces, which is not read")
                (at, listed), _ = self.source(self.scopes[number], restore.input[1])
                names = constant(self.scopes[at].nodes[listed].attr).ravel()
                found[self.source(scope, node.input[0])[0]] = bytes(names[place]).decode("utf-8")
        return found


def constant(attributes: Any) -> np.ndarray:
    """The array of a constant. Raises: ValueError where its shape says more than is read."""
    import tensorflow as tf

    tensor = attributes["value"].tensor
    if prod(max(side.size, 0) for side in tensor.tensor_shape.dim) * 4 > MOST_BYTES:
        raise ValueError(f"a constant of it has more than {MOST_BYTES:,} bytes")
    return np.asarray(tf.make_ndarray(tensor))
