"""The catalogue of methods. One line per member, in reading order."""

from __future__ import annotations

from difflib import get_close_matches

from pipelines.method import Context, Method, Outcome
from pipelines.methods.adversarial import METHOD as ADVERSARIAL
from pipelines.methods.binary import METHOD as BINARY
from pipelines.methods.binary_connect import METHOD as BINARY_CONNECT
from pipelines.methods.binary_ensemble import METHOD as BINARY_ENSEMBLE
from pipelines.methods.channel_norm import METHOD as CHANNEL_NORM
from pipelines.methods.clustering import METHOD as CLUSTERING
from pipelines.methods.collaborative import METHOD as COLLABORATIVE
from pipelines.methods.cp import METHOD as CP
from pipelines.methods.crelu import METHOD as CRELU
from pipelines.methods.defensive import METHOD as DEFENSIVE
from pipelines.methods.equalisation import METHOD as EQUALISATION
from pipelines.methods.fully_learned_groups import METHOD as FULLY_LEARNED_GROUPS
from pipelines.methods.geometric_median import METHOD as GEOMETRIC_MEDIAN
from pipelines.methods.hinton import METHOD as HINTON
from pipelines.methods.int8_aware import METHOD as INT8_AWARE
from pipelines.methods.ista_gamma import METHOD as ISTA_GAMMA
from pipelines.methods.kernel_entropy import METHOD as KERNEL_ENTROPY
from pipelines.methods.learned_groups import METHOD as LEARNED_GROUPS
from pipelines.methods.lottery_ticket import METHOD as LOTTERY_TICKET
from pipelines.methods.magnitude import METHOD as MAGNITUDE
from pipelines.methods.main_subsidiary import METHOD as MAIN_SUBSIDIARY
from pipelines.methods.network_slimming import METHOD as NETWORK_SLIMMING
from pipelines.methods.random import METHOD as RANDOM
from pipelines.methods.repr import METHOD as REPR
from pipelines.methods.spatial_svd import METHOD as SPATIAL_SVD
from pipelines.methods.supervised import METHOD as SUPERVISED
from pipelines.methods.svd import METHOD as SVD
from pipelines.methods.tucker2 import METHOD as TUCKER2

METHODS: dict[str, Method] = {
    "supervised": SUPERVISED,
    "repr": REPR,
    "defensive": DEFENSIVE,
    "hinton": HINTON,
    "magnitude": MAGNITUDE,
    "clustering": CLUSTERING,
    "lottery_ticket": LOTTERY_TICKET,
    "channel_norm": CHANNEL_NORM,
    "geometric_median": GEOMETRIC_MEDIAN,
    "collaborative": COLLABORATIVE,
    "kernel_entropy": KERNEL_ENTROPY,
    "adversarial": ADVERSARIAL,
    "network_slimming": NETWORK_SLIMMING,
    "ista_gamma": ISTA_GAMMA,
    "random": RANDOM,
    "main_subsidiary": MAIN_SUBSIDIARY,
    "crelu": CRELU,
    "learned_groups": LEARNED_GROUPS,
    "fully_learned_groups": FULLY_LEARNED_GROUPS,
    "svd": SVD,
    "spatial_svd": SPATIAL_SVD,
    "tucker2": TUCKER2,
    "cp": CP,
    "int8_aware": INT8_AWARE,
    "equalisation": EQUALISATION,
    "binary_connect": BINARY_CONNECT,
    "binary": BINARY,
    "binary_ensemble": BINARY_ENSEMBLE,
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
