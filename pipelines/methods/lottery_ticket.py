"""Lottery tickets: which few weights would have been enough, had one known them at the start. No channel is removed.

Source: Frankle and Carbin, arXiv:1803.03635, section 2 (iterative pruning with resetting) and 4 (controls); beginning a
round from weights that were trained for a few epochs: Frankle et al., arXiv:1912.05671, section 3 (late rewinding).
A round trains, drops a share of the surviving weights of every layer, the smallest by their trained magnitude, and puts
all that is left, norms and their statistics included, back to where it began. The optimiser begins anew with each
training and all of them see the images in the same order.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from pipelines.kernels import depthwise_layers, kernel_layers, overall_zeros
from pipelines.method import Context, Method, Outcome
from pipelines.settings import setting
from pipelines.training.settings import Fitting
from zoo.rules import RULES

Masks = dict[str, np.ndarray]  # layer -> which weights of its kernel are alive
NEAR = 0.01  # accuracies closer than this are called alike: one training on a small set varies by as much


class LotteryTicketSettings(Fitting):
    """How many rounds, what goes in each, where a round begins, and the controls."""

    epochs: int = setting(
        20, ge=1, le=10_000, unit="epochs", help="Epochs of every training: dense network, each round, each control"
    )
    keep: Literal["best", "last"] = setting(
        "last", help="last: weights are ranked as training left them, as in the paper; best: as they judged best"
    )
    rounds: int = setting(5, ge=1, le=30, unit="rounds", help="Trainings after the dense one, each with fewer weights")
    rate: float = setting(
        0.2, gt=0, lt=1, help="Share of a layer's surviving weights that goes in a round; of the classifier's, half"
    )
    rewind_epochs: int = setting(
        0, ge=0, le=1000, unit="epochs",
        help="Epochs before the weights to which rounds return; 0: the untrained ones. Deeper networks need a few",
    )  # fmt: skip
    control_reinit: bool = setting(True, help="Also trains each ticket from other random weights: are these special?")
    control_random: bool = setting(False, help="Also trains as many weights chosen by lot: is the choice special?")
    control_one_shot: bool = setting(False, help="Also drops everything in one round: is it worth the rounds?")
    control_rounds: bool = setting(False, help="Controls in every round; otherwise in the last one only")

    @property
    def all_epochs(self) -> int:
        """Epochs of all trainings together, for estimates."""
        controls = self.control_reinit + self.control_random + self.control_one_shot
        times = 1 + self.rounds + controls * (self.rounds if self.control_rounds else 1)
        return self.rewind_epochs + times * self.epochs


def apply(model: Any, settings: LotteryTicketSettings, context: Context) -> Outcome:
    """Gives the trained ticket of the last round, a network of `model`'s shapes with zeros; not its weights.

    Raises: ValueError for a model without a kernel, or with layers that learn which of their inputs to keep.
    """
    from pipelines.training.reports import fit_warnings
    from zoo.cloning import untrained
    from zoo.cut import laid_open

    model = laid_open(model)
    _check(model)
    context.looked_over()
    start = untrained(model, context.seed)
    if settings.rewind_epochs:
        _fitted(start, {}, settings, context, "ticket_rewind", epochs=settings.rewind_epochs)
    rates = {layer.name: settings.rate for layer in kernel_layers(start)}
    rates[list(rates)[-1]] = settings.rate / 2  # the paper's conv nets: the output layer at half the rate
    masks: Masks = {layer.name: np.ones(layer.kernel.shape, bool) for layer in kernel_layers(start)}
    dense = rewound(start, masks)
    fitted = _fitted(dense, masks, settings, context, "ticket_0")
    trained, curve = dense, [_point(0, masks, dense, context)]
    for number in range(1, settings.rounds + 1):
        masks = pruned(masks, _kernels(trained), rates)
        trained = rewound(start, masks)
        fitted = _fitted(trained, masks, settings, context, f"ticket_{number}")
        point = _point(number, masks, trained, context)
        if settings.control_rounds or number == settings.rounds:
            point |= _controls(number, start, dense, masks, settings, context)
        curve.append(point)
    report = {
        "fit": fitted.as_dict(),
        "began": f"the architecture with new weights drawn under seed {context.seed}"
        + (f", trained for {settings.rewind_epochs} epochs" if settings.rewind_epochs else ""),
        "curve": curve,
        "density": curve[-1]["density"],
        "sparsity_of_all_weights": overall_zeros(trained),
        "layers": {name: float(np.mean(~mask)) for name, mask in masks.items()},
        "left_dense": depthwise_layers(trained),
        "validation_top1_dense": curve[0]["ticket"],
        "validation_top1_after": curve[-1]["ticket"],
    }
    warnings = [*fit_warnings(fitted), *_verdict(curve)]
    warnings.append("no channel was removed: the file keeps its size and its time, only its compressed size shrinks")
    warnings.append("the weights of the step before were not used: a ticket begins from random ones")
    return Outcome(trained, report, tuple(warnings))


def pruned(masks: Masks, kernels: Masks, rates: dict[str, float]) -> Masks:
    """Masks that lost, in every layer, the share `rates` of what was alive: the smallest of `kernels` by magnitude."""
    return {
        name: largest(kernels[name], mask, max(1, int(mask.sum()) - round(rates[name] * int(mask.sum()))))
        for name, mask in masks.items()
    }


def largest(kernel: np.ndarray, mask: np.ndarray, count: int) -> np.ndarray:
    """The `count` largest magnitudes among what is alive; of equal ones the first stay, so the count is exact."""
    alive = np.flatnonzero(mask)
    order = alive[np.argsort(-np.abs(kernel.ravel()[alive]), kind="stable")]
    found = np.zeros(mask.size, bool)
    found[order[:count]] = True
    return found.reshape(mask.shape)


def rewound(start: Any, masks: Masks) -> Any:
    """A copy of `start` in which everything that `masks` drop is zero and the rest as it was, to the last bit."""
    from zoo.cloning import clone

    copy = clone(start)
    for name, mask in masks.items():
        kernel = copy.get_layer(name).kernel
        kernel.assign(np.where(mask, kernel.numpy(), np.float32(0)))
    return copy


def _check(model: Any) -> None:
    learning = [
        layer.name
        for layer in model.layers
        if type(layer).__name__ in RULES and RULES[type(layer).__name__].kind.startswith("learned")
    ]
    if learning:
        raise ValueError(
            f"layer {learning[0]} learns which inputs it keeps, which would meet the masks of a ticket; "
            "channel_norm and the other removals work on its deployed form"
        )
    if not kernel_layers(model):
        raise ValueError("there is nothing to draw tickets from: the model has no convolution and no dense layer")


def _kernels(model: Any) -> Masks:
    return {layer.name: layer.kernel.numpy() for layer in kernel_layers(model)}


def _fitted(
    model: Any, masks: Masks, settings: LotteryTicketSettings, context: Context, label: str, epochs: int | None = None
) -> Any:
    from pipelines.training.held import Zeros, hooks_of
    from pipelines.training.loop import fit

    own = {key: value for key, value in settings.model_dump().items() if key in Fitting.model_fields}
    plan = Fitting(**{**own, **({"epochs": epochs, "keep": "last", "patience": None} if epochs else {})})
    sparse = [(model.get_layer(name).kernel, mask) for name, mask in masks.items() if not mask.all()]
    hooks = hooks_of(Zeros(sparse)) if sparse else None
    return fit(model, context.data, plan, context.watch, seed=context.seed, hooks=hooks, label=label)


def _controls(
    number: int, start: Any, dense: Any, masks: Masks, settings: LotteryTicketSettings, context: Context
) -> dict[str, float]:
    """Validation accuracy of what a ticket is held against, all at its density."""
    from zoo.cloning import untrained

    def score(begin: Any, chosen: Masks, name: str) -> float:
        control = rewound(begin, chosen)
        _fitted(control, chosen, settings, context, f"ticket_{number}_{name}")
        return _top1(control, context)

    found = {}
    if settings.control_reinit:
        found["reinit"] = score(untrained(start, context.seed + 1), masks, "reinit")
    if settings.control_random:
        draw = np.random.default_rng([context.seed, number])
        lots = {name: largest(draw.random(m.shape), np.ones(m.shape, bool), int(m.sum())) for name, m in masks.items()}
        found["random"] = score(start, lots, "random")
    if settings.control_one_shot:
        kernels = _kernels(dense)
        once = {name: largest(kernels[name], np.ones(m.shape, bool), int(m.sum())) for name, m in masks.items()}
        found["one_shot"] = score(start, once, "one_shot")
    return found


def _top1(model: Any, context: Context) -> float:
    from pipelines.training.loop import scorer

    return float(scorer(model)(context.data.splits["validation"])[1])


def _point(number: int, masks: Masks, model: Any, context: Context) -> dict[str, Any]:
    alive = sum(int(mask.sum()) for mask in masks.values())
    return {
        "round": number,
        "density": alive / sum(mask.size for mask in masks.values()),
        "ticket": _top1(model, context),
    }


def _verdict(curve: list[dict[str, Any]]) -> list[str]:
    """What the last round shows, in words, when it is not what a ticket promises."""
    last, dense = curve[-1], curve[0]["ticket"]
    found = []
    if last["ticket"] < dense - NEAR:
        found.append(
            f"at density {last['density']:.2f} the ticket reaches {last['ticket']:.3f}, the dense network {dense:.3f}"
        )
    for name, words in (
        ("reinit", "from other random weights"), ("random", "with weights chosen by lot"), ("one_shot", "in one round")
    ):  # fmt: skip
        if name in last and last[name] >= last["ticket"] - NEAR:
            found.append(
                f"{words} the same density reaches {last[name]:.3f}, the ticket {last['ticket']:.3f}: "
                "this run does not show a winning ticket"
            )
    return found


METHOD = Method(
    name="lottery_ticket",
    kind="prune",
    title="Lottery tickets (zeros only)",
    source="Frankle and Carbin, arXiv:1803.03635; Frankle et al., arXiv:1912.05671",
    summary="Looks for the few weights that train as well from the start as all do; the file is no smaller.",
    removes_channels=False,
    settings=LotteryTicketSettings,
    apply=apply,
    rehearses=True,
)
