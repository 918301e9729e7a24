"""Filters of a binary network go where a learned switch turned off, layer by layer from the image on.

Source: Xu et al., Main/Subsidiary, arXiv:1812.04210, sections 3.2 and 3.3. All weights of a binary filter have one
magnitude, so a norm cannot rank filters; switches can. In each layer the network itself (main) is frozen while the
switches (subsidiary) learn, those that are off are cut, and the network learns again before the next layer. What the
paper leaves open is chosen here: a switch is on where its logit is above 0, its gradient goes straight to the logit,
and the penalty is on the mean sigmoid of the logits.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import zoo
from pipelines.binary.settings import BinarySettings
from pipelines.method import Context, Method, Outcome
from pipelines.settings import setting
from pipelines.training.settings import Fitting
from zoo.channel_graph import ChannelGraph
from zoo.plans import Plan

PACKED = ("bytes_float32", "bytes_packed", "xnor_words")  # of the report on training; that after the last cut counts
START = 0.1  # of the logits: on, and near enough to turn off within an epoch


class MainSubsidiarySettings(BinarySettings):
    """How the switches learn, and the network between them."""

    epochs: int = setting(2, ge=1, le=10_000, unit="epochs", help="Epochs of the network after the switches of a layer")
    mask_epochs: int = setting(1, ge=1, le=1000, unit="epochs", help="Epochs of the switches of each layer")
    mask_rate: float = setting(0.01, gt=0, le=10, help="Peak learning rate of the switches")
    penalty: float = setting(
        1.0, ge=0, le=100, help="What all switches of a layer cost while they are on, in units of the loss; more: fewer"
    )
    least: int = setting(4, ge=1, le=4096, unit="channels", help="Channels that every layer keeps")


def apply(model: Any, settings: MainSubsidiarySettings, context: Context) -> Outcome:
    """Gives a smaller binary model.

    Raises: ValueError when the model is not binary, or has no binary layer whose channels could go.
    """
    from pipelines.binary.places import places
    from pipelines.binary.train import train_binary
    from pipelines.training.loop import scorer
    from zoo.cloning import clone
    from zoo.cut import cut

    plan = Plan.of(model)
    binary = [] if plan is None else [name for name in places(plan, "binary") if is_binary(plan, name)]
    if plan is None or not binary:
        raise ValueError(
            "the model has no layer with binary weights; make it binary first, with quantise and method binary or "
            "binary_connect"
        )
    context.looked_over()
    ends = "binary" if places(plan, "binary")[-1] in binary else "float"
    settings = settings.model_copy(update={"ends": ends})
    signs = any(call.kind == "Sign" for call in plan.calls.values())
    validation = context.data.splits["validation"]
    before = zoo.cost_of(zoo.sketch_of(model))
    report: dict[str, Any] = {"layers": [], "validation_top1_before": scorer(model)(validation)[1]}
    warnings: tuple[str, ...] = ()
    packed: dict[str, Any] = {}
    current = model
    for number, name in enumerate(binary, start=1):
        graph = ChannelGraph.of(current)
        units = np.intersect1d(graph.outputs_of(name), graph.free)
        # A unit that another layer makes as well (before an addition) waits until the last of them.
        later = {unit for other in binary[number:] for unit in graph.outputs_of(other).tolist()}
        units = np.array([unit for unit in units.tolist() if unit not in later], int)
        if len(units) <= settings.least:
            continue
        context.watch.log(f"switches of {name}, layer {number} of {len(binary)}")
        logits = _switched(current, graph, units, settings, context, number)
        gone = _off(units, logits, settings.least)
        report["layers"].append({"layers": [name], "channels": len(units), "kept": len(units) - len(gone)})
        if len(gone):
            trained = train_binary(cut(graph, gone), settings, context, signs=signs, label=f"main{number}")
            current, warnings = trained.model, trained.warnings
            packed = {key: trained.report[key] for key in PACKED}
    after = zoo.cost_of(zoo.sketch_of(current))
    if not report["layers"]:
        raise ValueError(f"no binary layer has more than {settings.least} channels that may go; least: 1 allows more")
    report |= {
        "params_before": before.params,
        "params_after": after.params,
        "macs_before": before.macs,
        "macs_after": after.macs,
        "filters_kept": sum(row["kept"] for row in report["layers"]) / sum(row["channels"] for row in report["layers"]),
        "validation_top1_after": scorer(current)(validation)[1],
        **packed,
    }
    if after.params == before.params:
        current = clone(model)
        warnings = ("no switch turned off, so nothing was removed; a larger penalty or more mask_epochs would",)
    return Outcome(current, report, warnings)


def is_binary(plan: Plan, name: str) -> bool:
    """Whether all weights of every filter have one magnitude."""
    size = np.abs(plan.calls[name].weights[0]).reshape(-1, plan.calls[name].weights[0].shape[-1])
    return len(size) > 1 and bool((size == size[:1]).all())


def _switched(
    model: Any, graph: ChannelGraph, units: np.ndarray, settings: MainSubsidiarySettings, context: Context, number: int
) -> np.ndarray:
    """The logits of a switch on every unit after their training; the network itself stays as it is."""
    from pipelines.training.loop import cross_entropy, fit
    from zoo.cut import reading
    from zoo.keras import tf
    from zoo.keras_gates import Switches, SwitchGate

    switches = Switches(len(units), START, name="switches")
    place = {int(unit): at for at, unit in enumerate(units)}

    def read(site: Any, which: int, tensor: Any) -> Any:
        index = np.array([place.get(int(unit), len(units)) for unit in graph.units[site.reads[which]]])
        return tensor if not site.makes or (index == len(units)).all() else SwitchGate(switches, index)(tensor)

    student = reading(graph, read)
    for layer in student.layers:
        layer.trainable = isinstance(layer, SwitchGate)
    own = {key: value for key, value in settings.model_dump().items() if key in Fitting.model_fields}
    plan = Fitting(**{**own, "epochs": settings.mask_epochs, "learning_rate": settings.mask_rate, "keep": "last",
                      "patience": None})  # fmt: skip
    told = cross_entropy(context.data, plan)

    def objective(images: Any, labels: Any, logits: Any) -> Any:
        return told(images, labels, logits) + settings.penalty * tf.reduce_mean(tf.sigmoid(switches.logits))

    fit(student, context.data, plan, context.watch, seed=context.seed, objective=objective, label=f"mask{number}")
    return np.asarray(switches.logits.numpy())


def _off(units: np.ndarray, logits: np.ndarray, least: int) -> np.ndarray:
    """The units whose switch is off, without the best of them where fewer than `least` would stay."""
    order = np.argsort(logits, kind="stable")
    return units[order[: min(int((logits <= 0).sum()), len(units) - least)]]


METHOD = Method(
    name="main_subsidiary",
    kind="prune",
    title="Filters of a binary network by learned switches",
    source="Xu et al., arXiv:1812.04210",
    summary="Learns a switch per filter of a binary network, layer by layer, and removes the filters that are off.",
    removes_channels=True,
    settings=MainSubsidiarySettings,
    apply=apply,
    rehearses=True,
    measured="binary ResNet-20 at 16 px on Fashion-MNIST, three seeds: 59 % of the filters removed, 85.8 to 80.5 %; "
    "a step of binary behind it, 12 epochs, brings 84.4 % (one seed).",
)
