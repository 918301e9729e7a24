"""Published weights under a fresh network: judged before a job starts, found on this machine or fetched, put in.

Three moments. A recipe is *judged* without opening anything. Before a run is recorded its file must be *within reach*:
a local one is read and must fit, one of Keras must lie in a cache or its server must answer. The job *opens* the file
and loads it.
"""

from __future__ import annotations

import hashlib
import logging
import os
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import zoo
from exports.keras_weights import MOST_BYTES, SUFFIXES, KerasWeights, read_weights
from zoo.layers import AFFINE
from zoo.weights import File, Published, arrange, weights_of
from zoo.weights.arrange import numbers_in

if TYPE_CHECKING:
    from pipelines.recipes import DataSettings, ModelSettings

logger = logging.getLogger(__name__)

IMAGENET = "imagenet"
CLASSES = 1000  # of every published classifier
ANSWER_SECONDS, READ_SECONDS = 5, 30
PIECE = 1 << 20

Frozen = Literal["none", "backbone"]


def judge(model: ModelSettings, data: DataSettings, start: str | None) -> None:
    """Refuses what can be seen to be impossible in the settings alone. Raises: ValueError saying what would work."""
    if model.weights is None:
        if model.classifier:
            raise ValueError("model.classifier = true: there is none to keep; set model.weights to imagenet or a file")
        if model.frozen != "none" and start is None:
            raise ValueError(
                f"model.frozen = {model.frozen!r}: this network begins from random numbers, which must learn; "
                "set model.weights, or start from a run"
            )
        return
    if start is not None:
        raise ValueError(f"model.weights = {model.weights!r}: start gives the weights of a run; name one of the two")
    published = weights_of(model.name)
    options = published.check(zoo.architecture(model.name), model.width, model.options)
    check_images(data.channels or data.own("channels"), data.own("classes"), model.classifier)
    sides = model_sides(data.likely_resolution)
    published.check_sides(sides, model.classifier, options)
    if model.weights == IMAGENET:
        published.find(model.width, sides, options)
    elif not model.weights.endswith(SUFFIXES):
        raise ValueError(f"model.weights = {model.weights!r}: imagenet, or a file that ends in {', '.join(SUFFIXES)}")


def check_images(channels: int | None, classes: int | None, classifier: bool) -> None:
    """Whether images of so many channels and classes suit published weights; None is not known yet."""
    if channels == 1:
        raise ValueError(
            "published weights read 3 colours and these images are grey; set data.channels to 3, which repeats grey"
        )
    if classifier and classes not in (None, CLASSES):
        raise ValueError(
            f"the published classifier knows {CLASSES} classes and these images have {classes}; "
            "set model.classifier to false"
        )


def within_reach(model: ModelSettings, data: DataSettings, cache: Path) -> None:
    """Sees to it, before a run is recorded, that its weights can be had and fit. Raises: ValueError if not."""
    if model.weights is None:
        return
    if model.weights != IMAGENET:
        _fit(read_weights(model.weights), model, data.likely_resolution)
        return
    file = _published(model, data.likely_resolution).file(model.classifier)
    if _cached(file, cache) is None:
        try:
            request = urllib.request.Request(file.url, method="HEAD")
            with urllib.request.urlopen(request, timeout=ANSWER_SECONDS):
                pass
        except OSError as error:
            raise _unreachable(file, cache, error) from None


@dataclass(frozen=True)
class Opened:
    """A weight file ready to be loaded. `trained_at` is the resolution of its training, None when nobody said."""

    file: KerasWeights
    origin: str
    trained_at: int | None


def open_weights(model: ModelSettings, resolution: tuple[int, int], cache: Path) -> Opened | None:
    """The file that `model` names, fetched if need be, or None. Raises: ValueError when it cannot be had."""
    if model.weights is None:
        return None
    if model.weights == IMAGENET:
        row = _published(model, resolution)
        return Opened(read_weights(fetch(row.file(model.classifier), cache)), IMAGENET, row.resolution)
    path = Path(model.weights)
    known = [row for row in weights_of(model.name).published if path.name in (row.top.name, row.no_top.name)]
    return Opened(read_weights(path), model.weights, known[0].resolution if known else None)


def load(network: Any, opened: Opened, model: ModelSettings) -> dict[str, Any]:
    """Puts the weights into `network`, a Keras model; gives what a run keeps of it, with warnings under `warnings`.

    Raises: ValueError when a layer does not fit; the network is then as it was.
    """
    from zoo.weights import assign

    published = weights_of(model.name)
    options = zoo.architecture(model.name).settle(model.options)
    arranged = assign(network, published, opened.file.tensors, options, classifier=model.classifier)
    return {
        "origin": opened.origin,
        "file": opened.file.path.name,
        "sha256": opened.file.sha256,
        "reference": f"keras.applications {published.reference}",
        "classifier": model.classifier,
        "found_by": arranged.found_by,
        "layers": len(arranged.values),
        "numbers": numbers_in(arranged),
        "fresh": list(arranged.fresh),
        "trained_at": opened.trained_at,
        "warnings": _differences(network, opened, model),
    }


def freeze(network: Any, frozen: Frozen) -> None:
    """Lets every layer learn, or only the head. A norm that may not learn keeps its statistics too, as in Keras."""
    for layer in network.layers:
        layer.trainable = layer.name != AFFINE and (frozen == "none" or layer.name.split("_")[0] == "head")


def fetch(file: File, cache: Path) -> Path:
    """The published file: from Keras' own cache, from ours, or downloaded into ours. Raises: ValueError if none can."""
    path = _cached(file, cache)
    if path is not None:
        return path
    logger.info("downloading %s", file.url)
    folder = _folders(cache)[-1]
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / f".{file.name}.{os.getpid()}"
    try:
        with urllib.request.urlopen(file.url, timeout=READ_SECONDS) as answer, partial.open("wb") as sink:
            while piece := answer.read(PIECE):
                sink.write(piece)
                if sink.tell() > MOST_BYTES:
                    raise OSError(f"it is longer than {MOST_BYTES:,} bytes")
        if not _is(file, partial):
            raise OSError("it is not the published file, its MD5 differs")
        os.replace(partial, folder / file.name)
    except OSError as error:
        raise _unreachable(file, cache, error) from error
    finally:
        partial.unlink(missing_ok=True)
    return folder / file.name


def model_sides(resolution: int | tuple[int, int]) -> tuple[int, int]:
    """Height and width of a square or a rectangle."""
    return (resolution, resolution) if isinstance(resolution, int) else resolution


def _published(model: ModelSettings, resolution: int | tuple[int, int]) -> Published:
    options = zoo.architecture(model.name).settle(model.options)
    return weights_of(model.name).find(model.width, model_sides(resolution), options)


def _fit(file: KerasWeights, model: ModelSettings, resolution: int | tuple[int, int]) -> None:
    """Whether a file fits, judged by the sketch. Raises: ValueError naming the layers that do not."""
    sketch = zoo.sketch(
        model.name, width=model.width, resolution=resolution, classes=CLASSES, form="train", affine=True,
        **model.options,
    )  # fmt: skip
    options = zoo.architecture(model.name).settle(model.options)
    arrange(weights_of(model.name), sketch, file.tensors, options, classifier=model.classifier)


def _differences(network: Any, opened: Opened, model: ModelSettings) -> list[str]:
    """What differs from the images that the weights were trained with."""
    sides = tuple(int(side) for side in network.input_shape[1:3])
    shown = "x".join(map(str, sides))
    published = weights_of(model.name)
    if opened.trained_at is None:
        return [
            f"{opened.file.path.name} is not a published file by its name: it must have been trained on images "
            f"normalised as keras.applications {published.reference} does, which is what {AFFINE} repeats here"
        ]
    options = zoo.architecture(model.name).settle(model.options)
    found = []
    if sides != (opened.trained_at, opened.trained_at):
        found.append(f"the weights were trained at {opened.trained_at} pixels and see {shown} here")
    if not published.keeps_strides((sides[0], sides[1]), options):
        found.append(
            f"at {shown} pixels this network leaves out strides that it was trained with, so its features mean less; "
            f"from {published.least_side(options)} pixels on all are there"
        )
    return found


def _folders(cache: Path) -> list[Path]:
    keras = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras")
    return [keras / "models", cache / "downloads" / "keras-applications"]


def _cached(file: File, cache: Path) -> Path | None:
    return next((path for folder in _folders(cache) if _is(file, path := folder / file.name)), None)


def _is(file: File, path: Path) -> bool:
    """Whether `path` holds this file; by its hash where Keras gives one."""
    if not path.is_file():
        return False
    if not file.md5:
        return True
    with path.open("rb") as content:
        return hashlib.file_digest(content, lambda: hashlib.md5(usedforsecurity=False)).hexdigest() == file.md5


def _unreachable(file: File, cache: Path, error: OSError) -> ValueError:
    tried = " and ".join(map(str, _folders(cache)))
    return ValueError(
        f"the weights {file.name} are not on this machine (looked in {tried}) and could not be fetched ({error}). "
        f"Download {file.url} where there is internet, put it into one of these folders or name its path as "
        "model.weights, or leave model.weights empty"
    )
