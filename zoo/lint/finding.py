"""What a rule found, and what a rule is."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from zoo.lint.thresholds import Thresholds
from zoo.lint.traffic import Traffic


@dataclass(frozen=True)
class Finding:
    """One thing to look at: its rule, the layer it is about, the evidence in words.

    `parts` are the bytes it would save, by operation, so that two findings about one operation are not added up.
    """

    rule: str
    layer: str
    stage: str
    evidence: str
    parts: tuple[tuple[str, int], ...] = ()

    @property
    def saving_bytes(self) -> int:
        """All bytes it would save."""
        return sum(amount for _, amount in self.parts)

    def as_row(self, traffic: Traffic) -> dict[str, Any]:
        """The finding as plain values, with its saving as a share of all bytes moved."""
        return {
            "rule": self.rule,
            "layer": self.layer,
            "stage": self.stage,
            "evidence": self.evidence,
            "saving": traffic.share(self.saving_bytes),
            "saving_bytes": self.saving_bytes,
            "saving_share": traffic.share(self.saving_bytes),
        }


@dataclass(frozen=True)
class Rule:
    """A rule: what it asks, which bytes count as saveable, and the function that looks."""

    name: str
    title: str
    saves: str
    look: Callable[[Traffic, Thresholds], Iterable[Finding]]


def saveable(findings: Iterable[Finding], traffic: Traffic) -> int:
    """Bytes that all findings together would save: per operation the largest claim, never more than it moves."""
    most: dict[str, int] = {}
    for finding in findings:
        own: dict[str, int] = {}
        for name, amount in finding.parts:
            own[name] = own.get(name, 0) + amount
        for name, amount in own.items():
            most[name] = max(most.get(name, 0), min(amount, traffic.bytes_of(traffic.sketch[name])))
    return sum(most.values())


def megabytes(amount: float) -> str:
    """An amount of bytes in words: 1.2 MB, 34 kB."""
    if amount >= 1e6:
        return f"{amount / 1e6:,.1f} MB"
    return f"{amount / 1e3:,.1f} kB" if amount >= 1e3 else f"{amount:,.0f} B"


def area(shape: tuple[int, ...]) -> str:
    """The size of a map in words: 56x56."""
    return "x".join(map(str, shape[:2])) if len(shape) == 3 else "1x1"
