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

    Raises: ValueError as `pipelines.binary.train.planned`, and when no layer could read signs.
    """
    from pipelines.binary.train import planned, train_binary

    if not planned(model, settings, signs=True).signs:
        raise ValueError(
            "no layer of this model can read signs: all that they read has one sign; method: binary_connect makes the "
            "weights binary alone"
        )
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
)
