"""The catalogue of methods. One line per member, in reading order."""

from __future__ import annotations

from difflib import get_close_matches

from pipelines.methods.channel_norm import METHOD as CHANNEL_NORM
from pipelines.methods.geometric_median import METHOD as GEOMETRIC_MEDIAN
from pipelines.methods.hinton import METHOD as HINTON
from pipelines.methods.int8_aware import METHOD as INT8_AWARE
from pipelines.methods.ista_gamma import METHOD as ISTA_GAMMA
from pipelines.methods.magnitude import METHOD as MAGNITUDE
from pipelines.methods.method import Context, Method, Outcome
from pipelines.methods.network_slimming import METHOD as NETWORK_SLIMMING
from pipelines.methods.random import METHOD as RANDOM
from pipelines.methods.supervised import METHOD as SUPERVISED

METHODS: dict[str, Method] = {
    "supervised": SUPERVISED,
    "hinton": HINTON,
    "magnitude": MAGNITUDE,
    "channel_norm": CHANNEL_NORM,
    "geometric_median": GEOMETRIC_MEDIAN,
    "network_slimming": NETWORK_SLIMMING,
    "ista_gamma": ISTA_GAMMA,
    "random": RANDOM,
    "int8_aware": INT8_AWARE,
}


def method(name: str, kind: str | None = None) -> Method:
    """Looks a method up; ValueError with the nearest names when there is none of that kind."""
    names = [key for key, found in METHODS.items() if kind is None or found.kind == kind]
    if name in names:
        return METHODS[name]
    near = get_close_matches(name, names, 3, 0.4) or names
    of_kind = f"{kind} " if kind else ""
    raise ValueError(f"{of_kind}method {name!r} is not known; nearest: {', '.join(near)}")


__all__ = ["METHODS", "Context", "Method", "Outcome", "method"]
