"""Dense layers and 1x1 convolutions become two of lower rank, by singular value decomposition of their matrix.

Source: Denton et al., arXiv:1404.0736 (matrix decomposition). The squared error is the sum of the squared
singular values that are dropped. m inputs and n outputs cost less from rank m n / (m + n) downwards. A stride
stands on the first factor, so the second works on the smaller map.
"""

from __future__ import annotations

from typing import Any

from pipelines.factorisation.decompose import Kernel, pointwise_pair
from pipelines.factorisation.factorise import factorise
from pipelines.factorisation.replace import Link, Ranks, Scheme, inner, last, window_of
from pipelines.factorisation.settings import FactorisationSettings
from pipelines.method import Context, Method, Outcome
from zoo.plans import Call


class SvdSettings(FactorisationSettings):
    """Ranks, layers left alone, and the fine-tuning behind it."""


def takes(call: Call) -> str:
    """Dense layers and 1x1 convolutions."""
    return "" if window_of(call)[0] == (1, 1) else "svd takes dense layers and 1x1 convolutions"


def links(call: Call, ranks: Ranks) -> list[Link]:
    """Two layers of the same kind."""
    return [inner(call, ranks[0], strides=window_of(call)[1]), last(call)]


def factors(call: Call, kernel: Kernel, ranks: Ranks) -> list[Kernel]:
    """Their kernels."""
    return list(pointwise_pair(kernel, ranks[0]))


SCHEME = Scheme(takes, lambda kernel: (kernel[0, 0],), links, factors)


def apply(model: Any, settings: SvdSettings, context: Context) -> Outcome:
    """Gives a factorised, fine-tuned model."""
    return factorise(model, settings, context, SCHEME)


METHOD = Method(
    name="svd",
    kind="factorise",
    title="Dense and 1x1 layers by SVD",
    source="Denton et al., arXiv:1404.0736",
    summary="Replaces each dense layer and 1x1 convolution by two of lower rank, then fine-tunes.",
    removes_channels=False,
    settings=SvdSettings,
    apply=apply,
    rehearses=True,
)
