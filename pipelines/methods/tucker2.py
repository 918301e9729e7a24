"""A convolution becomes a small one between two 1x1 convolutions, by Tucker decomposition of its channel modes.

Source: Kim et al., arXiv:1511.06530, section 3: subspaces of the two unfoldings (HOSVD), ranks by EVBMF. Sweeps of
higher-order orthogonal iteration improve the subspaces for the chosen ranks. The kernel in the middle keeps size,
stride, dilation and padding.
"""

from __future__ import annotations

from typing import Any

from pipelines.factorisation import decompose
from pipelines.factorisation.decompose import Kernel, by_input, by_output
from pipelines.factorisation.factorise import factorise
from pipelines.factorisation.replace import Link, Ranks, Scheme, inner, last, window_of
from pipelines.factorisation.settings import FactorisationSettings
from pipelines.method import Context, Method, Outcome
from pipelines.settings import setting
from zoo.plans import Call


class Tucker2Settings(FactorisationSettings):
    """Ranks, layers left alone, and the fine-tuning behind it. The paper's way: `ranks: evbmf` and no sweeps."""

    sweeps: int = setting(
        10, ge=0, le=200, unit="sweeps", help="Rounds in which the subspaces improve in turn (HOOI); 0: as in the paper"
    )


def takes(call: Call) -> str:
    """Convolutions of more than one cell."""
    return "" if max(window_of(call)[0]) > 1 else "tucker2 takes convolutions larger than 1x1"


def links(call: Call, ranks: Ranks) -> list[Link]:
    """Three convolutions."""
    return [inner(call, ranks[0]), inner(call, ranks[1], *window_of(call)), last(call)]


def scheme(sweeps: int) -> Scheme:
    """The scheme with so many sweeps."""

    def factors(call: Call, kernel: Kernel, ranks: Ranks) -> list[Kernel]:
        return list(decompose.tucker2(kernel, ranks[0], ranks[1], sweeps))

    return Scheme(takes, lambda kernel: (by_input(kernel), by_output(kernel)), links, factors)


def apply(model: Any, settings: Tucker2Settings, context: Context) -> Outcome:
    """Gives a factorised, fine-tuned model."""
    return factorise(model, settings, context, scheme(settings.sweeps))


METHOD = Method(
    name="tucker2",
    kind="factorise",
    title="Channels by Tucker-2",
    source="Kim et al., arXiv:1511.06530",
    summary="Replaces each k x k convolution by 1x1, a smaller k x k and 1x1, then fine-tunes.",
    removes_channels=False,
    settings=Tucker2Settings,
    apply=apply,
    rehearses=True,
)
