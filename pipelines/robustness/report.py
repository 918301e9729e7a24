"""The robustness of models and of the files made from them, under attacks of growing size, and whether to believe it.

A model whose gradients say little (rounding hides them) looks robust without being so. Checks tell: many steps are
at least as strong as one, larger steps are at least as strong as smaller ones, pixels that may become anything leave
nothing right, more steps find hardly more, and images made on another model hurt no more than its own.
Source: Athalye et al., arXiv:1802.00420, section 3.1; Carlini et al., arXiv:1902.06705.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pydantic

from pipelines.robustness.attacks import WHITE, Attacker
from pipelines.settings import Settings, setting
from pipelines.telling import Progress, silent

SLACK = 0.02  # what chance may do to an accuracy on some hundred images
MANY = 4  # times the steps, to see whether the attack had come to its end


class RobustnessSettings(Settings):
    """How strong the attacks are, and on how many test images they are tried."""

    epsilons: tuple[int, ...] = setting(
        (2, 4, 8, 16), unit="of 255", help="How far each pixel may move, in steps of 1/255; 8 is usual for photos"
    )
    steps: int = setting(20, ge=2, le=1000, unit="steps", help="Gradient steps of pgd")
    restarts: int = setting(2, ge=1, le=50, help="Random starts of pgd; the worst counts")
    images: int = setting(500, ge=1, le=1_000_000, unit="images", help="Test images at most; all, if there are fewer")

    @pydantic.field_validator("epsilons")
    @classmethod
    def _whole_steps(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        wrong = [one for one in value if not 1 <= one < WHITE]
        if wrong or not value:
            raise ValueError(f"epsilons {list(value)}: give whole steps of 1/255 from 1 to {WHITE - 1}, such as 2 4 8")
        return tuple(sorted(set(value)))


@dataclass(frozen=True)
class Victim:
    """One that answers: `model` for the gradients, `answers` (uint8 images -> classes) by what is made from it.

    The model itself is among `answers` under the name `model`.
    """

    name: str
    model: Any
    answers: dict[str, Callable[[np.ndarray], np.ndarray]]


def robustness(
    victims: Sequence[Victim], images: np.ndarray, labels: np.ndarray, settings: RobustnessSettings,
    *, seed: int = 0, progress: Progress = silent,
) -> dict[str, Any]:  # fmt: skip
    """Gives rows (who, attacked on whose gradients, how, how far, top-1 with interval), differences to the first victim
    and the checks of each victim, as plain values. Images are uint8 `(n, height, width, channels)`.
    """
    from exports import wilson

    rows: list[dict[str, Any]] = []
    right: dict[tuple[str, str, str, str, int], np.ndarray] = {}
    walk = settings.steps * settings.restarts
    total = len(victims) * (len(settings.epsilons) * (1 + walk) + (1 + MANY) * walk)  # gradients of all images
    done = 0

    def judge(attacked: np.ndarray, on: str, attack: str, epsilon: int) -> None:
        for victim in victims:
            for what, answer in victim.answers.items():
                hits = answer(attacked) == labels
                right[victim.name, what, on, attack, epsilon] = hits
                low, high = wilson(int(hits.sum()), len(hits))
                rows.append({
                    "name": victim.name, "what": what, "made_on": on, "attack": attack, "epsilon": epsilon,
                    "n": len(hits), "top1": float(hits.mean()), "low": low, "high": high,
                })  # fmt: skip

    def say(text: str, gradients: int) -> None:
        nonlocal done
        progress(done, total, text)
        done += gradients

    judge(images, "-", "none", 0)
    largest = settings.epsilons[-1]
    checks: dict[str, list[dict[str, Any]]] = {}
    for victim in victims:
        attacker, strength = Attacker(victim.model), {"steps": settings.steps, "restarts": settings.restarts}
        for epsilon in settings.epsilons:
            say(f"{victim.name}: fgsm, {epsilon} of 255", 1)
            judge(attacker.fgsm(images, labels, epsilon), victim.name, "fgsm", epsilon)
            say(f"{victim.name}: pgd, {epsilon} of 255", walk)
            judge(attacker.pgd(images, labels, epsilon, **strength, seed=seed), victim.name, "pgd", epsilon)
        say(f"{victim.name}: pgd, anything goes", walk)
        judge(attacker.pgd(images, labels, WHITE, **strength, seed=seed), victim.name, "pgd", WHITE)
        say(f"{victim.name}: pgd with {MANY} times the steps", MANY * walk)
        longer = attacker.pgd(
            images, labels, largest, steps=MANY * settings.steps, restarts=settings.restarts, seed=seed
        )
        judge(longer, victim.name, "pgd_long", largest)

    def top1(name: str, on: str, attack: str, epsilon: int, what: str = "model") -> float:
        return float(right[name, what, on, attack, epsilon].mean())

    for victim in victims:
        name = victim.name
        own = [top1(name, "-", "none", 0), *(top1(name, name, "pgd", epsilon) for epsilon in settings.epsilons)]
        worse = max(top1(name, name, "pgd", one) - top1(name, name, "fgsm", one) for one in settings.epsilons)
        rises = max(later - earlier for earlier, later in pairwise(own))
        anything = top1(name, name, "pgd", WHITE)
        gained = top1(name, name, "pgd", largest) - top1(name, name, "pgd_long", largest)
        checks[name] = [
            _check("many steps are as strong as one", worse <= SLACK, f"{worse:+.3f} at most"),
            _check("accuracy falls as epsilon grows", rises <= SLACK, f"{rises:+.3f} at most"),
            _check("nothing is right when pixels may become anything", anything <= SLACK, f"{anything:.3f} right"),
            _check(f"{MANY} times the steps find hardly more", gained <= SLACK, f"{gained:+.3f}: take more steps"),
        ]
        for other in victims:
            if other is not victim:
                more = max(
                    top1(name, name, "pgd", one) - top1(name, other.name, "pgd", one) for one in settings.epsilons
                )
                said = f"{more:+.3f} at most"
                checks[name].append(
                    _check(f"images made on {other.name} hurt no more than its own", more <= SLACK, said)
                )
    return {
        "images": len(labels),
        "settings": settings.model_dump(mode="json"),
        "seed": seed,
        "rows": rows,
        "differences": _differences(victims, right, settings),
        "checks": checks,
        "believable": {name: all(one["holds"] for one in found) for name, found in checks.items()},
    }


def _check(what: str, holds: bool, evidence: str) -> dict[str, Any]:
    return {"check": what, "holds": bool(holds), "evidence": evidence}


def failures(checks: Sequence[Mapping[str, Any]]) -> list[str]:
    """A clause for every check that does not hold."""
    return [f"it is not so that {one['check']} ({one['evidence']})" for one in checks if not one["holds"]]


def _differences(
    victims: Sequence[Victim], right: dict[tuple[str, str, str, str, int], np.ndarray], settings: RobustnessSettings
) -> list[dict[str, Any]]:
    """Every other victim against the first, each attacked on its own gradients, on the same images."""
    from exports import paired_difference

    found = []
    first = victims[0]
    for victim in victims[1:]:
        for what in victim.answers:
            if what not in first.answers:
                continue
            for attack, epsilon in [("none", 0), *(("pgd", one) for one in settings.epsilons)]:
                a, b = (
                    right[one.name, what, one.name if epsilon else "-", attack, epsilon] for one in (first, victim)
                )
                difference, low, high = paired_difference(a, b)
                found.append({
                    "name": victim.name, "against": first.name, "what": what, "attack": attack, "epsilon": epsilon,
                    "difference": difference, "low": low, "high": high,
                })  # fmt: skip
    return found
