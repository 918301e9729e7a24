"""Every page opens, says what to do when there is nothing, and never brings TensorFlow into the studio's process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from pipelines.jobs import LocalExecutor
from pipelines.methods import METHODS
from pipelines.recipes import DataSettings, Recipe
from pipelines.runs import Home, Registry
from pipelines.steps import STEPS, settings_of
from tests.app.pages import complaints, field, studio

ROOT = Path(__file__).parents[2]
SCREENS = sorted(path.stem for path in (ROOT / "app" / "screens").glob("*.py"))
SETTINGS = {
    "data": DataSettings,
    **{f"{name}": settings_of(name) for name, step in STEPS.items() if step.settings is not None},
    **{
        f"{method.kind}.{name}": settings_of(method.kind, name)
        for name, method in METHODS.items()
        if method.kind in STEPS
    },
}


@pytest.fixture(autouse=True)
def _nobody_works_the_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    """These tests look at pages; a supervisor would train in the background and outlive them."""
    monkeypatch.setattr("app.workspace.ensure_supervisor", lambda home: None)
    monkeypatch.setattr("pipelines.jobs.ensure_supervisor", lambda home: None)
    monkeypatch.setattr("pipelines.jobs.executor.ensure_supervisor", lambda home: None)


def runs(home: Path) -> Registry:
    return Registry(Home.open(home))


@pytest.mark.parametrize("screen", SCREENS)
def test_page_opens_on_an_empty_home(screen: str, empty_home: Path) -> None:
    test = studio(screen)
    assert complaints(test) == []
    assert test.title[0].value


@pytest.mark.parametrize("screen", SCREENS)
def test_page_opens_with_a_finished_run(screen: str, home_with_run: Path) -> None:
    test = studio(screen, run="r00001", of="r00001")
    assert complaints(test) == []


@pytest.mark.parametrize("screen", ["runs", "compare", "try_it", "export"])
def test_an_empty_page_leads_on(screen: str, empty_home: Path) -> None:
    test = studio(screen)
    assert any("No run" in item.value or "Nothing" in item.value or "No file" in item.value for item in test.info)


def test_every_page_shows_its_command_line(home_with_run: Path) -> None:
    for screen in SCREENS:
        test = studio(screen, run="r00001")
        assert any("python -m pipelines" in item.value for item in test.code), screen


def test_no_page_imports_tensorflow(made_home: Path) -> None:
    script = (
        "import sys\n"
        "from streamlit.testing.v1 import AppTest\n"
        "for screen in sys.argv[1:]:\n"
        "    test = AppTest.from_file('app/main.py', default_timeout=120)\n"
        "    test.query_params['run'] = 'r00001'\n"
        "    test.run()\n"
        "    if screen != 'start': test.switch_page(f'screens/{screen}.py').run()\n"
        "    assert not test.exception, (screen, test.exception)\n"
        "    assert not test.error, (screen, [item.value for item in test.error])\n"
        "    known = {'tensorflow', 'tf_keras', 'keras', 'tf2onnx', 'tensorflow_model_optimization'}\n"
        "    heavy = known & set(sys.modules)\n"
        "    assert not heavy, (screen, heavy)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *SCREENS],
        cwd=ROOT, capture_output=True, text=True, timeout=600,
        env={**os.environ, "LITESMITH_HOME": str(made_home), "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.parametrize("name", SETTINGS)
def test_every_settings_class_makes_a_form(name: str) -> None:
    kind = SETTINGS[name]

    def page(name: str, kind: type) -> None:
        import streamlit as st

        from app.forms import settings_form

        filled = settings_form(kind, {}, name)
        st.session_state["filled"] = filled

    test = AppTest.from_function(page, kwargs={"name": name, "kind": kind}, default_timeout=60).run()
    assert not test.exception
    filled = test.session_state["filled"]
    assert set(filled.values) == set(kind.model_fields) - {"method"}
    assert filled.mistakes == {}
    assert kind.model_validate(filled.values).model_dump(exclude={"method"}) == kind().model_dump(exclude={"method"})


def test_a_wrong_value_shows_its_reason_and_stays(empty_home: Path) -> None:
    def page() -> None:
        import streamlit as st

        from app.forms import settings_form
        from pipelines.steps import settings_of

        st.session_state["filled"] = settings_form(settings_of("train"), {"epochs": 7}, "form")

    test = AppTest.from_function(page, default_timeout=60).run()
    rate = next(item for item in test.number_input if item.key == "form.learning_rate")
    rate.set_value(-1.0).run()
    assert "-1.0" in test.error[0].value
    assert next(item for item in test.number_input if item.key == "form.learning_rate").value == -1.0
    assert test.session_state["filled"].values["epochs"] == 7


def test_design_reads_its_address_and_says_what_is_wrong_with_it(empty_home: Path) -> None:
    test = AppTest.from_file(str(ROOT / "app" / "screens" / "design.py"), default_timeout=60)
    for key, value in {
        "name": "mobilenet_v1",
        "width": "0.25",
        "resolution": "128",
        "classes": "7",
        "channels": "1",
    }.items():
        test.query_params[key] = value
    test.run()
    assert complaints(test) == []
    assert next(item for item in test.number_input if item.key == "design.width").value == 0.25
    assert next(item for item in test.text_input if item.key == "design.resolution").value == "128"

    wrong = AppTest.from_file(str(ROOT / "app" / "screens" / "design.py"), default_timeout=60)
    wrong.query_params["name"] = "mobilenet_v9"
    wrong.run()
    assert not wrong.exception
    assert "mobilenet_v2" in wrong.error[0].value


@pytest.mark.parametrize(("key", "value"), [("design.width", 0.0), ("design.resolution", "31.5")])
def test_design_refuses_what_cannot_be_and_keeps_it_typed(key: str, value: object, empty_home: Path) -> None:
    test = studio("design")
    field = next(item for item in [*test.number_input, *test.text_input] if item.key == key)
    field.set_value(value).run()
    assert not test.exception
    assert len(test.error) == 1
    assert next(item for item in [*test.number_input, *test.text_input] if item.key == key).value == value


def test_build_adds_moves_removes_and_undoes_steps(empty_home: Path) -> None:
    test = studio("build")

    def steps() -> list[str]:
        return [step["step"] for step in test.session_state["draft"].values["steps"]]

    assert steps() == ["train", "export", "measure"]
    field(test.button, "build.add.prune").click().run()
    assert steps() == ["train", "prune", "export", "measure"]
    assert complaints(test) == []
    draft = test.session_state["draft"]
    prune = next(step["uid"] for step in draft.values["steps"] if step["step"] == "prune")
    field(test.button, f"build.{draft.version}.{prune}.up").click().run()
    assert steps() == ["prune", "train", "export", "measure"]
    field(test.button, "build.undo").click().run()
    assert steps() == ["train", "prune", "export", "measure"]
    field(test.button, f"build.{test.session_state['draft'].version}.{prune}.remove").click().run()
    assert steps() == ["train", "export", "measure"]


def test_another_method_begins_at_its_own_defaults_and_keeps_what_was_changed(empty_home: Path) -> None:
    test = studio("build")
    field(test.button, "build.add.quantise").click().run()

    def value(name: str) -> object:
        return field(test.number_input, name).value

    field(test.number_input, "int8_aware.batch").set_value(32).run()
    next(item for item in test.selectbox if item.value == "int8_aware").set_value("binary").run()
    defaults = METHODS["binary"].settings()
    assert METHODS["int8_aware"].settings().learning_rate != defaults.learning_rate
    assert (value("binary.learning_rate"), value("binary.epochs")) == (defaults.learning_rate, defaults.epochs)
    assert value("binary.batch") == 32


def test_build_queues_the_runs_of_a_grid(empty_home: Path) -> None:
    test = studio("build")
    version = test.session_state["draft"].version
    next(item for item in test.text_input if item.key == f"build.{version}.grid.widths").set_value("0.35, 0.5").run()
    assert field(test.button, "build.start").label == "Start 2 runs"
    field(test.button, "build.start").click().run()
    assert complaints(test) == []
    queued = runs(empty_home).list(state="queued")
    assert sorted(run.recipe["model"]["width"] for run in queued) == [0.35, 0.5]
    assert len({run.group for run in queued}) == 1


def test_build_says_what_is_wrong_with_a_plan(empty_home: Path) -> None:
    test = studio("build")
    version = test.session_state["draft"].version
    next(item for item in test.text_input if item.key == f"build.{version}.data.resolution").set_value("31.5").run()
    assert not test.exception
    assert any("31.5" in item.value for item in test.error)
    assert not any(item.key == "build.start" for item in test.button)


def test_build_offers_published_weights_and_says_what_they_need(empty_home: Path) -> None:
    test = studio("build")
    key = f"build.{test.session_state['draft'].version}"
    next(item for item in test.text_input if item.key == f"{key}.model.weights.weights").set_value("imagenet").run()
    assert any("set data.channels to 3" in item.value for item in test.error)
    next(item for item in test.selectbox if item.key == f"{key}.data.channels").set_value(3).run()
    next(item for item in test.selectbox if item.key == f"{key}.model.weights.frozen").set_value("backbone").run()
    assert complaints(test) == []
    model = test.session_state["draft"].recipe().model
    assert (model.weights, model.classifier, model.frozen) == ("imagenet", False, "backbone")


def test_a_plan_survives_in_the_address_of_its_page(empty_home: Path) -> None:
    from app.draft import from_link, link_of

    recipe = Recipe.load("digits_demo")
    assert from_link(link_of(recipe)) == recipe
    with pytest.raises(ValueError, match="cannot be read"):
        from_link("not-a-recipe")


def test_starting_the_demo_twice_gives_one_run(empty_home: Path) -> None:
    test = studio("start")
    field(test.button, "start.demo").click().run()
    again = studio("start")
    field(again.button, "start.demo").click().run()
    assert complaints(test) == complaints(again) == []
    assert runs(empty_home).count() == 1


def test_a_run_is_cancelled_resumed_and_deleted_with_undo(empty_home: Path) -> None:
    registry = runs(empty_home)
    recipe = Recipe.load("digits_quick")
    run = registry.create(recipe.as_dict(), name="to be cancelled", seed=0)
    test = studio("runs", run=run)
    field(test.button, "runs.cancel").click().run()
    assert registry.get(run).state == "cancelled"
    field(test.button, "runs.resume").click().run()
    assert registry.get(run).state == "queued"
    LocalExecutor(registry.home).cancel(run)
    test.run()
    field(test.button, "runs.delete").click().run()
    assert registry.count() == 0
    field(test.button, "runs.undo").click().run()
    assert registry.count() == 1
    assert complaints(test) == []


def test_a_bug_shows_a_number_and_no_trace(empty_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise KeyError("secret detail of ours")

    monkeypatch.setattr("app.draft.first_recipe", broken)
    test = studio("build")
    assert not test.exception
    assert "our bug" in test.error[0].value
    assert "secret" not in test.error[0].value
    assert "secret detail of ours" in (empty_home / "logs" / "studio.log").read_text()


def test_predicted_int8_bytes_are_near_the_written_file(home_with_run: Path) -> None:
    import zoo

    (item,) = [item for item in runs(home_with_run).artifacts("r00001") if item.format == "tflite_int8"]
    sketch = zoo.sketch("mobilenet_v1", width=0.1, resolution=8, classes=10, channels=1)
    assert zoo.predicted_int8_bytes(sketch) == pytest.approx(item.bytes, rel=0.03)
