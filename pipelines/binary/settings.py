"""The fields that all methods of binary weights share."""

from __future__ import annotations

from typing import Literal

from pipelines.settings import setting
from pipelines.training.settings import Fitting


class BinarySettings(Fitting):
    """Which layers get weights of one bit, and how the weights behind them learn (Alizadeh et al., ICLR 2019)."""

    epochs: int = setting(
        30, ge=1, le=10_000, unit="epochs", help="Epochs with binary weights; they go on gaining for longer than floats"
    )
    learning_rate: float = setting(
        5e-3, gt=0, le=10, help="Peak learning rate; a sign turns only when its weight has crossed zero, so it is high"
    )
    ends: Literal["float", "binary"] = setting(
        "float", help="The first and the last layer: float loses far less; binary is the paper's all-binary network"
    )
    magnitude: Literal["filter", "one"] = setting(
        "filter",
        help="filter: signs times the mean magnitude of each filter (XNOR-Net); one: signs alone, which needs a norm "
        "behind every layer",
    )
    unclipped: float = setting(
        0.5,
        ge=0,
        le=1,
        unit="share of epochs",
        help="Share of the epochs before the weights behind the signs are kept within -1 and 1; 0: from the beginning",
    )
    recalibration: int = setting(
        40, ge=0, le=1000, unit="batches", help="Training batches that put the norms right at the end; 0: none"
    )
