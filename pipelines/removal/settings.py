"""What every method that removes channels lets a person choose: how much, where, and what to compare with."""

from __future__ import annotations

from typing import ClassVar, Literal

import pydantic

from pipelines.settings import setting
from pipelines.training.settings import Fitting


class RemovalSettings(Fitting):
    """How much is removed, in which layers, how it is fine-tuned, and which controls run beside it."""

    front: ClassVar[tuple[str, ...]] = ("remove", "target", "latency_ms", "multiple")

    epochs: int = setting(8, ge=1, le=10_000, unit="epochs", help="Fine-tuning epochs after the cut")
    learning_rate: float = setting(
        1e-3, gt=0, le=10, help="Peak learning rate of the fine-tuning; about half of training's"
    )
    remove: float = setting(0.5, gt=0, lt=1, unit="share", help="Share of the target that goes; 0.5 halves it")
    target: Literal["macs", "params", "channels", "latency"] = setting(
        "macs",
        help="What the share is of: multiply-adds, weights, channels, or the time of a file measured on this machine",
    )
    latency_ms: float | None = setting(
        None,
        gt=0,
        le=60_000,
        unit="ms per image",
        help="With target latency: the time to reach here, one thread; empty: the share of the dense file's time",
    )
    timed_format: Literal["tflite_int8", "tflite_float32"] = setting(
        "tflite_int8", help="With target latency: the file whose time counts"
    )
    scope: Literal["layer", "global"] = setting(
        "layer", help="layer: the same share in every layer; global: one ranking of all layers, relative to each mean"
    )
    multiple: int = setting(
        8, ge=1, le=64, unit="channels", help="Kept channels are rounded to multiples of it; 8 suits vector units"
    )
    least: int = setting(8, ge=1, le=4096, unit="channels", help="No layer keeps fewer")
    skip: str = setting("", help="Layers to leave alone, names with * and ?, separated by commas: stem_*, stage1_*")
    recalibration: int = setting(
        40, ge=0, le=1000, unit="batches", help="Training batches that put the norms right after the cut; 0: none"
    )
    control_random: bool = setting(
        False, help="Also removes as many channels at random and fine-tunes alike: what the choice itself is worth"
    )
    control_scratch: Literal["none", "e", "b", "both"] = setting(
        "none",
        help="Also trains the small network from random weights: e for all epochs this one has had, b for as much work "
        "as those took with the dense network (Liu et al.)",
    )
    dense_epochs: int = setting(
        20, ge=1, le=10_000, unit="epochs", help="Epochs the dense network was trained for, for the scratch controls"
    )

    compare_files: bool = setting(
        True, help="Also writes the network before and after as float and int8 files and times them in turn"
    )

    @pydantic.model_validator(mode="after")
    def _time_has_its_target(self) -> RemovalSettings:
        if self.latency_ms is not None and self.target != "latency":
            raise ValueError(f"latency_ms = {self.latency_ms:g} needs target: latency; it is {self.target}")
        return self

    @property
    def epochs_before(self) -> int:
        """Epochs of training that a method does before the cut."""
        return 0

    @property
    def skipped(self) -> list[str]:
        """The patterns of `skip`."""
        return [part.strip() for part in self.skip.split(",") if part.strip()]
