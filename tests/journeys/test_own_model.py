"""A person's own model and own images: pruned to a target latency in the page, and again by the line the page shows."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect
from playwright.sync_api import TimeoutError as PlaywrightTimeout

from pipelines.runs import Home, Registry
from tests.journeys.conftest import ROOT, stop, until_done
from tests.pipelines.own import folder_of_digits, own_model

pytestmark = pytest.mark.journey

TRIES = 5
REMOVE = 0.4  # of the dense file's time


def test_own_model_meets_a_latency_from_the_page_and_by_the_line_it_shows(
    studio, page: Page, tmp_path: Path, capsys
) -> None:
    model, images = own_model(tmp_path / "mine.h5"), folder_of_digits(tmp_path / "images")
    page.goto(f"{studio.url}/build")
    page.get_by_test_id("stButtonGroup").get_by_text("My own model").click()
    page.get_by_test_id("stFileUploader").filter(has_text="Model file").locator("input").set_input_files(model)
    expect(page.get_by_text("16 x 16 grey to 4 classes")).to_be_visible()
    pick(page, "Images", "another folder or zip on this machine …")
    fill(page, "Data source", f"folder:{images}")
    expect(page.get_by_test_id("stCode").filter(has_text=f"folder:{images}").first).to_be_visible()
    take_away_all_steps(page)
    for place, step in enumerate(("Prune", "Export", "Measure"), 1):
        page.get_by_test_id("stMain").get_by_role("button", name=step, exact=True).click()
        expect(page.get_by_text(f"{place}. {step}", exact=True)).to_be_visible()
    pick(page, "Method", "Channels of small norm")
    pick(page, "Target", "latency")
    fill(page, "Remove (share)", f"{REMOVE}")
    expect(page.get_by_text("The cut is chosen by timing files")).to_be_visible()
    page.get_by_text("The same on the command line").click()
    line = page.get_by_test_id("stCode").filter(has_text="pipelines submit")
    expect(line).to_contain_text("target: latency")
    shown = line.inner_text()
    page.get_by_role("button", name="Start", exact=True).click()
    expect(page).to_have_url(re.compile("/runs"))

    in_the_page = the_cut(studio.home)
    assert "Traceback" not in studio.log.read_text()

    home = tmp_path / "other home"
    by_the_line(shown, home, tmp_path)
    try:
        on_the_command_line = the_cut(home)
    finally:
        stop(home)
    with capsys.disabled():
        for where, cut in (("page", in_the_page), ("command line", on_the_command_line)):
            print(f"\n{where}: {cut['left']:.2f} of the time, top-1 {cut['validation_top1_after']:.3f}", end="")
    for cut in (in_the_page, on_the_command_line):
        assert cut["left"] <= 1 - REMOVE
        assert cut["macs_after"] < cut["macs_before"]
        assert cut["validation_top1_after"] > 0.8


def pick(page: Page, label: str, choice: str) -> None:
    """Chooses from a select box as a person does, who tries again when a late rerun closed the list."""
    field = page.get_by_label(label, exact=True).first
    for _ in range(TRIES):
        field.fill("")
        field.fill(choice)
        try:
            page.get_by_role("option", name=choice, exact=True).click(timeout=5_000)
        except PlaywrightTimeout:
            continue
        expect(field).to_have_value(choice)
        return
    raise AssertionError(f"{label}: {choice} could not be chosen in {TRIES} tries")


def fill(page: Page, label: str, value: str) -> None:
    field = page.get_by_label(label, exact=True).first
    field.fill(value)
    field.press("Enter")


def take_away_all_steps(page: Page) -> None:
    buttons = page.get_by_role("button", name="Remove", exact=True)
    expect(buttons.first).to_be_visible()
    while count := buttons.count():
        buttons.first.click()
        expect(buttons).to_have_count(count - 1)


def by_the_line(shown: str, home: Path, folder: Path) -> None:
    """Runs the shown lines in a shell of their own, with `python` the one that has the product."""
    environment = {
        **os.environ, "LITESMITH_HOME": str(home), "PYTHONPATH": str(ROOT),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }  # fmt: skip
    command = ["bash", "-ec", shown]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]


def the_cut(home: Path) -> dict[str, Any]:
    """Waits for the home's only run and gives what its cut reports."""
    registry = Registry(Home.open(home))
    (run,) = registry.list()
    return dict(registry.steps(until_done(registry, run.id))[0].report)
