"""A convolution becomes 1x1, a column and a row per channel, 1x1: canonical polyadic decomposition by least squares.

Source: Lebedev et al., arXiv:1412.6553, section 3. The rank is at least that of every unfolding, so the largest of
three stands for it: CP has no spectrum of its own. Several layers at once drift apart easily, hence the gentle rate.

A layer with a stride or a dilation gets one kh x kw kernel per channel in place of column and row: TensorFlow's
depthwise convolution wants equal strides on the CPU, and a column at full width would cost more than it saves.
"""

from __future__ import annotations

from typing import Any

from pipelines.factorisation import decompose
from pipelines.factorisation.decompose import Kernel, by_direction, by_input, by_output, merged
from pipelines.factorisation.factorise import factorise
from pipelines.factorisation.replace import Link, Ranks, Scheme, depthwise, inner, last, window_of
from pipelines.factorisation.settings import FactorisationSettings
from pipelines.method import Context, Method, Outcome
from pipelines.settings import setting
from zoo.plans import Call


class CpSettings(FactorisationSettings):
    """Ranks, layers left alone, and the fine-tuning behind it."""

    learning_rate: float = setting(
        1e-4, gt=0, le=10, help="Peak learning rate of the fine-tuning; chains of four layers want it gentle"
    )
    sweeps: int = setting(
        100, ge=1, le=2000, unit="sweeps", help="Rounds of alternating least squares at most; fewer when it settles"
    )


def takes(call: Call) -> str:
    """Convolutions of more than one cell and equal strides."""
    size, strides, dilation = window_of(call)
    if max(size) == 1:
        return "cp takes convolutions larger than 1x1"
    if strides[0] != strides[1] or dilation[0] != dilation[1]:
        return "its strides or dilations differ by direction, which no depthwise convolution does"
    return ""


def links(call: Call, ranks: Ranks) -> list[Link]:
    """Four convolutions, three where column and row are one."""
    (height, width), strides, dilation = window_of(call)
    if _together(call):
        middle = [depthwise(call, (height, width), strides, dilation)]
    else:
        middle = [depthwise(call, (height, 1)), depthwise(call, (1, width))]
    return [inner(call, ranks[0]), *middle, last(call)]


def scheme(sweeps: int) -> Scheme:
    """The scheme with at most so many sweeps."""

    def factors(call: Call, kernel: Kernel, ranks: Ranks) -> list[Kernel]:
        first, vertical, horizontal, final = decompose.cp(kernel, ranks[0], sweeps)
        middle = [merged(vertical, horizontal)] if _together(call) else [vertical, horizontal]
        return [first, *middle, final]

    return Scheme(takes, _unfolded, links, factors, one_rank=True)


def _unfolded(kernel: Kernel) -> tuple[Any, ...]:
    return by_input(kernel), by_output(kernel), by_direction(kernel)


def _together(call: Call) -> bool:
    """Whether one kernel per channel stands for column and row."""
    size, strides, dilation = window_of(call)
    return min(size) == 1 or strides != (1, 1) or dilation != (1, 1)


def apply(model: Any, settings: CpSettings, context: Context) -> Outcome:
    """Gives a factorised, fine-tuned model."""
    return factorise(model, settings, context, scheme(settings.sweeps))


METHOD = Method(
    name="cp",
    kind="factorise",
    title="Channels by CP decomposition",
    source="Lebedev et al., arXiv:1412.6553",
    summary="Replaces each k x k convolution by 1x1, k x 1 and 1 x k per channel, and 1x1, then fine-tunes.",
    removes_channels=False,
    settings=CpSettings,
    apply=apply,
    rehearses=True,
)
