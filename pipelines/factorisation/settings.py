"""What every factorisation lets a person choose: how ranks come about, which layers are left alone, the fine-tuning."""

from __future__ import annotations

from typing import Literal

from pipelines.settings import setting
from pipelines.training.settings import Fitting


class FactorisationSettings(Fitting):
    """Ranks, layers left alone, and the fine-tuning behind it."""

    epochs: int = setting(8, ge=1, le=10_000, unit="epochs", help="Fine-tuning epochs after the layers are replaced")
    learning_rate: float = setting(
        2e-4, gt=0, le=10, help="Peak learning rate of the fine-tuning; a tenth of training's, chains take no more"
    )
    ranks: Literal["budget", "energy", "evbmf"] = setting(
        "budget",
        help="budget: one level of energy for all layers, so high as the budget allows; energy: that level itself; "
        "evbmf: where the noise begins, estimated from each kernel (Nakajima et al.)",
    )
    budget: float = setting(
        0.5, gt=0, lt=1, unit="share", help="budget: multiply-adds that may be left of the whole network's"
    )
    energy: float = setting(
        0.9, gt=0, lt=1, unit="share", help="energy: share of the squared singular values that stays in each layer"
    )
    evbmf_share: float = setting(
        1.0, gt=0, le=2, help="evbmf: the estimated ranks times this; 0.7 when they save too little"
    )
    multiple: int = setting(
        8, ge=1, le=64, unit="channels", help="Ranks are rounded up to multiples of it; 8 suits vector units"
    )
    skip: str = setting("", help="Layers to leave alone, names with * and ?, separated by commas: stem_*, stage1_*")
    skip_ends: bool = setting(
        True, help="Leave the first convolution and the classifier alone: they are sensitive and rarely cost much"
    )
    recalibration: int = setting(
        40, ge=0, le=1000, unit="batches", help="Training batches that put the norms right after the change; 0: none"
    )

    @property
    def skipped(self) -> list[str]:
        """The patterns of `skip`."""
        return [part.strip() for part in self.skip.split(",") if part.strip()]
