"""RePr: filters that overlap are left out for a while and come back as something new. A way to train, not to shrink.

Source: Prakash et al., arXiv:1811.07275, algorithm 1: train all, drop the filters that overlap most over the whole
network, train the rest, bring the dropped ones back orthogonal to what they were and to those that stayed; repeat, and
end with training all. The first convolution is not ranked.
Here every phase is a training of its own, with its own warm-up and cosine, and only the last one picks its best epoch:
accuracy falls at every drop and every return, and what a phase judged best says nothing about the end.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pipelines.method import Context, Method, Outcome
from pipelines.overlap import most_overlapping, orthogonal_rows, overlap
from pipelines.settings import setting
from pipelines.training.settings import Fitting
from zoo.channel_graph import ChannelGraph

SILENT = ({"BatchNormalization"}, {"ReLU"})  # what may read a convolution so that zeros in it give zeros behind
Places = dict[str, np.ndarray]  # layer -> places of filters


class ReprSettings(Fitting):
    """How often filters are dropped and brought back, and the training after it."""

    epochs: int = setting(20, ge=1, le=10_000, unit="epochs", help="Epochs of the last phase, after all cycles")
    cycles: int = setting(3, ge=1, le=20, unit="cycles", help="Times that filters are dropped and brought back")
    full_epochs: int = setting(
        6, ge=1, le=1000, unit="epochs", help="Epochs with all filters in a cycle; the paper's 20 are for 160 and more"
    )
    part_epochs: int = setting(
        3, ge=1, le=1000, unit="epochs", help="Epochs without the dropped filters; about half of those with all"
    )
    drop: float = setting(0.3, gt=0, lt=1, help="Share of all ranked filters that is dropped in a cycle")
    most: float = setting(0.5, gt=0, lt=1, help="Largest share of one layer that is dropped, so that none falls silent")

    @property
    def all_epochs(self) -> int:
        """Epochs of all phases together, for estimates."""
        return self.cycles * (self.full_epochs + self.part_epochs) + self.epochs


def apply(model: Any, settings: ReprSettings, context: Context) -> Outcome:
    """Gives a trained copy of `model`, every layer of its full size.

    Raises: ValueError when too few filters can be ranked for one to be dropped.
    """
    from pipelines.training.held import Zeros, hooks_of
    from pipelines.training.loop import Hooks, fit
    from pipelines.training.reports import fit_warnings
    from zoo.cloning import clone, untrained
    from zoo.cut import laid_open

    model = laid_open(model)
    student = clone(model)
    graph = ChannelGraph.of(student)
    names = _ranked(graph)
    filters = sum(graph.sites[name].layer.filters for name in names)
    if not most_overlapping({name: np.zeros(graph.sites[name].layer.filters) for name in names},
                            settings.drop, settings.most):  # fmt: skip
        raise ValueError(
            f"drop = {settings.drop} of {filters} filters is less than one that may go; it takes convolutions behind "
            "the first one with a norm or ReLU directly behind, a larger drop or a larger most"
        )
    context.looked_over()
    fresh = untrained(model, context.seed)

    def train(label: str, epochs: int, hooks: Hooks | None = None) -> None:
        own = {key: value for key, value in settings.model_dump().items() if key in Fitting.model_fields}
        phase = Fitting(**{**own, "epochs": epochs, "keep": "last", "patience": None})
        fit(student, context.data, phase, context.watch, seed=context.seed, hooks=hooks, label=label)

    rows: list[dict[str, Any]] = []
    for cycle in range(1, settings.cycles + 1):
        train(f"repr_{cycle}_full", settings.full_epochs)
        scores = {name: overlap(_rows(graph, name)) for name in names}
        gone = most_overlapping(scores, settings.drop, settings.most)
        before = {name: _rows(graph, name)[places] for name, places in gone.items()}
        silent = Zeros(_silent(graph, gone))
        silent.hold()
        train(f"repr_{cycle}_part", settings.part_epochs, hooks_of(silent))
        draw = np.random.default_rng([context.seed, cycle])
        for name in gone:  # before any filter comes back: readers may be among those that do
            _read_anew(graph, fresh, name, gone[name])
        orthogonal = sum(_bring_back(graph, fresh, name, gone[name], before[name], draw) for name in gone)
        rows.append(
            {
                "cycle": cycle,
                "overlap": float(np.mean(np.concatenate(list(scores.values())))),
                "dropped": sum(len(places) for places in gone.values()),
                "orthogonal": orthogonal,
                "layers": {name: len(places) for name, places in gone.items()},
            }
        )
    fitted = fit(student, context.data, settings, context.watch, seed=context.seed, label="repr_final")
    after = float(np.mean(np.concatenate([overlap(_rows(graph, name)) for name in names])))
    report = {
        "fit": fitted.as_dict(),
        "cycles": rows,
        "ranked_filters": filters,
        "overlap_after": after,
        "epochs_in_all": settings.all_epochs,
    }
    warnings = [*fit_warnings(fitted)]
    lots = sum(row["dropped"] - row["orthogonal"] for row in rows)
    if lots:
        warnings.append(
            f"{lots} of {sum(row['dropped'] for row in rows)} filters came back at random: those of their layer "
            "already spanned every direction"
        )
    warnings.append(
        f"a way to train: the network is as large as before; hold it against train with {settings.all_epochs} epochs, "
        "gains seen by others were small"
    )
    return Outcome(student, report, tuple(warnings))


def _ranked(graph: ChannelGraph) -> list[str]:
    """Convolutions but the first, with a norm or a ReLU directly behind, so that a filter of zeros gives nothing."""
    convolutions = [site for site in graph.makers if site.kind == "Conv2D" and site.word == "fresh"]
    return [
        site.name
        for site in convolutions[1:]
        if site.layer.trainable and {one.kind for one in _readers(graph, site.name)} in SILENT
    ]


def _readers(graph: ChannelGraph, name: str) -> list[Any]:
    made = graph.sites[name].node.outputs
    return [site for site in graph.sites.values() if any(tensor is made for tensor in site.node.keras_inputs)]


def _rows(graph: ChannelGraph, name: str) -> np.ndarray:
    kernel = graph.sites[name].layer.kernel.numpy()
    rows: np.ndarray = kernel.reshape(-1, kernel.shape[-1]).T.astype(np.float64)
    return rows


def _beside(graph: ChannelGraph, name: str) -> list[tuple[Any, float]]:
    """What goes with a filter, and what a new one begins with: bias, and scale, offset, mean and variance of a norm."""
    layer = graph.sites[name].layer
    found = [(layer.bias, 0.0)] if layer.use_bias else []
    for site in _readers(graph, name):
        if site.kind == "BatchNormalization":
            norm = site.layer
            found += [(norm.gamma, 1.0)] if norm.scale else []
            found += [(norm.beta, 0.0)] if norm.center else []
            found += [(norm.moving_mean, 0.0), (norm.moving_variance, 1.0)]
    return found


def _silent(graph: ChannelGraph, gone: Places) -> list[tuple[Any, np.ndarray]]:
    """The variables that a dropped filter leaves at zero, with masks over their last axis."""
    found = []
    for name, places in gone.items():
        layer = graph.sites[name].layer
        mask = np.ones(layer.filters, np.float32)
        mask[places] = 0
        found.append((layer.kernel, mask))
        found += [(variable, mask) for variable, _ in _beside(graph, name) if variable.trainable]
    return found


def _bring_back(
    graph: ChannelGraph, fresh: Any, name: str, places: np.ndarray, before: np.ndarray, draw: np.random.Generator
) -> int:
    """Gives the dropped filters of a layer new weights; gives how many of them are orthogonal."""
    site = graph.sites[name]
    rows = _rows(graph, name)
    stayed = np.delete(rows, places, axis=0)
    deviation = float(np.std(fresh.get_layer(site.layer.name).kernel.numpy()))
    rows[places], orthogonal = orthogonal_rows(before, stayed, deviation, draw)
    site.layer.kernel.assign(rows.T.reshape(site.layer.kernel.shape).astype(np.float32))
    for variable, value in _beside(graph, name):
        values = variable.numpy()
        values[places] = value
        variable.assign(values)
    return orthogonal


def _read_anew(graph: ChannelGraph, fresh: Any, name: str, places: np.ndarray) -> None:
    """Gives who reads the dropped filters of a layer untrained weights for them.

    Not where maps are added: the weights of a reader behind serve all that went into the sum.
    """
    made_by = graph.made_by()
    atoms = [a for a in graph.sites[name].writes[places] if made_by.get(int(graph.units[a]), ()) == (name,)]
    for reader in graph.sites.values():
        known = reader.word in ("fresh", "repeat") and reader.kind in ("Conv2D", "Dense", "DepthwiseConv2D")
        news = np.isin(reader.reads[0], atoms) if known and reader.layer.trainable else np.zeros(1, bool)
        if news.any():
            weights, untrained = reader.layer.get_weights(), fresh.get_layer(reader.layer.name).get_weights()
            axis = 0 if reader.kind == "Dense" else 2
            shaped = news.reshape([-1 if place == axis else 1 for place in range(weights[0].ndim)])
            reader.layer.set_weights([np.where(shaped, untrained[0], weights[0]), *weights[1:]])


METHOD = Method(
    name="repr",
    kind="train",
    title="RePr (drop and relearn filters)",
    source="Prakash et al., arXiv:1811.07275",
    summary="A way to train: overlapping filters are dropped for a while and relearnt; same size, small gains.",
    removes_channels=False,
    settings=ReprSettings,
    apply=apply,
    rehearses=True,
)
