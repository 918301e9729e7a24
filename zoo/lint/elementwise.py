"""G4: element-wise work has few multiply-adds and much traffic. Source: arXiv:1807.11164, section 2.

Element-wise are activations, norms, additions and products that no convolution takes in, and depthwise convolutions,
which the paper counts among them for their ratio of traffic to work. In the folded view a norm and a ReLU directly
behind a convolution are gone; in the view as laid they count.

A finding for each such operation once all of them together move too large a share of the bytes, and for a single norm
or ReLU that stands where it cannot be folded.
"""

from __future__ import annotations

from collections.abc import Iterator

from zoo.lint.finding import Finding, Rule, area, megabytes
from zoo.lint.thresholds import Thresholds
from zoo.lint.traffic import Traffic
from zoo.sketches import Op

FOLDABLE = ("norm", "relu")
ELEMENTWISE = (
    "depthwise", *FOLDABLE, "add", "subtract", "average", "maximum", "gate", "activation", "leaky_relu", "prelu",
    "hard_swish", "hard_sigmoid", "sign", "softmax", "rescale", "elementwise",
)  # fmt: skip
WORDS = {"depthwise": "depthwise convolution", "norm": "norm that stands alone", "relu": "ReLU that stands alone",
         "add": "addition", "gate": "product", "rescale": "rescaling"}  # fmt: skip


def is_elementwise(op: Op, traffic: Traffic) -> bool:
    """Whether the operation counts as element-wise: by its kind, or a convolution with a group per channel."""
    return op.kind in ELEMENTWISE or (
        op.kind == "conv" and 1 < op.config.get("groups", 1) == traffic.input_shape(op)[-1]
    )


def share(traffic: Traffic) -> float:
    """The share of all bytes that element-wise work moves."""
    return traffic.share(sum(traffic.bytes_of(op) for op in traffic.ops if is_elementwise(op, traffic)))


def saving(op: Op, traffic: Traffic) -> int:
    """Bytes of the maps the operation reads and writes; its weights are needed wherever it is folded to."""
    return max(0, op.moved - op.params) * traffic.element_bytes


def look(traffic: Traffic, limits: Thresholds) -> Iterator[Finding]:
    """Element-wise operations where there are too many, and norms and ReLUs that stand alone."""
    together = share(traffic)
    for op in traffic.ops:
        if not is_elementwise(op, traffic) or not op.inputs:
            continue
        own = traffic.share(traffic.bytes_of(op))
        alone = op.kind in FOLDABLE and own > limits.alone_share
        if together <= limits.elementwise_share and not alone:
            continue
        why = (
            f"element-wise work moves {100 * together:.0f} % of all bytes, limit {100 * limits.elementwise_share:.0f} %"
            if together > limits.elementwise_share
            else f"no convolution can take it in, limit {100 * limits.alone_share:g} % of all bytes"
        )
        what = WORDS.get(op.kind, "depthwise convolution" if op.kind == "conv" else op.kind.replace("_", " "))
        work = f" for {op.macs / 1e6:,.1f} M multiply-adds" if op.macs else ""
        yield Finding(
            "G4", op.name, op.stage,
            f"{what} on {op.shape[-1]} channels at {area(op.shape)} moves {megabytes(traffic.bytes_of(op))}{work} "
            f"({why})",
            ((op.name, saving(op, traffic)),),
        )  # fmt: skip


RULE = Rule(
    "G4", "Little element-wise work",
    "the maps that element-wise operations and depthwise convolutions read and write; gone when such an operation is "
    "left out, as in the paper's experiment, or folded into its neighbours", look,
)  # fmt: skip
