"""Binary weights and activations: convolutions of signs with signs, which XNOR and popcount compute exactly.

Sources: Rastegari et al., XNOR-Net, arXiv:1603.05279 (order of layers, magnitude per filter); Alizadeh et al., ICLR
2019, OpenReview rJfUCoR5KX (Adam, no early stop, two stages).
"""

from __future__ import annotations

from typing import Any

from pipelines.binary.settings import BinarySettings
from pipelines.method import Context, Method, Outcome


def apply(model: Any, settings: BinarySettings, context: Context) -> Outcome:
    """Gives a model whose chosen layers multiply signs by signs.

    Raises: ValueError as `pipelines.binary.train.train_binary`.
    """
    from pipelines.binary.train import train_binary

    trained = train_binary(model, settings, context, signs=True)
    return Outcome(trained.model, trained.report, trained.warnings)


METHOD = Method(
    name="binary",
    kind="quantise",
    title="Binary weights and activations",
    source="Rastegari et al., arXiv:1603.05279; Alizadeh et al., OpenReview rJfUCoR5KX",
    summary="Trains layers that multiply signs by signs; exact as XNOR and popcount, which no runtime here does.",
    removes_channels=False,
    settings=BinarySettings,
    apply=apply,
    rehearses=True,
    measured="ResNet-20 at 16 px on Fashion-MNIST, three seeds: 85.8 % on average; 88.8 % as float, "
    "83.4 % by a linear model.",
)
