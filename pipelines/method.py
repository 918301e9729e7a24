"""What a method declares: the shape that training, compression and search methods share."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, Literal

from pipelines.data import Dataset
from pipelines.settings import Settings
from pipelines.training.watch import Watch

Kind = Literal["train", "distil", "prune", "quantise", "factorise", "search"]


class LookedOver(Exception):
    """A method has looked at all that it refuses, and was asked for no more."""


@dataclass(frozen=True)
class Outcome:
    """The model a method made, what it reports, and what a reader must not overlook."""

    model: Any
    report: dict[str, Any]
    warnings: tuple[str, ...] = ()
    int8_aware: bool = False


@dataclass(frozen=True)
class Context:
    """What a method may use besides the model: data, seed, watch and a way to fetch a teacher."""

    data: Dataset
    seed: int
    watch: Watch
    load_run: Callable[[str], Any] = field(default=lambda run: _no_runs(run))
    alone: Callable[[], AbstractContextManager[None]] = nullcontext  # nothing else of ours computes inside it
    rehearsal: bool = False  # whether the method is only asked if it could do its work on a model of this structure

    def looked_over(self) -> None:
        """A method calls this when nothing is left that it would refuse. Raises: LookedOver, in a rehearsal."""
        if self.rehearsal:
            raise LookedOver


@dataclass(frozen=True)
class Method:
    """One method: `apply(model, settings, context) -> Outcome`; the model passed in is left untouched.

    `measured` is what it gave here, with the figure, where a paper or a reader expects more of it.
    """

    name: str
    kind: Kind
    title: str
    source: str
    summary: str
    removes_channels: bool
    settings: type[Settings]
    apply: Callable[[Any, Any, Context], Outcome]
    int8_aware: bool = False  # whether the model it makes can become int8 files only
    measured: str = ""
    rehearses: bool = False  # whether it calls `Context.looked_over`, having judged the structure and not the weights


def _no_runs(run: str) -> Any:
    raise ValueError(f"run {run!r} cannot be loaded here: no registry of runs was given")
