"""What criteria choose is cut like any other choice, and whatever is cut becomes an int8 file that the gate passes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import zoo
from exports import gate, save_model, write_many
from pipelines.data import open_dataset
from pipelines.methods.channel_norm import l1
from pipelines.removal import scales
from pipelines.removal.choose import Ladder, groups_of
from pipelines.removal.remove import by_filter
from pipelines.training import session
from pipelines.training.loop import fit, predictor
from pipelines.training.settings import Fitting
from pipelines.training.watch import QuietWatch
from tests.exports.test_zoo_files import files_agree
from tests.zoo.designs import NAMES, small
from tests.zoo.handmade import choose as any_units
from tests.zoo.handmade import spared
from tests.zoo.test_cut import IMPORTED, SHARES, cut_equals_masked, lively
from zoo import layers
from zoo.blocks.convolution import conv_norm, depthwise_norm
from zoo.channel_graph import ChannelGraph
from zoo.cut import cut

# The converter remarks that an int8 input has no statistics of its own; the calibration images give them.
pytestmark = pytest.mark.filterwarnings("ignore:Statistics for quantized inputs:UserWarning")

LEARNING: dict[str, Any] = {"batch": 32, "learning_rate": 5e-3, "shift": 0.0}
CRITERIA: dict[str, tuple[Callable[[ChannelGraph], dict[int, float]], str, bool]] = {
    "norms, in every layer": (lambda graph: by_filter(graph, l1, True), "layer", False),
    "scales, over all layers": (scales.score, "global", True),
}


def chosen(graph: ChannelGraph, criterion: str, share: float) -> list[int]:
    """The units that a method of this criterion removes so that `share` of the channels that may go does."""
    score, scope, raw = CRITERIA[criterion]
    groups = groups_of(graph, score(graph), least=1, multiple=1)
    return Ladder(graph, groups, scope, raw).units(share)


def network_of(name: str) -> Any:
    """A small design of the family whose norms have seen images, in the form that is deployed."""
    from zoo.keras import keras

    keras.utils.set_random_seed(11)
    wider = {"width": 0.5} if name == "condensenet" else {}  # narrower ones have no channel to spare
    model = lively(zoo.build(name, **small(name, **wider), form="deploy"))
    for layer in model.layers:
        if type(layer).__name__ == "BatchNormalization" and layer.scale:
            layer.gamma.assign(np.random.default_rng(len(layer.name)).uniform(0.2, 2, layer.gamma.shape))
    return lively(model)


@pytest.fixture
def double() -> Iterator[None]:
    """Networks are built in float64: a sum in another order, deep in a network without training, is no difference."""
    from zoo.keras import keras

    keras.backend.set_floatx("float64")
    yield
    keras.backend.set_floatx("float32")


@pytest.mark.slow
@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("criterion", CRITERIA)
@pytest.mark.parametrize("name", NAMES)
def test_what_a_criterion_chooses_answers_like_the_masked_network(name, criterion):
    graph = ChannelGraph.of(network_of(name))
    if criterion.startswith("scales") and not scales.scales_of(graph):
        pytest.skip("it has no norms")
    cuts = [removed for share in SHARES if (removed := chosen(graph, criterion, share))]
    assert cuts or criterion.startswith("scales")  # few scales over all layers may leave a layer nothing to spare
    for removed in cuts:
        cut_equals_masked(graph, removed)


@pytest.mark.skipif(not IMPORTED.exists(), reason="the imported network is not on this machine")
@pytest.mark.parametrize("criterion", CRITERIA)
def test_so_does_a_network_from_elsewhere(criterion):
    from zoo.keras import keras

    graph = ChannelGraph.of(keras.models.load_model(IMPORTED, compile=False))
    for share in SHARES:
        cut_equals_masked(graph, chosen(graph, criterion, share))


def mixed() -> Any:
    """All that ties channels together, at 8 pixels: a gate, a sum, a concatenation, a depthwise convolution."""
    from zoo.keras import keras

    keras.utils.set_random_seed(0)
    image = keras.Input((8, 8, 1), name="image")
    x = conv_norm(image, 16, 3, name="stem", activation="relu")
    seen = layers.global_pool(x, name="se_pool", keep_map=True)
    seen = layers.relu(layers.conv(seen, 8, name="se_reduce", bias=True), name="se_relu")
    weights = layers.sigmoid(layers.conv(seen, 16, name="se_expand", bias=True), name="se_sigmoid")
    branch = conv_norm(x, 16, 3, name="branch", activation="relu")
    x = layers.add([layers.gate(x, weights, name="se_gate"), branch], name="sum")
    x = layers.concat([x, conv_norm(x, 8, 3, name="beside", activation="relu")], name="join")
    x = depthwise_norm(x, name="depthwise", activation="relu")
    x = conv_norm(x, 32, 3, name="last", activation="relu")
    return keras.Model(image, layers.dense(layers.global_pool(x, name="head_pool"), 10, name="logits"))


def cifar20() -> Any:
    return zoo.build("resnet", variant="cifar20", width=0.5, resolution=8, classes=10, channels=1)


TRAINED: dict[str, ChannelGraph] = {}


def trained(name: str, data: Any) -> ChannelGraph:
    """The graph of a network that has learnt the digits, made once for all examples."""
    if name not in TRAINED:
        session.open_session(0)
        model = mixed() if name == "mixed" else cifar20()
        fit(model, data, Fitting(epochs=8, **LEARNING), QuietWatch(), seed=0)
        TRAINED[name] = ChannelGraph.of(model)
    return TRAINED[name]


@pytest.mark.slow
@given(name=st.sampled_from(["mixed", "resnet"]), data=st.data())
@settings(max_examples=16, deadline=None, suppress_health_check=list(HealthCheck))
def test_any_cut_becomes_an_int8_file_that_passes(name, data, cache_folder, tmp_path_factory):
    images = open_dataset("digits", resolution=8, cache=cache_folder)
    graph = trained(name, images)
    removed = set(data.draw(st.sets(st.sampled_from(graph.free.tolist()))))
    less = cut(graph, spared(graph, removed, np.random.default_rng(0)))
    fit(less, images, Fitting(epochs=4, **LEARNING), QuietWatch(), seed=0)
    folder = tmp_path_factory.mktemp("cut")
    save_model(less, folder / "model.keras")
    written = write_many(folder / "model.keras", ["tflite_int8"], folder, name="cut", labels=images.classes,
                         calibration=images.splits["train"].images[:256])  # fmt: skip
    assert not written.failures
    (file,) = written.artifacts
    seen = images.splits["validation"]
    report = gate(file.path, file.contract, seen.images, predictor(less)(seen.images), seen.labels)
    assert report.passed, report.cause


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_cut_of_every_family_becomes_every_file(name, tmp_path):
    graph = ChannelGraph.of(network_of(name))
    seed = NAMES.index(name)
    # Without norms an untrained network dies of large cuts, and every file of it says the same.
    share = SHARES[seed % len(SHARES)] if scales.scales_of(graph) else SHARES[0]
    files_agree(lively(cut(graph, any_units(graph, share, seed=seed))), tmp_path)
