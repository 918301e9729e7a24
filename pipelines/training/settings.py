"""How long and how a model is fitted: the fields that every training step shares."""

from __future__ import annotations

from typing import Literal

from pipelines.settings import Settings, setting


class Fitting(Settings):
    """Optimiser, schedule, augmentation and stopping of one fitting. Defaults suit sets of 1,000 to 100,000 images."""

    epochs: int = setting(20, ge=1, le=10_000, unit="epochs", help="Passes over the training images")
    batch: int = setting(64, ge=1, le=4096, unit="images", help="Images per weight update")
    optimizer: Literal["adam", "sgd"] = setting(
        "adam", help="Adam suits short runs; SGD with momentum 0.9 wants a learning rate about 30 times higher"
    )
    learning_rate: float = setting(
        2e-3, gt=0, le=10, help="Peak learning rate; falls along a cosine to 1 % of it by the last epoch"
    )
    warmup: float = setting(
        0.1,
        ge=0,
        le=0.9,
        unit="share of epochs",
        help="Share of the steps over which the learning rate climbs to its peak",
    )
    weight_decay: float = setting(
        0.0, ge=0, le=1, help="Decoupled decay of kernels (not of biases and norms); 0.0005 is usual with SGD"
    )
    label_smoothing: float = setting(0.0, ge=0, lt=1, help="Share of the label spread over all classes; 0.1 is usual")
    class_weights: Literal["none", "balanced"] = setting(
        "none", help="balanced: rare classes weigh more, n / (classes x count)"
    )
    patience: int | None = setting(
        None,
        ge=1,
        le=1000,
        unit="epochs",
        help="Stop after so many epochs without a better validation accuracy; empty: never",
    )
    keep: Literal["best", "last"] = setting(
        "best", help="Weights to keep: best validation accuracy (ties: lower loss), or those of the last epoch"
    )
    shift: float = setting(
        0.06, ge=0, le=0.5, unit="share of side", help="Augmentation: random move in both directions, up to this share"
    )
    rotate: float = setting(0.0, ge=0, le=180, unit="degrees", help="Augmentation: random turn up to this angle")
    zoom: float = setting(0.0, ge=0, lt=0.9, help="Augmentation: random scale between 1 - zoom and 1 + zoom")
    flip: bool = setting(
        False, help="Augmentation: mirror half of the images; wrong for digits and text, right for most photos"
    )
    brightness: float = setting(
        0.0, ge=0, lt=1, help="Augmentation: random factor between 1 - b and 1 + b on all pixels"
    )
    cutout: float = setting(
        0.0,
        ge=0,
        le=0.9,
        unit="share of side",
        help="Augmentation: a random square of this side is set to the mean grey",
    )
    mixup: float = setting(
        0.0, ge=0, le=10, help="Augmentation: Beta(a, a) blend of image pairs and their labels; 0 is off"
    )
