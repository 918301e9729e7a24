"""Published weights mean the same here: every family against `tf_keras.applications` with random weights.

The reference is built and filled, its weights saved as Keras publishes them, read by our reader and put into our
network; then both answer the same pictures, each behind its own preprocessing.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import zoo
from exports.keras_weights import read_weights
from tests.zoo.designs import others_slow
from tests.zoo.weights.references import PUBLISHED, SMALLEST, Reference, label, last_map, pictures, saved
from zoo.weights import arrange, assign
from zoo.weights.declaration import KINDS

TOLERANCE = 1e-5  # of the largest output
# Between pictures, of the largest output: a network that answers all alike proves nothing. Deep ones vary least.
LEAST_VARIATION = 30 * TOLERANCE


def agree(ours: Any, theirs: Any, seen: np.ndarray, image: np.ndarray) -> None:
    wanted, got = theirs(seen, training=False).numpy(), ours(image, training=False).numpy()
    largest = np.abs(wanted).max()
    assert np.isfinite(wanted).all()
    assert wanted.std(axis=0).mean() > LEAST_VARIATION * largest, "the reference answers all pictures alike"
    np.testing.assert_allclose(got, wanted, rtol=0, atol=TOLERANCE * largest)


def compare(reference: Reference, folder: Path) -> None:
    """With the classifier and without, from a file with it and one without."""
    from zoo.keras import keras

    theirs, ours = reference.build(), reference.ours()
    body = reference.without_top(theirs)
    pixels = pictures(3, reference.resolution)
    seen, image = reference.preprocessed(pixels), pixels / np.float32(255)

    held = read_weights(saved(body, folder, "no_top")).tensors
    head = {layer.name: layer.get_weights() for layer in ours.layers if layer.name.startswith("head")}
    found = assign(ours, reference.weights, held, reference.settled, classifier=False)
    assert found.unused == ()
    assert set(found.fresh) == {layer.name for layer in ours.layers if layer.name.startswith("head") and layer.weights}
    agree(keras.Model(ours.input, last_map(ours)), body, seen, image)
    for name, before in head.items():
        assert all((one == other).all() for one, other in zip(ours.get_layer(name).get_weights(), before, strict=True))

    held = read_weights(saved(theirs, folder, "top")).tensors
    found = assign(ours, reference.weights, held, reference.settled, classifier=True)
    assert (found.unused, found.fresh) == ((), ())
    assert ours.count_params() - 6 <= theirs.count_params(), "nothing of ours may be left over"
    agree(ours, theirs, seen, image)
    same_in_any_layout(reference, held)


def same_in_any_layout(reference: Reference, held: dict[str, list[np.ndarray]]) -> None:
    """Old files are read in order and files of Keras 3 by class; both must give what the names give."""
    sketch = zoo.sketch(
        reference.family, width=reference.width, resolution=reference.resolution, classes=reference.classes,
        form="train", affine=True, **reference.options,
    )  # fmt: skip
    weights, settled = reference.weights, reference.settled
    wanted = arrange(weights, sketch, held, settled, classifier=True)
    renamed = {f"layer{number}": arrays for number, arrays in enumerate(held.values())}
    count: dict[str, int] = {}
    numbered = {}
    for pair, arrays in zip(weights.pairs(settled), held.values(), strict=True):
        name = KINDS[pair.kind]
        count[name] = count.get(name, -1) + 1
        numbered[f"{name}_{count[name]}" if count[name] else name] = arrays
    shuffled = dict(sorted(numbered.items()))
    for tensors, found_by in ((held, "name"), (renamed, "order"), (shuffled, "class")):
        for classifier in (True, False):
            got = arrange(weights, sketch, tensors, settled, classifier=classifier)
            assert got.found_by == found_by
            for name, arrays in got.values.items():
                assert all((one == other).all() for one, other in zip(arrays, wanted.values[name], strict=True)), name


@pytest.mark.parametrize("reference", others_slow(SMALLEST, SMALLEST[:5]), ids=label)
def test_outputs_equal_the_reference(reference: Reference, tmp_path: Path) -> None:
    compare(reference, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("reference", PUBLISHED, ids=label)
def test_outputs_equal_the_reference_at_every_published_design(reference: Reference, tmp_path: Path) -> None:
    compare(reference, tmp_path)
