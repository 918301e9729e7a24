"""Removes channels from a model: a smaller model with the kept weights, and equal answers up to what was removed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from zoo.channel_graph import ChannelGraph, Site
from zoo.layer_configs import config_of
from zoo.operators import is_operator, narrowed
from zoo.read_model import calls, entries, flat

if TYPE_CHECKING:
    from zoo.keras import keras

Config = dict[str, Any]
Arrays = list[np.ndarray]
Mask = np.ndarray
Slicer = Callable[[Config, Arrays, Mask, Mask], tuple[Config, Arrays]]
Reader = Callable[[Site, int, Any], Any]  # (site, place of the input, tensor) -> what the layer reads instead


def cut(graph: ChannelGraph, removed: Iterable[int]) -> keras.Model:
    """A new model without the units `removed`; the graph's own model stays as it is.

    Raises: ValueError for a unit that is locked, with the reason, and for a cut that leaves a layer without channels.
    """
    return _rebuilt(graph, kept_atoms(graph, removed))[0]


def laid_open(model: keras.Model) -> keras.Model:
    """`model` with the models nested in it laid open, a new one; the same object when it holds none.

    Raises: ValueError as `ChannelGraph.of`.
    """
    if not any(hasattr(layer, "_nodes_by_depth") for layer in model.layers):
        return model
    return cut(ChannelGraph.of(model), ())


def masked(graph: ChannelGraph, removed: Iterable[int]) -> keras.Model:
    """The model rebuilt in full size that reads nothing from the units `removed`: what `cut` must agree with."""
    gone = ~kept_atoms(graph, removed)
    copy, made = _rebuilt(graph, np.ones(len(graph.units), bool))
    for site in graph.makers:
        if site.layer.weights:
            weights = site.layer.get_weights()
            weights[0] = scaled_inputs(site, weights[0], ~gone[site.reads[0]])
            made[id(site.layer)].set_weights(weights)
    return copy


@contextmanager
def silenced(graph: ChannelGraph, removed: Iterable[int]) -> Iterator[None]:
    """While this lasts the graph's own model reads nothing from the units `removed`: `masked` without a new model.

    Raises: ValueError as `cut`.
    """
    gone = ~kept_atoms(graph, removed)
    kernels = [
        (site, site.layer.weights[0], site.layer.weights[0].numpy())
        for site in graph.makers
        if site.layer.weights and gone[site.reads[0]].any()
    ]
    try:
        for site, kernel, value in kernels:
            kernel.assign(scaled_inputs(site, value, ~gone[site.reads[0]]))
        yield
    finally:
        for _, kernel, value in kernels:
            kernel.assign(value)


def reading(graph: ChannelGraph, read: Reader, more: Sequence[Any] = ()) -> keras.Model:
    """The model rebuilt in full size, whose layers read what `read` makes of their inputs.

    `more` are input tensors that `read` uses besides; they become inputs of the model, behind its own.
    """
    return _rebuilt(graph, np.ones(len(graph.units), bool), read, more)[0]


def _rebuilt(
    graph: ChannelGraph, kept: Mask, read: Reader | None = None, more: Sequence[Any] = ()
) -> tuple[keras.Model, dict[int, Any]]:
    """The model of the kept atoms, and its layers by the ids of those they come from."""
    from zoo.keras import keras, tf

    made: dict[int, Any] = {}
    tensors: dict[int, Any] = {}
    images = []
    for tensor in graph.model.inputs:
        config = tensor.node.layer.get_config()
        image = keras.Input(batch_shape=config["batch_input_shape"], name=config["name"], dtype=config["dtype"])
        images.append(image)
        tensors[id(tensor)] = image
    _build(graph, graph.model, iter(graph.sites.values()), tensors, made, kept, _names(graph.model), read)
    answers = [tensors[id(tensor)] for tensor in graph.model.outputs]
    shaped = tf.nest.pack_sequence_as
    given = [*images, *more] if more else shaped(graph.model._nested_inputs, images)
    return keras.Model(given, shaped(graph.model._nested_outputs, answers), name=graph.model.name), made


def kept_atoms(graph: ChannelGraph, removed: Iterable[int]) -> np.ndarray:
    """For every atom whether it stays. Raises: ValueError as `cut`."""
    wanted = np.unique(np.fromiter(removed, int))
    for unit in wanted.tolist():
        if unit in graph.locked:
            raise ValueError(f"unit {unit} cannot be removed: {graph.locked[unit]}")
    if len(wanted) and (wanted.min() < 0 or wanted.max() > graph.units.max()):
        raise ValueError(f"the model has units 0 to {graph.units.max()}; received {wanted.min()} to {wanted.max()}")
    kept = ~np.isin(graph.units, wanted)
    for site in graph.sites.values():
        if not kept[site.writes].any():
            raise ValueError(f"the cut leaves layer {site.name} without a channel; keep at least one")
    return kept


def _build(
    graph: ChannelGraph,
    model: Any,
    sites: Iterator[Site],
    tensors: dict[int, Any],
    made: dict[int, Any],
    kept: np.ndarray,
    names: dict[int, str],
    read: Reader | None,
    training: Any = None,
) -> None:
    """Calls the layers of `model` anew; `training` is what a call of it as a nested model laid down.

    `sites` are those of the calls still to come: the nodes inside a nested model are the same in each of its calls, so
    only the order tells whose turn it is.
    """
    for node in calls(model):
        layer = node.layer
        outputs = flat(node.outputs)
        if hasattr(layer, "_nodes_by_depth"):
            for outer, inner in entries(node):
                tensors[id(inner)] = tensors[id(outer)]
            laid_down = node.call_kwargs.get("training")
            inner = training if laid_down is None else laid_down
            _build(graph, layer, sites, tensors, made, kept, names, read, inner)
            for outer, inner in zip(outputs, layer.outputs, strict=True):
                tensors[id(outer)] = tensors[id(inner)]
            continue
        site = next(sites)
        weights: Arrays | None = None
        if id(layer) not in made:
            made[id(layer)], weights = _smaller(site, kept, names[id(layer)])
        new = made[id(layer)]
        given = {id(tensor): tensors[id(tensor)] for tensor in node.keras_inputs}
        if read:
            given = {key: read(site, place, tensor) for place, (key, tensor) in enumerate(given.items())}
        arguments, named = node.map_arguments(
            {str(key): [tensor] * len(node.keras_inputs) for key, tensor in given.items()}
        )
        if site.word == "slice" and is_operator(layer):
            arguments = narrowed(arguments, kept[site.reads[0]], kept[site.writes])
        if training is not None and new._call_spec.expects_training_arg and named.get("training") is None:
            named["training"] = training
        answers = new(*arguments, **named)
        if weights is not None:
            new.set_weights(weights)
        for tensor, answer in zip(outputs, flat(answers), strict=True):
            tensors[id(tensor)] = answer


def smaller_weights(site: Site, weights: Arrays, kept: Mask) -> tuple[Config, Arrays]:
    """The configuration and the weights of a site's layer for the kept channels."""
    if site.known:
        into, out = kept[site.reads[0]], kept[site.writes]
        if not (into.all() and out.all()):
            return SLICERS.get(site.kind, _pass)(config_of(site.layer, resized=True), weights, into, out)
    return config_of(site.layer), weights


def _smaller(site: Site, kept: Mask, name: str) -> tuple[Any, Arrays]:
    """The layer for the kept channels, not yet called, and its weights."""
    layer, kind = site.layer, type(site.layer)
    if is_operator(layer):
        return kind(layer.function, name=name), []
    try:
        config, weights = smaller_weights(site, layer.get_weights(), kept)
        return kind.from_config({**config, "name": name}), weights
    except (NotImplementedError, TypeError) as error:
        raise ValueError(
            f"layer {site.name}, a {site.kind}, cannot be made again from its configuration; give its class a "
            f"get_config and a from_config that fit: {error}"
        ) from error


def scaled_inputs(site: Site, kernel: np.ndarray, factors: np.ndarray) -> np.ndarray:
    """The kernel of a maker's layer as if input channel i of `site` were multiplied by `factors[i]`.

    A separable convolution's is its depthwise kernel.
    """
    if site.kind == "Dense":
        return kernel * factors[:, None]
    if site.kind == "Conv2DTranspose":
        return kernel * factors
    if site.word == "grouped":
        rows, columns = kernel.shape[2], kernel.shape[3]
        each = factors.reshape(-1, rows).T  # (rows of the kernel, groups)
        return kernel * np.repeat(each, columns // each.shape[1], axis=1)
    return kernel * factors[:, None]


def _pass(config: Config, weights: Arrays, into: Mask, out: Mask) -> tuple[Config, Arrays]:
    """A layer that treats channels by themselves: whatever it keeps per channel lies in the last axis."""
    return config, [array[..., into] if array.shape[-1] == len(into) else array for array in weights]


def _conv(config: Config, weights: Arrays, into: Mask, out: Mask) -> tuple[Config, Arrays]:
    kernel, *bias = weights
    groups = config.get("groups", 1)
    rows = into.reshape(groups, -1)[0]  # every group keeps the same places
    return {**config, "filters": int(out.sum())}, [kernel[:, :, rows][..., out], *(array[..., out] for array in bias)]


def _depthwise(config: Config, weights: Arrays, into: Mask, out: Mask) -> tuple[Config, Arrays]:
    kernel, *bias = weights
    return config, [kernel[:, :, into], *(array[..., out] for array in bias)]


def _separable(config: Config, weights: Arrays, into: Mask, out: Mask) -> tuple[Config, Arrays]:
    depthwise, pointwise, *bias = weights
    hidden = np.repeat(into, depthwise.shape[-1])
    return {**config, "filters": int(out.sum())}, [
        depthwise[:, :, into], pointwise[:, :, hidden][..., out], *(array[..., out] for array in bias)
    ]  # fmt: skip


def _transposed(config: Config, weights: Arrays, into: Mask, out: Mask) -> tuple[Config, Arrays]:
    kernel, *bias = weights
    return {**config, "filters": int(out.sum())}, [kernel[:, :, out][..., into], *(array[..., out] for array in bias)]


def _dense(config: Config, weights: Arrays, into: Mask, out: Mask) -> tuple[Config, Arrays]:
    kernel, *bias = weights
    return {**config, "units": int(out.sum())}, [kernel[into][:, out], *(array[..., out] for array in bias)]


def _slice(config: Config, weights: Arrays, into: Mask, out: Mask) -> tuple[Config, Arrays]:
    start = int(into[: config["start"]].sum())
    return {**config, "start": start, "stop": start + int(out.sum())}, weights


def _gather(config: Config, weights: Arrays, into: Mask, out: Mask) -> tuple[Config, Arrays]:
    places = np.cumsum(into) - 1
    indices = [int(places[index]) for index, stays in zip(config["indices"], out, strict=True) if stays]
    return {**config, "indices": indices}, weights


def _reshape(config: Config, weights: Arrays, into: Mask, out: Mask) -> tuple[Config, Arrays]:
    return {**config, "target_shape": (*config["target_shape"][:-1], int(out.sum()))}, weights


SLICERS: dict[str, Slicer] = {
    "Conv2D": _conv,
    "DepthwiseConv2D": _depthwise,
    "SeparableConv2D": _separable,
    "Conv2DTranspose": _transposed,
    "Dense": _dense,
    "ChannelSlice": _slice,
    "ChannelGather": _gather,
    "Reshape": _reshape,
}


def _names(model: Any) -> dict[int, str]:
    """A name for every layer by its id, no two alike: its own, in a nested model behind that of the model."""
    found: dict[int, str] = {}
    taken: set[str] = set()
    waiting = [(model, "")]
    for owner, prefix in waiting:
        for layer in owner.layers:
            name = prefix + layer.name
            if hasattr(layer, "_nodes_by_depth"):
                waiting.append((layer, f"{name}_"))
            elif id(layer) not in found:
                while name in taken:
                    name += "_inner"
                found[id(layer)] = name
                taken.add(name)
    return found
