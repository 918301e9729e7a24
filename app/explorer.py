"""What the Explore page asks of the zoo: the grid through filters, and the largest design within limits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from app import words
from zoo.designs import Design
from zoo.fitting import Fit, largest
from zoo.grid import grid, keep
from zoo.limits import Limits


class LimitField(NamedTuple):
    """How a limit is asked for: a number of `unit`, which is `factor` plain ones; `flag` is its name for a shell."""

    label: str
    unit: str
    factor: int
    step: float
    flag: str
    tip: str


LIMITS = {
    "macs": LimitField("Multiply-adds", "M", 10**6, 1.0, "--macs", "Millions, for one image"),
    "predicted_int8_bytes": LimitField(
        "int8 file", "kB", 1000, 10.0, "--kb", "1 kB = 1,000 bytes. Predicted from the layers, within a few per cent"
    ),
    "int8_peak_activation_bytes": LimitField(
        "Activations", "kB", 1000, 10.0, "--activation-kb",
        "1 kB = 1,000 bytes. The most that is alive at once in int8; weights and the runtime itself come on top",
    ),
}  # fmt: skip


def limits_of(numbers: dict[str, float | None]) -> Limits:
    """Limits from what stands in the number fields; empty and 0 are no limit."""
    return Limits(**{name: int(number * LIMITS[name].factor) or 1 for name, number in numbers.items() if number})


def limit_words(limits: Limits) -> list[str]:
    """The same limits as flags of a command."""
    found: list[str] = []
    for name, value in limits.named.items():
        field = LIMITS[name]
        found += [field.flag, f"{value / field.factor:.12g}" + ("M" if field.unit == "M" else "")]
    return found


def said_limits(limits: Limits) -> str:
    """The same limits in words."""
    return ", ".join(f"{words.cost(name, value)} {LIMITS[name].label.lower()}" for name, value in limits.named.items())


@dataclass(frozen=True)
class Filters:
    """Which designs of the grid a person wants to see. Empty tuples and texts leave all in."""

    families: tuple[str, ...] = ()
    limits: Limits = field(default_factory=Limits)
    resolutions: tuple[int, ...] = ()
    classes: int = 1000
    usual_only: bool = False
    plain_only: bool = False
    extensions: bool = False
    words: str = ""

    def whole(self) -> tuple[Design, ...]:
        """Every design of the zoo at these classes; the first call counts them, later ones find them kept."""
        return grid(classes=self.classes, extensions=self.extensions)

    def kept(self) -> list[Design]:
        """The designs that are left."""
        wanted = self.words.lower().split()
        found = keep(
            (one for one in self.whole() if not self.families or one.name in self.families),
            self.limits, resolutions=self.resolutions, usual_only=self.usual_only, plain_only=self.plain_only,
        )  # fmt: skip
        return [one for one in found if all(word in f"{one.label} {one.name}".lower() for word in wanted)]

    def least(self) -> str:
        """What the designs need at least that only the limits keep out; empty when no limit is to blame."""
        free = replace(self, limits=Limits()).kept()
        if not free or not self.limits.named:
            return ""
        least = {name: min(getattr(one, name) for one in free) for name in self.limits.named}
        needs = ", ".join(f"{words.cost(name, value)} {LIMITS[name].label.lower()}" for name, value in least.items())
        return f"Without the limits there are {len(free)}; each by itself, the least they need is {needs}."

    def command(self) -> list[Any]:
        """The words of the command that lists the same designs (searched words apart)."""
        flags = [
            flag
            for flag, wanted in (
                ("--usual", self.usual_only),
                ("--plain", self.plain_only),
                ("--extensions", self.extensions),
            )
            if wanted
        ]
        sides = ["--resolutions", ",".join(map(str, self.resolutions))] if self.resolutions else []
        classes = ["--classes", self.classes] if self.classes != 1000 else []
        return ["zoo", *self.families, "--grid", *limit_words(self.limits), *sides, *classes, *flags]


def table_of(designs: Sequence[Design]) -> list[dict[str, Any]]:
    """One row per design, numbers as numbers so that a column sorts."""
    return [
        {
            "design": one.label,
            **({} if one.latency_ms is None else {"latency": one.latency_ms}),
            "multiply-adds": one.macs / 1e6,
            "weights": one.params / 1e6,
            "memory access": one.memory_access_bytes / 1e6,
            "activations": one.int8_peak_activation_bytes / 1e3,
            "int8 file": one.predicted_int8_bytes / 1e3,
            "top-1": one.top1,
            "remarks": ", ".join(remarks(one)),
        }
        for one in designs
    ]


def remarks(one: Design) -> list[str]:
    """What must be said of a design beside its numbers."""
    return [
        *([] if one.in_paper else ["width beyond the paper"]),
        *([f"top-1: {one.top1_note}"] if one.top1 is not None and one.top1_note else []),
        *(["needs " + ", ".join(map(words.operator, one.special))] if one.special else []),
    ]


def fitting(name: str, limits: Limits, resolutions: Sequence[int | tuple[int, int]], classes: int) -> Fit:
    """The largest designs of the family within `limits`. Raises: ValueError."""
    return largest(name, limits, resolutions=list(resolutions), classes=classes)


def fit_table(found: Fit) -> list[dict[str, Any]]:
    """One row per variant and resolution, with the share of every limit that is used, in per cent."""
    return [
        {
            "design": one.label,
            "multiply-adds": one.macs / 1e6,
            "weights": one.params / 1e6,
            "activations": one.int8_peak_activation_bytes / 1e3,
            "int8 file": one.predicted_int8_bytes / 1e3,
            **{
                f"{LIMITS[name].label} used": 100 * getattr(one, name) / limit
                for name, limit in found.limits.named.items()
            },
            "remarks": ", ".join(remarks(one)),
        }
        for one in found.rows
    ]
