"""A functional Keras model as an editable list of layer calls, and back: what rewriting a network is made of."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from zoo.layer_configs import config_of
from zoo.read_model import calls
from zoo.rules import RULES

if TYPE_CHECKING:
    from zoo.keras import keras


@dataclass(frozen=True)
class Call:
    """One layer on its inputs. `kind` is the class name of `zoo/rules.py`; `channels` those of its output."""

    name: str
    kind: str
    config: dict[str, Any]
    inputs: tuple[str, ...]
    channels: int
    weights: tuple[np.ndarray, ...] = ()
    merges: bool = False  # its inputs are handed over as one list


@dataclass
class Plan:
    """The calls of a model in an order that can be run, by name. `inputs` are configurations of input layers."""

    name: str
    inputs: list[dict[str, Any]]
    outputs: tuple[str, ...]
    calls: dict[str, Call] = field(default_factory=dict)

    @classmethod
    def of(cls, model: Any) -> Plan | None:
        """The plan of a functional model in the words of the vocabulary, weights copied.

        None for every other model: foreign layers and wrappers, nested models, layers called twice.
        """
        if not getattr(model, "_is_graph_network", False):
            return None
        places = {id(tensor): tensor.node.layer.name for tensor in model.inputs}
        inputs = [tensor.node.layer.get_config() for tensor in model.inputs]
        plan = cls(model.name, inputs, ())
        for node in calls(model):
            layer = node.layer
            if not _plain(node) or layer.name in plan.calls:
                return None
            plan.calls[layer.name] = Call(
                layer.name,
                type(layer).__name__,
                config_of(layer),
                tuple(places[id(tensor)] for tensor in node.keras_inputs),
                int(node.outputs.shape[-1]),
                tuple(layer.get_weights()),
                isinstance(node.call_args[0], list | tuple),
            )
            places[id(node.outputs)] = layer.name
        plan.outputs = tuple(places[id(tensor)] for tensor in model.outputs)
        return plan

    def build(self) -> keras.Model:
        """A new model of these calls."""
        from zoo.keras import keras
        from zoo.keras_layers import layer_class

        tensors = {
            config["name"]: keras.Input(
                batch_shape=config["batch_input_shape"], name=config["name"], dtype=config["dtype"]
            )
            for config in self.inputs
        }
        images = list(tensors.values())
        for call in self.calls.values():
            layer = layer_class(call.kind).from_config({**call.config, "name": call.name})
            given = [tensors[name] for name in call.inputs]
            tensors[call.name] = layer(given if call.merges else given[0])
            layer.set_weights(call.weights)
        answers = [tensors[name] for name in self.outputs]
        return keras.Model(_one(images), _one(answers), name=self.name)

    def channels_of(self, name: str) -> int:
        """The channels of an input or of what a call puts out."""
        if name in self.calls:
            return self.calls[name].channels
        return next(int(config["batch_input_shape"][-1]) for config in self.inputs if config["name"] == name)

    def only_reader(self, name: str) -> Call | None:
        """The call that reads `name` and nobody else does; None when there are more, or the model puts it out."""
        readers = [call for call in self.calls.values() if name in call.inputs]
        return readers[0] if len(readers) == 1 and name not in self.outputs else None

    def replace(self, gone: Iterable[str], new: Sequence[Call]) -> None:
        """Puts `new` where the last of `gone` stood; who read that one reads the last of `new`."""
        away = set(gone)
        before, after = [name for name in self.calls if name in away][-1], new[-1].name

        def renamed(names: tuple[str, ...]) -> tuple[str, ...]:
            return tuple(after if name == before else name for name in names)

        kept: dict[str, Call] = {}
        for name, call in self.calls.items():
            if name == before:
                kept.update({one.name: one for one in new})
            elif name not in away:
                kept[name] = replace(call, inputs=renamed(call.inputs))
        self.calls, self.outputs = kept, renamed(self.outputs)


def from_vocabulary(layer: Any) -> bool:
    """Whether the layer is of the very class that the rules speak of, not only of its name."""
    from zoo.keras_layers import layer_class

    kind = type(layer).__name__
    return kind in RULES and layer_class(kind) is type(layer)


def _plain(node: Any) -> bool:
    """Whether a call is one of a layer of the vocabulary, channels last, one output, nothing but inputs given."""
    layer = node.layer
    return (
        from_vocabulary(layer)
        and getattr(layer, "data_format", "channels_last") == "channels_last"
        and not isinstance(node.outputs, list | tuple)
        and len(node.call_args) == 1
        and not any(value is not None for value in node.call_kwargs.values())
    )


def _one(tensors: list[Any]) -> Any:
    return tensors[0] if len(tensors) == 1 else tensors
