"""A Keras model's description from elsewhere, turned into one that is safe to build: plain JSON in, plain JSON out.

A description can name any class, and Keras would look it up and call it. So nothing of it is handed on that is not on
a list: layers by class name, settings that are numbers, words or lists of them, activations that Keras has by name.
Initialisers, regularisers and constraints are left out, because weights are set from the file and ours is the loss.
Files of Keras 2 and tf_keras come out as they are, those of Keras 3 in the older words, a sequence as a graph.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise
from typing import Any

from exports.keras_weights import MODELS, MOST_DEPTH
from zoo.layers import AFFINE
from zoo.rules import ELEMENTWISE, RULES

MOST_LAYERS = 5_000  # in all
# Layers without a row of rules that are safe to build: their channels are followed no further, the rest works.
OTHERS = (
    "AlphaDropout", "Conv1D", "ELU", "GaussianDropout", "GaussianNoise", "GlobalAveragePooling1D",
    "GroupNormalization", "LayerNormalization", "Minimum", "Permute", "RepeatVector", "SpatialDropout2D",
    "ThresholdedReLU", "UnitNormalization",
)  # fmt: skip
OURS = (
    "CellGather", "ChannelGather", "ChannelPad", "ChannelShuffle", "ChannelSlice", "HardSigmoid", "HardSwish", "Sign",
)  # fmt: skip
LAYERS = frozenset(
    {*OTHERS, *OURS, *(name for name in RULES if not name.startswith(("Condensing", "Learned")) and name not in OURS)}
)
MOMENTUM = 0.9  # of norms, as everywhere in the zoo
ACTIVATIONS = frozenset({*ELEMENTWISE, "softmax", "log_softmax"})
DROPPED = ("_initializer", "_regularizer", "_constraint")
# Operators written in Python, as Keras 2 wraps them -> the layer that does the same, and its settings.
OPERATORS: dict[str, tuple[str, dict[str, Any]]] = {
    "__operators__.add": ("Add", {}), "math.add": ("Add", {}), "math.subtract": ("Subtract", {}),
    "math.multiply": ("Multiply", {}), "math.maximum": ("Maximum", {}), "nn.relu": ("ReLU", {}),
    "nn.relu6": ("ReLU", {"max_value": 6.0}),
}  # fmt: skip
KEPT_OUT = ("build_config", "input_spec", "quantization_config", "optional", "ragged", "sparse")
RANGES: dict[str, tuple[float, float]] = {"0..1": (1.0, 0.0), "-1..1": (2.0, -1.0), "0..255": (255.0, 0.0)}

Config = dict[str, Any]


@dataclass
class Cleaned:
    """A description that may be built, of a functional model, and sentences about what was left out of it."""

    config: Config
    notes: list[str] = field(default_factory=list)
    softmax: bool = False  # the answers were probabilities; the description no longer ends in a softmax


def clean(described: Any, input_range: str = "0..1") -> Cleaned:
    """The description `{"class_name", "config"}` of a model with one image as input, checked and in our words.

    `input_range` is what the network was trained on; ours gives 0 to 1, so for another one a layer goes in front.

    Raises: ValueError naming what is not on the lists, or why the model cannot be used.
    """
    if input_range not in RANGES:
        raise ValueError(f"input_range {input_range!r} is not known; one of {', '.join(RANGES)}")
    cleaner = _Cleaner()
    config = cleaner.model(described, 0)
    found = Cleaned(config, cleaner.notes)
    inputs, outputs = config["input_layers"], config["output_layers"]
    if len(inputs) != 1 or len(outputs) != 1:
        raise ValueError(f"it has {len(inputs)} inputs and {len(outputs)} outputs; an image classifier has one of each")
    _end_in_logits(config, found)
    if input_range != "0..1":
        _put_range(config, inputs[0][0])
        found.notes.append(f"a layer {AFFINE} in front turns 0..1 into {input_range}")
    return found


class _Cleaner:
    def __init__(self) -> None:
        self.notes: list[str] = []
        self.layers = 0

    def model(self, described: Any, depth: int) -> Config:
        if not isinstance(described, Mapping) or not isinstance(described.get("config"), Mapping | list):
            raise ValueError("its description is not that of a Keras model")
        kind, config = described.get("class_name"), described["config"]
        if kind not in MODELS:
            raise ValueError(f"it is a {_word(kind)}; models of the classes {', '.join(MODELS)} are read")
        if depth > MOST_DEPTH:
            raise ValueError(f"it has models within models, more than {MOST_DEPTH} deep")
        config = {"layers": config} if isinstance(config, list) else dict(config)
        layers = config.get("layers")
        if not isinstance(layers, list) or not layers:
            raise ValueError("its description lists no layers")
        self.layers += len(layers)
        if self.layers > MOST_LAYERS:
            raise ValueError(f"it has more than {MOST_LAYERS:,} layers")
        rows = [self._layer(layer, depth) for layer in layers]
        # Keras 3 counts the calls of a nested model from 0, as does a sequence made a graph here; older ones from 1.
        newer = any(isinstance(node, Mapping) for layer in layers for node in layer.get("inbound_nodes") or [])
        names = [row["name"] for row in rows]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"layer names are used twice: {', '.join(twice[:3])}")
        name = str(config.get("name", "model"))
        if kind == "Sequential":
            found = _chained(name, rows, config)
        else:
            ends = {key: _ends(config.get(key), set(names), key) for key in ("input_layers", "output_layers")}
            found = {"name": name, "layers": rows, **ends}
        if newer or kind == "Sequential":
            _count_from_one(found)
        _check_calls(found)
        return found

    def _layer(self, layer: Any, depth: int) -> Config:
        if not isinstance(layer, Mapping) or not isinstance(layer.get("config"), Mapping | list):
            raise ValueError("one of its layers has no description")
        kind = layer.get("class_name")
        if kind == "TFOpLambda":
            layer = _as_layer(layer)
            kind = layer["class_name"]
        inbound = [_call(node) for node in layer.get("inbound_nodes") or []]
        if kind in MODELS:
            inner = self.model(layer, depth + 1)
            name = str(layer.get("name") or inner["name"])
            return {
                "class_name": "Functional", "name": name, "config": {**inner, "name": name}, "inbound_nodes": inbound
            }  # fmt: skip
        kind = str(kind).removeprefix("litesmith>")
        config = layer["config"]
        name = str(config.get("name") or layer.get("name") or "") if isinstance(config, Mapping) else ""
        if kind not in LAYERS:
            raise ValueError(
                f"layer {name or '?'} is a {_word(kind)}, which is not read: only layers that Keras itself describes "
                "in numbers are, no Lambda, no operator of TensorFlow, no class of your own"
            )
        if not name:
            raise ValueError(f"a layer of class {kind} has no name")
        return {
            "class_name": f"litesmith>{kind}" if kind in OURS else kind,
            "name": name,
            "config": self._settings(name, kind, config),
            "inbound_nodes": inbound,
        }

    def _settings(self, name: str, kind: str, config: Mapping[str, Any]) -> Config:
        found: Config = {}
        for key, value in config.items():
            if key.endswith(DROPPED) or key in KEPT_OUT or key == "activity_regularizer":
                if key.endswith(("_constraint", "_regularizer")) and value:
                    self._note("regularisers and constraints are left out")
            elif key == "rms_scaling" and not value:
                pass  # Keras 3's LayerNormalization as it always was
            elif key == "dtype":
                if _dtype(value) not in ("float32", None):
                    self._note(f"computed in {_dtype(value)}; here in float32")
            elif key == "activation":
                found[key] = _activation(name, value)
            elif key == "batch_shape":
                found["batch_input_shape"] = value
            elif _plain(value):
                found[key] = value
            else:
                raise ValueError(f"layer {name}: its {key} is not a number, a word or a list of them")
        momentum = found.get("momentum", 0.99)
        if kind == "BatchNormalization" and isinstance(momentum, float) and momentum > MOMENTUM:
            # Keras' 0.99 wants hundreds of updates until statistics follow the weights; a short fine-tuning has fewer.
            found["momentum"] = MOMENTUM
            self._note(f"statistics of norms follow with momentum {MOMENTUM:g} while training, not {momentum:g}")
        if kind == "Activation" and found.get("activation") is None:
            raise ValueError(f"layer {name} is an Activation without one")
        return found

    def _note(self, sentence: str) -> None:
        if sentence not in self.notes:
            self.notes.append(sentence)


def _as_layer(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """The layer that computes what an operator between tensors does. Raises: ValueError for any other operator."""
    name, function = str(row.get("name") or row["config"].get("name")), row["config"].get("function")
    if function not in OPERATORS:
        raise ValueError(
            f"layer {name} is {_word(function)}, which is not read: no operator of TensorFlow is, but sums, "
            "differences, products and maxima of two tensors, and relu"
        )
    kind, settings = OPERATORS[function]
    calls = []
    for node in row.get("inbound_nodes") or []:
        place = node[0] if isinstance(node, list) and node and isinstance(node[0], list) else node
        named = place[3] if isinstance(place, list) and len(place) > 3 and isinstance(place[3], Mapping) else {}
        others = [value for key, value in named.items() if key != "name" and value is not None]
        if any(not isinstance(other, list) or len(other) != 3 for other in others) or len(others) != (kind != "ReLU"):
            raise ValueError(f"layer {name}: {function} with a number, which is not read; two tensors are")
        calls.append([[*place[:3], {}], *([*other, {}] for other in others)])
    return {"class_name": kind, "name": name, "config": {"name": name, **settings}, "inbound_nodes": calls}


def _call(node: Any) -> list[Any]:
    """One call of a layer as `[[layer, node, tensor, {}], ...]`."""
    if isinstance(node, Mapping):  # Keras 3: arguments, each a tensor that says where it comes from
        if any(not _plain(value) for value in (node.get("kwargs") or {}).values()):
            raise ValueError("a layer is called with tensors by name, which is not read")
        tensors = _tensors(node.get("args"), 0)
        places: list[Any] = [one.get("config", {}).get("keras_history") for one in tensors]
    else:
        places = node if isinstance(node, list) else []
        if places and not isinstance(places[0], list):
            places = [places]
    if not places:
        raise ValueError("a layer is called on nothing")
    found = []
    for place in places:
        if not isinstance(place, list) or len(place) < 3 or not isinstance(place[0], str):
            raise ValueError("a layer does not say what it is called on")
        named = place[3] if len(place) > 3 else {}
        if not isinstance(named, Mapping) or any(value is not None for key, value in named.items() if key != "mask"):
            raise ValueError(f"a layer is called on {place[0]} with further arguments, which is not read")
        found.append([place[0], int(place[1]), int(place[2]), {}])
    return found


def _tensors(value: Any, depth: int) -> list[Mapping[str, Any]]:
    if depth > MOST_DEPTH:
        raise ValueError("a layer's arguments are nested too deeply")
    if isinstance(value, Mapping):
        if value.get("class_name") != "__keras_tensor__":
            raise ValueError("a layer is called on something that is no tensor")
        return [value]
    if isinstance(value, list):
        return [one for item in value for one in _tensors(item, depth + 1)]
    raise ValueError("a layer is called on something that is no tensor")


def _ends(value: Any, names: set[str], key: str) -> list[list[Any]]:
    """The model's inputs or outputs as `[[layer, node, tensor], ...]`."""
    if isinstance(value, list) and value and not isinstance(value[0], list):
        value = [value]
    if not isinstance(value, list) or not value or any(not isinstance(one, list) or len(one) != 3 for one in value):
        raise ValueError(f"its {key} are not named one by one")
    unknown = [one[0] for one in value if one[0] not in names]
    if unknown:
        raise ValueError(f"its {key} name {unknown[0]!r}, which is no layer of it")
    return [[str(one[0]), int(one[1]), int(one[2])] for one in value]


def _count_from_one(config: Config) -> None:
    """Numbers the calls of nested models as tf_keras does: the first is its own making, so those here begin with 1."""
    nested = {row["name"] for row in config["layers"] if row["class_name"] == "Functional"}
    called = [place for row in config["layers"] for call in row["inbound_nodes"] for place in call]
    for place in (*called, *config["output_layers"]):
        if place[0] in nested:
            place[1] += 1


def _check_calls(config: Config) -> None:
    """Refuses calls that read themselves or calls that do not exist: Keras would look for them without end."""
    first = {row["name"]: int(row["class_name"] == "Functional") for row in config["layers"]}
    calls = {
        (row["name"], first[row["name"]] + number): {(place[0], place[1]) for place in call}
        for row in config["layers"]
        for number, call in enumerate(row["inbound_nodes"] or [[]])
    }
    read = {place for places in calls.values() for place in places}
    read |= {(end[0], end[1]) for end in config["output_layers"]}
    if missing := sorted(read - calls.keys()):
        name, number = missing[0]
        raise ValueError(f"call {number} of layer {name} is read, which does not exist")
    try:
        TopologicalSorter(calls).prepare()
    except CycleError as error:
        circle = ", ".join(name for name, _ in error.args[1])
        raise ValueError(f"its layers read each other in a circle: {circle}") from None


def _chained(name: str, rows: list[Config], config: Config) -> Config:
    """A sequence as a graph."""
    first = rows[0]
    if first["class_name"] != "InputLayer":
        shape = first["config"].pop("batch_input_shape", None) or config.get("build_input_shape")
        if not shape:
            raise ValueError("it is a sequence that does not say the shape of its input")
        image = {"name": "image_input", "batch_input_shape": shape}
        rows = [{"class_name": "InputLayer", "name": "image_input", "config": image, "inbound_nodes": []}, *rows]
    for before, row in pairwise(rows):
        row["inbound_nodes"] = [[[before["name"], 0, 0, {}]]]
    return {
        "name": name,
        "layers": rows,
        "input_layers": [[rows[0]["name"], 0, 0]],
        "output_layers": [[rows[-1]["name"], 0, 0]],
    }


def _end_in_logits(config: Config, found: Cleaned) -> None:
    """Takes the softmax off the end: training here wants logits, and so do the files."""
    end = config["output_layers"][0]
    row = next(row for row in config["layers"] if row["name"] == end[0])
    if row["class_name"] == "Functional":
        _end_in_logits(row["config"], found)
        return
    activation = row["config"].get("activation")
    if row["class_name"] == "Softmax" or activation == "softmax":
        found.softmax = True
        found.notes.append(f"the softmax at its end ({row['name']}) is left off: files here give logits")
        if row["class_name"] in ("Softmax", "Activation"):
            config["output_layers"] = [row["inbound_nodes"][0][0][:3]]
            config["layers"].remove(row)
        else:
            row["config"]["activation"] = "linear"
    elif activation not in (None, "linear"):
        raise ValueError(
            f"it ends in {row['name']} with {activation}; a classifier of one class per image ends in a softmax or bare"
        )


def _put_range(config: Config, image: str) -> None:
    """Puts the layer that changes the range of pixels between the input and all that read it."""
    for row in config["layers"]:
        for call in row["inbound_nodes"]:
            for place in call:
                if place[0] == image:
                    place[0] = AFFINE
    settings = {"name": AFFINE, "kernel_size": [1, 1], "padding": "same", "use_bias": True, "trainable": False}
    front = {
        "class_name": "DepthwiseConv2D", "name": AFFINE, "config": settings, "inbound_nodes": [[[image, 0, 0, {}]]]
    }  # fmt: skip
    place = next(at for at, row in enumerate(config["layers"]) if row["name"] == image)
    config["layers"].insert(place + 1, front)


def _activation(layer: str, value: Any) -> str | None:
    """An activation by its name; Keras 3 and tf_keras may wrap the name."""
    if isinstance(value, Mapping):
        inner = value.get("config")
        value = inner if isinstance(inner, str) else inner.get("name") if isinstance(inner, Mapping) else None
        value = value or "a class"
    if value is not None and value not in ACTIVATIONS:
        raise ValueError(f"layer {layer} has the activation {_word(value)}; read are {', '.join(sorted(ACTIVATIONS))}")
    return value


def _dtype(value: Any) -> str | None:
    if isinstance(value, Mapping):
        inner = value.get("config")
        return str(inner.get("name")) if isinstance(inner, Mapping) else "?"
    return None if value is None else str(value)


def _plain(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return len(value) <= 100_000 and all(_plain(one) for one in value)
    return value is None or isinstance(value, bool | int | float | str)


def _word(value: Any) -> str:
    return repr(str(value)[:60])
