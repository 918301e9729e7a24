"""Estimates from earlier runs: scaled where work grows, silent where nothing is comparable."""

from __future__ import annotations

import pytest
from sqlalchemy import update

from pipelines.jobs.queue import Queue
from pipelines.runs.estimate import estimate
from pipelines.runs.tables import StepRow

from .conftest import RECIPE


@pytest.fixture
def trained(home, start):
    def run(seconds, epochs=2):
        handle = start()
        handle.step_started(0, "train", {"epochs": epochs, "method": "supervised"})
        handle.step_finished(0, {})
        place = (StepRow.run_id == handle.id, StepRow.step_index == 0)
        values = {"seconds": seconds, "memory_bytes": 10**9}
        home.database.write(lambda session: session.execute(update(StepRow).where(*place).values(**values)))
        Queue(home).finish(handle.id, handle.attempt)
        return handle.id

    return run


def changed(part, **values):
    return {**RECIPE, part: {**RECIPE[part], **values}}


def test_nothing_is_said_without_a_comparable_run(registry, trained):
    assert estimate(registry, RECIPE) is None
    trained(10.0)
    assert estimate(registry, changed("model", name="shufflenet_v2")) is None
    assert estimate(registry, changed("data", source="fashion_mnist")) is None
    assert estimate(registry, changed("data", resolution=None)) is None
    assert estimate(registry, {**RECIPE, "steps": [{"train": {"epochs": 2}}, {"prune": {}}]}) is None
    assert estimate(registry, {**RECIPE, "steps": [{"train": {"method": "hinton"}}]}) is None


def test_the_median_counts_and_the_range_is_told(registry, trained):
    ids = [trained(seconds) for seconds in (10.0, 12.0, 30.0)]
    found = estimate(registry, RECIPE)
    assert (found.seconds, found.low_s, found.high_s) == (12.0, 10.0, 30.0)
    assert found.memory_bytes == 10**9
    assert found.as_dict()["based_on"] == ids


@pytest.mark.parametrize(
    ("recipe", "factor"),
    [
        ({**RECIPE, "steps": [{"train": {"epochs": 6}}]}, 3.0),
        (changed("model", width=1.0), 4.0),
        (changed("data", resolution=32), 4.0),
        (changed("data", resolution=[16, 32]), 2.0),
        (changed("data", test=0.4), 0.75),
    ],
)
def test_training_time_grows_with_epochs_images_and_macs(registry, trained, recipe, factor):
    trained(10.0)
    assert estimate(registry, recipe).seconds == pytest.approx(10.0 * factor)


def test_shares_left_open_are_the_usual_ones(registry, trained):
    trained(10.0)
    assert estimate(registry, changed("data", test=None, validation=None)).seconds == pytest.approx(10.0)


def test_counted_macs_take_the_place_of_the_rule(registry, trained):
    trained(10.0)
    found = estimate(registry, changed("model", width=1.0), macs_of=lambda recipe: 100 + 100 * recipe["model"]["width"])
    assert found.seconds == pytest.approx(10.0 * 200 / 150)
