"""A convolution becomes a column and a row: kh x 1 to a few channels, then 1 x kw.

Source: Jaderberg et al., arXiv:1405.3866, scheme 2. Strides and dilation are split by direction; a stride
that stood on the second factor alone would make the first work for nothing, and with padding shift the grid.
"""

from __future__ import annotations

from typing import Any

from pipelines.factorisation.decompose import Kernel, by_direction, spatial_pair
from pipelines.factorisation.factorise import factorise
from pipelines.factorisation.replace import Link, Ranks, Scheme, inner, last, window_of
from pipelines.factorisation.settings import FactorisationSettings
from pipelines.method import Context, Method, Outcome
from zoo.plans import Call


class SpatialSvdSettings(FactorisationSettings):
    """Ranks, layers left alone, and the fine-tuning behind it."""


def takes(call: Call) -> str:
    """Convolutions that reach further than one cell in both directions."""
    return "" if min(window_of(call)[0]) > 1 else "spatial_svd takes convolutions larger than 1 in both directions"


def links(call: Call, ranks: Ranks) -> list[Link]:
    """Two convolutions."""
    (height, width), (down, across), (far, wide) = window_of(call)
    return [inner(call, ranks[0], (height, 1), (down, 1), (far, 1)), last(call, (1, width), (1, across), (1, wide))]


def factors(call: Call, kernel: Kernel, ranks: Ranks) -> list[Kernel]:
    """Their kernels."""
    return list(spatial_pair(kernel, ranks[0]))


SCHEME = Scheme(takes, lambda kernel: (by_direction(kernel),), links, factors)


def apply(model: Any, settings: SpatialSvdSettings, context: Context) -> Outcome:
    """Gives a factorised, fine-tuned model."""
    return factorise(model, settings, context, SCHEME)


METHOD = Method(
    name="spatial_svd",
    kind="factorise",
    title="Columns and rows by SVD",
    source="Jaderberg et al., arXiv:1405.3866",
    summary="Replaces each k x k convolution by a k x 1 and a 1 x k one of lower rank, then fine-tunes.",
    removes_channels=False,
    settings=SpatialSvdSettings,
    apply=apply,
    rehearses=True,
)
