"""What users of other tools lost: progress at a refresh, the second tab, a cancelled run, the page at a bad upload."""

from __future__ import annotations

import re
import time
import zipfile
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from pipelines.jobs import LocalExecutor
from pipelines.recipes import Recipe

pytestmark = pytest.mark.journey

LONG = {
    "name": "long training",
    "data": {"source": "digits", "resolution": 16},
    "model": {"name": "mobilenet_v1", "width": 0.25},
    "steps": [{"train": {"epochs": 2000}}, {"export": {}}],
}
PATIENCE_MS = 240_000


@pytest.fixture
def long_run(studio) -> str:
    """A run that is still training when the test is over."""
    registry = studio.registry()
    recipe = Recipe.of(LONG)
    run = registry.create(recipe.as_dict(), name=recipe.name, seed=0, sha256=recipe.sha256)
    LocalExecutor(registry.home).submit(run)
    return run


def epoch_on(page: Page) -> int:
    """The epoch in the progress line."""
    line = page.get_by_text(re.compile(r"train: epoch \d+ of 2000")).first
    expect(line).to_be_visible(timeout=PATIENCE_MS)
    found = re.search(r"epoch (\d+) of", line.inner_text())
    assert found
    return int(found.group(1))


def test_progress_survives_a_refresh_and_shows_in_a_second_tab(studio, page: Page, long_run: str) -> None:
    page.goto(f"{studio.url}/runs?run={long_run}")
    before = epoch_on(page)
    page.reload()
    assert epoch_on(page) >= before
    second = page.context.new_page()
    second.goto(f"{studio.url}/runs?run={long_run}")
    assert epoch_on(second) >= before
    expect(page.get_by_text("Top-1 accuracy by epoch").first).to_be_visible(timeout=PATIENCE_MS)
    assert "Traceback" not in studio.log.read_text()


def test_a_run_is_cancelled_and_resumed_in_the_page(studio, page: Page, long_run: str) -> None:
    registry = studio.registry()
    page.goto(f"{studio.url}/runs?run={long_run}")
    epoch_on(page)
    time.sleep(12)  # a checkpoint is written every ten seconds
    page.get_by_role("button", name="Cancel", exact=True).click()
    resume = page.get_by_role("button", name="Resume", exact=True)
    expect(resume).to_be_visible(timeout=PATIENCE_MS)
    assert registry.get(long_run).state == "cancelled"
    done = max(metric.x for metric in registry.metrics(long_run))
    resume.click()
    expect(page.get_by_role("button", name="Cancel", exact=True)).to_be_visible(timeout=PATIENCE_MS)
    assert epoch_on(page) > 1
    assert registry.get(long_run).attempt == 2
    assert "resumed after epoch" in registry.log(long_run)
    assert max(metric.x for metric in registry.metrics(long_run)) >= done


def test_a_bad_upload_is_an_error_in_words_and_the_page_goes_on(studio, page: Page, tmp_path: Path) -> None:
    no_zip = tmp_path / "holiday.zip"
    no_zip.write_text("this is not a zip")
    slip = tmp_path / "slip.zip"
    with zipfile.ZipFile(slip, "w") as file:
        file.writestr("../../evil/a.png", b"not a picture")
    one_class = tmp_path / "one_class.zip"
    with zipfile.ZipFile(one_class, "w") as file:
        file.writestr("cats/a.jpg", b"this is text")
    page.goto(studio.url)
    expect(page.get_by_role("button", name="Make an int8 file from the demo set")).to_be_visible()
    for bad in (no_zip, slip, one_class):
        page.locator("input[type=file]").first.set_input_files(bad)
        expect(page.get_by_test_id("stAlertContentError").first).to_be_visible(timeout=PATIENCE_MS)
        assert "bug" not in page.get_by_test_id("stAlertContentError").first.inner_text()
        expect(page.get_by_text("Traceback")).to_have_count(0)
        page.reload()
        expect(page.get_by_role("button", name="Make an int8 file from the demo set")).to_be_visible()
    assert not list(tmp_path.rglob("evil"))
    assert "Traceback" not in studio.log.read_text()


def test_a_design_travels_in_its_address(studio, page: Page) -> None:
    page.goto(f"{studio.url}/design?name=shufflenet_v2&width=1.5&resolution=128&classes=7&channels=1")
    expect(page.get_by_text("ShuffleNetV2 x 1.5 at 128 px, 7 classes").first).to_be_visible()
    page.get_by_label("Classes", exact=True).fill("12")
    page.get_by_label("Classes", exact=True).press("Enter")
    expect(page).to_have_url(re.compile("classes=12"))
    other = page.context.browser.new_context().new_page()
    other.goto(page.url)
    expect(other.get_by_label("Classes", exact=True)).to_have_value("12")
    expect(other.get_by_label("Width, exactly")).to_have_value("1.5")
    expect(other.get_by_text("Page not found")).to_have_count(0)
    other.context.close()
