"""Curves of sensitivity: what they start from, a layer known to be useless, the truly cut model."""

from __future__ import annotations

import json

import numpy as np
import pytest

from pipelines.__main__ import main
from pipelines.jobs import InlineExecutor
from pipelines.recipes import Recipe
from pipelines.removal.recalibrate import recalibrate
from pipelines.removal.remove import by_filter
from pipelines.removal.sensitivity import SensitivitySettings, sensitivity
from pipelines.runs import Home, Registry
from pipelines.start import record
from pipelines.training import session
from pipelines.training.loop import fit, scorer
from pipelines.training.settings import Fitting
from pipelines.training.watch import QuietWatch
from tests.pipelines.small import digits, network
from zoo.channel_graph import ChannelGraph
from zoo.cloning import clone
from zoo.cut import cut

STEM, FIRST, SECOND = "stem_conv", "stage1_1_pointwise_conv", "stage1_2_pointwise_conv"


@pytest.fixture(scope="module")
def all_digits(cache_folder):
    return digits(cache_folder, images=1000)


@pytest.fixture(scope="module")
def trained(all_digits):
    session.open_session(0)
    model = network()
    fit(model, all_digits, Fitting(epochs=8, batch=32, learning_rate=5e-3, shift=0.0), QuietWatch(), seed=0)
    return model


def l1(filters: np.ndarray) -> np.ndarray:
    return np.abs(filters).sum(axis=1)


def curve(document: dict, layer: str) -> dict[float, float]:
    return {row["share"]: row["validation_top1"] for row in document["rows"] if layer in row["layers"]}


def lowest(graph: ChannelGraph, layer: str, count: int) -> list[int]:
    worth = by_filter(graph, l1, folded=True)
    return sorted(graph.outputs_of(layer).tolist(), key=worth.__getitem__)[:count]


def test_every_group_has_a_curve_that_starts_at_the_accuracy_of_the_model(trained, all_digits) -> None:
    before = [value.copy() for value in trained.get_weights()]
    found = sensitivity(trained, all_digits, SensitivitySettings(step=0.3))
    assert all((one == other).all() for one, other in zip(before, trained.get_weights(), strict=True))
    wanted = scorer(trained)(all_digits.splits["validation"])[1]
    assert found["validation_top1"] == wanted
    for layer, channels in ((STEM, 16), (FIRST, 32), (SECOND, 32)):
        assert list(curve(found, layer)) == [0.0, 0.3, 0.6, 0.9]
        assert curve(found, layer)[0.0] == wanted
        assert curve(found, layer)[0.9] < wanted - 0.1
        kept = [row["kept"] for row in found["rows"] if layer in row["layers"]]
        assert kept == [channels - round(share * channels) for share in (0.0, 0.3, 0.6, 0.9)]


@pytest.mark.parametrize("batches", [0, 6])
def test_a_point_is_the_accuracy_of_the_cut_model(batches, trained, all_digits) -> None:
    found = sensitivity(trained, all_digits, SensitivitySettings(step=0.5, recalibration=batches), seed=4)
    for layer, count in ((STEM, 8), (SECOND, 16)):
        graph = ChannelGraph.of(trained)
        less = cut(graph, lowest(graph, layer, count))
        recalibrate(less, all_digits, Fitting(), batches=batches, seed=4)
        wanted = scorer(less)(all_digits.splits["validation"])[1]
        assert curve(found, layer)[0.5] == pytest.approx(wanted, abs=0.005)


def test_a_layer_half_of_which_nobody_reads_has_a_flat_curve_up_to_a_half(trained, all_digits) -> None:
    model = clone(trained)
    graph = ChannelGraph.of(model)
    ignored = np.isin(graph.outputs_of(FIRST), lowest(graph, FIRST, 16))
    kernel = model.get_layer(SECOND).kernel.numpy()
    kernel[:, :, ignored] = 0
    model.get_layer(SECOND).kernel.assign(kernel)
    found = sensitivity(model, all_digits, SensitivitySettings(step=0.1, skip="stem_*"))
    flat, other = curve(found, FIRST), curve(found, SECOND)
    assert len({flat[share] for share in (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)}) == 1
    assert flat[0.9] < flat[0.5] - 0.05
    assert len({other[share] for share in (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)}) > 1
    assert not curve(found, STEM)


def test_few_images_and_whole_models_without_channels_to_go(trained, all_digits) -> None:
    found = sensitivity(trained, all_digits, SensitivitySettings(step=0.9, images=7))
    assert found["validation_images"] == 7
    with pytest.raises(ValueError, match=r"all layers whose channels can go are skipped by '\*'"):
        sensitivity(trained, all_digits, SensitivitySettings(skip="*"))


def test_the_command_prints_the_curves_of_a_run(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setenv("LITESMITH_HOME", str(tmp_path))
    plan = {
        "name": "tiny",
        "data": {"source": "digits", "resolution": 8},
        "model": {"name": "mobilenet_v1", "width": 0.1},
        "steps": [{"train": {"epochs": 1}}],
    }
    home = Home.open()
    run = record(Registry(home), Recipe.of(plan), queue=False).runs[0]
    assert main(["sensitivity", run]) == 2
    assert "has no trained float model" in capsys.readouterr().err
    InlineExecutor(home).submit(run)
    asked = ["sensitivity", run, "--step", "0.9", "--images", "50", "--skip", "stage[2-9]_*"]
    assert main([*asked, "--json"]) == 0
    out, err = capsys.readouterr()
    document = json.loads(out)
    assert (document["run"], document["step"], document["validation_images"]) == (run, 1, 50)
    assert {row["share"] for row in document["rows"]} == {0.0, 0.9}
    assert "stem_conv" in err
    assert main(asked) == 0
    assert f"{document['validation_top1']:.3f}" in capsys.readouterr().out
    assert main(["sensitivity", run, "--step", "0"]) == 2
    assert "sensitivity.step = 0" in capsys.readouterr().err
    assert len(Registry(home).steps(run)) == 1
