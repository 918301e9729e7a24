"""An int8 file that its gate refused: the page names the layer, tries remedies, and writes one that is taken."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from exports import save_model
from pipelines.jobs import LocalExecutor
from pipelines.recipes import Recipe
from pipelines.start import record
from tests.journeys.conftest import PATIENCE_S, until_done
from tests.pipelines.small import digits, planted

pytestmark = pytest.mark.journey

PATIENCE_MS = PATIENCE_S * 1000


@pytest.fixture
def refused(studio, tmp_path: Path) -> str:
    """A run whose model has four of twelve channels 4,096 times too large for one int8 scale."""
    save_model(planted(digits(tmp_path / "cache"), channels=4, factor=4096.0), tmp_path / "uneven.keras")
    recipe = Recipe.of({
        "name": "uneven",
        "start": f"file:{tmp_path / 'uneven.keras'}",
        "data": {"source": "digits", "resolution": 8},
        "steps": [{"export": {"formats": ["tflite_float32", "tflite_int8"]}}, {"measure": {"rounds": 8}}],
    })  # fmt: skip
    registry = studio.registry()
    (run,) = record(registry, recipe, queue=True).runs
    LocalExecutor(registry.home).submit(run)
    return until_done(registry, run)


def test_a_refused_int8_file_is_explained_and_replaced_by_one_that_passes(studio, page: Page, refused: str) -> None:
    page.goto(f"{studio.url}/export?run={refused}")
    expect(page.get_by_text(re.compile("refused$"))).to_be_visible()
    expect(page.get_by_text(re.compile("gate passed$"))).to_have_count(1)
    page.get_by_text("What int8 costs, layer by layer").first.click()
    page.get_by_role("button", name="Find the layers", exact=True).click()
    expect(page.get_by_text(re.compile("Wide activation range at .*conv1"))).to_be_visible(timeout=PATIENCE_MS)

    page.get_by_text("What would help int8", exact=True).last.click()
    page.get_by_role("button", name="Try remedies", exact=True).click()
    expect(page.get_by_text(re.compile(r"Plain int8 loses \d+\.\d+ points"))).to_be_visible(timeout=PATIENCE_MS)
    assert page.get_by_label("Take", exact=True).input_value().startswith("equalisation")
    page.get_by_role("button", name="Write this file", exact=True).click()

    registry = studio.registry()
    expect(page.get_by_text(re.compile("gate passed$"))).to_have_count(2, timeout=PATIENCE_MS)
    (written,) = [run.id for run in registry.list() if run.id != refused]
    (file,) = registry.artifacts(until_done(registry, written))
    whole = next(item for item in registry.artifacts(refused) if item.format == "tflite_float32")
    assert (file.format, file.passed) == ("tflite_int8", True), file.gate
    top1 = {score.artifact: score.top1 for score in registry.evaluations([file.id, whole.id], split="test")}
    assert top1[file.id] > top1[whole.id] - 0.03, top1
    assert "Traceback" not in studio.log.read_text()
