"""Several binary networks vote: each is trained on a draw of its own, and all of them become one model.

Source: Zhu et al., BENN, arXiv:1806.07550, section 4. Bagging draws as many images as there are, with replacement.
Boosting draws images that the members before got wrong more often; a member's voice is `RATE` times that of SAMME
(Zhu et al. 2009), which is positive as soon as a member beats guessing. With two classes it is the AdaBoost of the
paper; its form without the number of classes would give a member below one half a negative voice.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import log
from typing import Any, Literal

import numpy as np

from pipelines.binary.settings import BinarySettings
from pipelines.data import Dataset
from pipelines.method import Context, Method, Outcome
from pipelines.settings import setting
from zoo.plans import Call, Plan

RATE = 0.1  # of boosting, as in the authors' code: images' weights move slowly, so that no draw is of a few alone


class BinaryEnsembleSettings(BinarySettings):
    """How many members, what each of them learns from, and where it begins."""

    members: int = setting(5, ge=2, le=32, unit="networks", help="Binary networks that vote; all of them have to run")
    draw: Literal["bagging", "boosting"] = setting(
        "bagging",
        help="bagging: each learns from images drawn anew with replacement; boosting: from the hard ones more",
    )
    start: Literal["given", "previous", "fresh"] = setting(
        "given",
        help="given: every member begins with the weights of the model; previous: with those of the member before; "
        "fresh: with random ones",
    )
    inputs: Literal["signs", "floats"] = setting(
        "signs", help="signs: binary weights and activations; floats: binary weights alone"
    )

    @property
    def all_epochs(self) -> int:
        """Epochs of all members together."""
        return self.members * self.epochs


@dataclass(frozen=True)
class Member:
    """One network, its voice, and its accuracy on the validation images."""

    model: Any
    voice: float
    top1: float


def apply(model: Any, settings: BinaryEnsembleSettings, context: Context) -> Outcome:
    """Gives one model that adds up what all members answer.

    Raises: ValueError as `pipelines.binary.train.planned`, and when the model does not end in a dense layer.
    """
    from pipelines.binary.train import planned, train_binary
    from pipelines.training.loop import predictor, scorer
    from zoo.cloning import untrained

    signs = settings.inputs == "signs"
    plan = planned(model, settings, signs=signs).plan
    if len(plan.outputs) != 1 or plan.calls[plan.outputs[0]].kind != "Dense":
        raise ValueError("the members' answers are weighed in their last layer, which must be a dense one")
    if settings.ends == "binary":
        raise ValueError("ends = binary: the voices of the members are put into the last layer, which must stay float")
    train, validation = context.data.splits["train"], context.data.splits["validation"]
    classes, count = len(context.data.classes), len(train.labels)
    shares = np.full(count, 1 / count)
    members: list[Member] = []
    reports, start = [], model
    for number in range(settings.members):
        seed = context.seed + number
        if settings.start == "fresh":
            start = untrained(model, seed)
        picked = np.sort(np.random.default_rng([context.seed, number]).choice(count, count, p=shares))
        context.watch.log(f"member {number + 1} of {settings.members}: {len(np.unique(picked)):,} different images")
        trained = train_binary(
            start, settings, replace(context, seed=seed, data=_drawn(context.data, picked)), signs=signs,
            label=f"member{number + 1}",
        )  # fmt: skip
        voice = 1.0
        if settings.draw == "boosting":
            wrong = predictor(trained.model)(train.images).argmax(1) != train.labels
            voice = voice_of(float(shares[wrong].sum()), classes, count)
            shares = shares * np.exp(voice * wrong)
            shares /= shares.sum()
        members.append(Member(trained.model, voice, scorer(trained.model)(validation)[1]))
        reports.append(trained)
        start = trained.model if settings.start == "previous" else model
    whole = voting([one.model for one in members], [one.voice for one in members])
    best = max(one.top1 for one in members)
    report = {
        "members": [
            {"validation_top1": one.top1, "voice": one.voice, "fit": part.report["fit"]}
            for one, part in zip(members, reports, strict=True)
        ],
        "validation_top1_before": scorer(model)(validation)[1],
        "validation_top1_best_member": best,
        "validation_top1_after": scorer(whole)(validation)[1],
        "params_before": int(model.count_params()),
        "params_after": int(whole.count_params()),
        **{key: sum(part.report[key] for part in reports) for key in ("bytes_float32", "bytes_packed", "xnor_words")},
    }
    warnings = list(reports[0].warnings)
    mute = sum(one.voice <= 0 for one in members)
    if mute:
        warnings.append(f"{mute} members are no better than guessing and have no voice")
    if report["validation_top1_after"] <= best:
        warnings.append(
            f"together the members reach {report['validation_top1_after']:.4f} on validation, the best of them alone "
            f"{best:.4f}: nothing was gained by voting"
        )
    return Outcome(whole, report, tuple(warnings))


def voice_of(error: float, classes: int, images: int) -> float:
    """The voice of a member that got images of the share `error` wrong, never negative."""
    error = min(max(error, 1 / (2 * images)), 1 - 1 / (2 * images))
    return max(RATE * (log((1 - error) / error) + log(max(classes - 1, 1))), 0.0)


def voting(models: list[Any], voices: list[float]) -> Any:
    """One model: the answers of all, each times its share of the voices, added up.

    Raises: ValueError when nobody has a voice.
    """
    total = sum(voices)
    if not total > 0:
        raise ValueError("no member is better than guessing; more epochs or another learning rate may help")
    whole: Plan | None = None
    ends = []
    for number, (model, voice) in enumerate(zip(models, voices, strict=True), start=1):
        plan = Plan.of(model)
        assert plan is not None  # made by `train_binary`
        whole = whole or Plan(plan.name, plan.inputs, ())
        images = {mine["name"]: common["name"] for mine, common in zip(plan.inputs, whole.inputs, strict=True)}
        names = {name: f"member{number}_{name}" for name in plan.calls} | images
        for call in plan.calls.values():
            weights = call.weights
            if call.name == plan.outputs[0]:
                weights = tuple(value * np.float32(voice / total) for value in weights)
            name, inputs = names[call.name], tuple(names[source] for source in call.inputs)
            whole.calls[name] = replace(
                call, name=name, inputs=inputs, weights=weights, config={**call.config, "name": name}
            )
        ends.append(names[plan.outputs[0]])
    assert whole is not None
    classes = whole.calls[ends[0]].channels
    whole.calls["votes"] = Call("votes", "Add", {"name": "votes"}, tuple(ends), classes, merges=True)
    whole.outputs = ("votes",)
    return whole.build()


def _drawn(data: Dataset, picked: np.ndarray) -> Dataset:
    """The data set with these training images, some of them several times."""
    train = data.splits["train"]
    ids = tuple(train.ids[place] for place in picked)
    drawn = replace(train, images=train.images[picked], labels=train.labels[picked], ids=ids)
    return replace(data, splits={**data.splits, "train": drawn})


METHOD = Method(
    name="binary_ensemble",
    kind="quantise",
    title="Binary networks that vote (BENN)",
    source="Zhu et al., arXiv:1806.07550",
    summary="Trains several binary networks by bagging or boosting and adds up their answers in one model.",
    removes_channels=False,
    settings=BinaryEnsembleSettings,
    apply=apply,
    rehearses=True,
    measured="five members on Fashion-MNIST, three seeds: 1.3 points [0.3, 2.4] better than the best of them, but "
    "0.6 points below a single binary network that was trained twice as long.",
)
