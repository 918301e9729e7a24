"""BinaryConnect: weights are signs in the forward and the backward pass, what is updated are the real ones behind them.

Source: Courbariaux et al., arXiv:1511.00363, algorithm 1, with deterministic signs. The learning rate is that of
weights brought to one size in every layer, which is what the paper's code does with a factor per layer.
"""

from __future__ import annotations

from typing import Any, Literal

from pipelines.binary.settings import BinarySettings
from pipelines.method import Context, Method, Outcome
from pipelines.settings import setting


class BinaryConnectSettings(BinarySettings):
    """Which layers, and the training."""

    magnitude: Literal["filter", "one"] = setting(
        "one",
        help="one: signs alone, the paper's, which needs a norm behind every layer; filter: signs times the mean "
        "magnitude of each filter",
    )
    unclipped: float = setting(
        0.0,
        ge=0,
        le=1,
        unit="share of epochs",
        help="Share of the epochs before the weights behind the signs are kept within -1 and 1; the paper's is 0",
    )


def apply(model: Any, settings: BinaryConnectSettings, context: Context) -> Outcome:
    """Gives a model whose chosen kernels hold two values.

    Raises: ValueError as `pipelines.binary.train.planned`.
    """
    from pipelines.binary.train import train_binary

    trained = train_binary(model, settings, context, signs=False)
    return Outcome(trained.model, trained.report, trained.warnings)


METHOD = Method(
    name="binary_connect",
    kind="quantise",
    title="Binary weights (BinaryConnect)",
    source="Courbariaux et al., arXiv:1511.00363",
    summary="Trains with weights of one bit between float activations; no runtime here gains from it yet.",
    removes_channels=False,
    settings=BinaryConnectSettings,
    apply=apply,
    rehearses=True,
    measured="ResNet-20 at 16 px on Fashion-MNIST, one seed: 89.0 %, as the float network has.",
)
