"""A finished file from elsewhere is read, measured and compared from the page."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

from pipelines.runs import Home, Registry
from tests.app.pages import complaints, field, screen

PATIENCE_S = 300


def test_a_file_is_measured_on_the_images_of_a_run_and_stands_beside_it(home_with_run: Path, tmp_path: Path) -> None:
    home = Home.open(home_with_run)
    registry = Registry(home)
    (run,) = registry.list()
    item = next(one for one in registry.artifacts(run.id) if one.format == "tflite_float32")
    finished = tmp_path / "sent_by_mail.tflite"
    shutil.copyfile(home.store.path_of(item.sha256), finished)
    test = screen("compare")
    field(test.text_input, "compare.adopt.path").set_value(str(finished)).run()
    assert not complaints(test)
    assert any("TFLite float32" in one.value and "10 classes" in one.value for one in test.success)
    assert any("adopt:" in one.value for one in test.code)
    field(test.button, "compare.adopt.go").click().run()
    end = time.monotonic() + PATIENCE_S
    while len(field(test.multiselect, "compare.runs").value) < 2:
        assert time.monotonic() < end
        assert not complaints(test)
        time.sleep(1)
        test.run()
    assert not complaints(test)
    new = next(one for one in registry.list() if one.id != run.id)
    assert new.state == "done"
    assert any("From elsewhere: sent_by_mail.tflite" in one.value for one in test.markdown)


def test_what_cannot_be_read_is_said(home_with_run: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.tflite"
    broken.write_bytes(b"nothing of the kind")
    test = screen("compare")
    field(test.text_input, "compare.adopt.path").set_value(str(broken)).run()
    assert any("broken.tflite cannot be read" in one for one in complaints(test))
    assert len(Registry(Home.open(home_with_run)).list()) == 1
