"""The command line as a person or a script meets it: real processes, one JSON document, the promised exit codes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.__main__ import main, parser
from pipelines.commands import COMMANDS
from pipelines.jobs import SupervisorLate
from pipelines.recipes import Recipe
from pipelines.runs import Home, Registry
from pipelines.start import record

PROJECT = Path(__file__).parents[2]


def call(*arguments, home=None):
    environment = {**os.environ, **({"LITESMITH_HOME": str(home)} if home else {})}
    return subprocess.run(
        [sys.executable, "-m", "pipelines", *arguments],
        cwd=PROJECT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )


def test_cost_gives_the_published_counts_without_tensorflow():
    """Counts of Keras' own MobileNetV2, see tests/zoo/golden."""
    code = (
        "import sys, json; from pipelines.__main__ import main; "
        "code = main(['cost','mobilenet_v2','--width','1.0','--resolution','224','--classes','1000','--json']); "
        "assert not {'tensorflow', 'tf_keras', 'keras'} & {name.split('.')[0] for name in sys.modules}; sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["params"], found["trainable_params"], found["macs"]) == (3_538_984, 3_504_872, 300_774_272)
    assert {"memory_access_bytes", "peak_activation_bytes", "layers"} <= set(found)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["cost", "mobilenet_v2", "--width", "0"], "width 0"),
        (["cost", "mobilenet_v2", "--resolution", "31.5"], "31.5"),
        (["cost", "mobilenet_v7"], "mobilenet_v2"),
        (["cost", "mobilenet_v2", "--channels", "2"], "channels"),
        (["cost", "mobilenet_v2", "--set", "drpout=0.1"], "dropout"),
        (["cost", "mobilenet_v2", "--set", "dropout"], "key=value"),
        *(([name, "mobilenet_v3", "--set", f"variant={value}"], f"{value!r} cannot be read")
          for name in ("cost", "lint") for value in ("[", "{small", '"')),
        (["cost", "mobilenet_v3", "--set", "variant=2026-13-01"], "variant '2026-13-01' is not offered"),
        (["cost", "mobilenet_v3", "--set", "variant=[small]"], "variant ['small'] is not offered"),
        (["cost", "mobilenet_v3", "--set", "variant={a: 1}"], "variant {'a': 1} is not offered"),
        (["cost", "mobilenet_v3", "--set", "variant=smal"], "did you mean small?"),
        (["cost", "mobilenet_v3", "--set", "variant=small", "--set", "variant=large"], "variant is given twice"),
        (["run", "digits_quick", "--set", "train.epochs=3", "--set", "train.epochs=3"], "train.epochs is given twice"),
        *(([name, "mobilenet_v3", "--set", f"{key}=64"], f"write --{key}; --set takes variant, dropout")
          for name in ("cost", "lint") for key in ("width", "resolution", "classes", "channels", "form")),
        (["cost", "mobilenet_v3", "--set", "name=64"], "unknown option of mobilenet_v3 'name'; choose one of variant"),
        *(([name, "condensenet", "--set", "affine=true"], "unknown option of condensenet 'affine'; choose one of")
          for name in ("cost", "lint")),
        (["cost", "nasnet", "--set", "cells=3.7"], "cells 3.7 is not a whole number from 0 to 20"),
        *((["cost", "mobilenet_v2", "--resolution", side], f"resolution {side!r}: write whole pixels")
          for side in ("", "²")),
        (["lint", "mobilenet_v2", "--resolution", ""], "resolution '': write whole pixels"),
        (["cots", "mobilenet_v2"], "did you mean cost"),
        (["cost"], "required: name"),
        (["cost", "mobilenet_v2", "--classes", "ten"], "invalid int value: 'ten'"),
        (["run", "digits_quik"], "digits_quick"),
        (["run", "digits_quick", "--set", "train.epoch=3"], "did you mean epochs"),
        (["run", "digits_quick", "--set", "nowhere.x=3"], "not a place in this recipe"),
        (["run", "digits_quick", "--set", "train.epochs=1:30"], "steps.1.train.epochs = '1:30'"),
        (["run", "digits_quick", "--set", "train.epochs=true"], "steps.1.train.epochs = True"),
        (["estimate", "digits_quick", "--set", "model.options.name=x"], "unknown option of mobilenet_v1 'name'"),
        (["submit", "digits_quick", "--set", "model.options={width: 2}"], "unknown option of mobilenet_v1 'width'"),
        (["show", "r99999"], "r99999"),
        (["runs", "--limit", "9" * 23], f"limit {'9' * 23} cannot be used; give a whole number from 1 to 1,000,000"),
        (["runs", "--limit", "-1"], "limit -1 cannot be used"),
        (["runs", "--limit", "0"], "limit 0 cannot be used"),
        (["runs", "--offset", "-1"], "offset -1 cannot be used; give a whole number from 0"),
        (["work", "r99999", "--attempt", "1"], "r99999"),
        (["zoo", "--js"], "unrecognized arguments: --js"),
        (["runs", "--lim", "3"], "unrecognized arguments: --lim"),
        (["data", "folder:/nowhere"], "/nowhere"),
        (["data", "digit"], "digits"),
        (["evaluate", "nothing.tflite", "--data", "digits"], "nothing.tflite"),
        (["compare", "r99999"], "r99999"),
        (["methods", "--kind", "magic"], "kinds: "),
    ],
)  # fmt: skip
@pytest.mark.parametrize("as_json", [False, True])
def test_mistakes_end_with_code_2_and_say_what_would_work(arguments, message, as_json, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("LITESMITH_HOME", str(tmp_path))
    assert main([*arguments, *(["--json"] if as_json else [])]) == 2
    out, err = capsys.readouterr()
    if as_json:
        document = json.loads(out)
        assert document["kind"] == "person"
        assert message in document["error"]
    else:
        assert out == ""
        assert message in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("data.source=digitz", "'digitz' is not a data source; did you mean digits?"),
        ("data.source=folder:/nope", "folder:/nope does not exist"),
        ("data.source=zip:/nope.zip", "zip:/nope.zip does not exist"),
        ("data.source='folder:'", "'folder:' lacks a path"),
        ("data.resolution=4000", "from 8 to 2048"),
    ],
)
@pytest.mark.parametrize("command", ["run", "submit"])
def test_what_a_recipe_names_must_be_here_before_a_run_is_recorded(
    command, change, message, tmp_path, monkeypatch, capsys
):
    monkeypatch.setenv("LITESMITH_HOME", str(tmp_path))
    assert main([command, "digits_quick", "--set", change]) == 2
    assert message in capsys.readouterr().err
    assert Registry(Home.open()).count() == 0


def test_a_start_file_must_be_here_before_a_run_is_recorded(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("LITESMITH_HOME", str(tmp_path))
    recipe = tmp_path / "mine.yaml"
    recipe.write_text("start: file:/nope.keras\nsteps: [train]\n")
    assert main(["submit", str(recipe)]) == 2
    assert "there is no file /nope.keras" in capsys.readouterr().err
    assert Registry(Home.open()).count() == 0


def test_a_clone_or_replay_needs_the_images_to_be_here_still(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("LITESMITH_HOME", str(tmp_path / "home"))
    images = tmp_path / "images"
    images.mkdir()
    registry = Registry(Home.open())
    recipe = Recipe.of({"data": {"source": f"folder:{images}"}, "model": {"width": 0.35}, "steps": ["train"]})
    run = record(registry, recipe, queue=False).runs[0]
    assert main(["clone", run]) == 0
    images.rmdir()
    capsys.readouterr()
    for command in ("clone", "replay"):
        assert main([command, run]) == 2
        assert f"data.source: folder:{images} does not exist" in capsys.readouterr().err
    assert registry.count() == 2


def test_an_attempt_that_nobody_claimed_is_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("LITESMITH_HOME", str(tmp_path))
    run = record(Registry(Home.open()), Recipe.of({"steps": ["train"]}), queue=False).runs[0]
    for attempt in ("0", "1", "9" * 23):
        assert main(["work", run, "--attempt", attempt]) == 2
        assert f"run {run} has no attempt {attempt}; the queue has claimed 0" in capsys.readouterr().err


@pytest.mark.parametrize("as_json", [False, True])
def test_submitting_while_the_supervisor_is_slow_gives_the_run_and_a_warning(as_json, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("LITESMITH_HOME", str(tmp_path))
    asked = []

    def late(home):
        asked.append(home)
        raise SupervisorLate("the supervisor did not start within 60 s")

    monkeypatch.setattr("pipelines.jobs.executor.ensure_supervisor", late)
    grid = ["--set", "grid.widths=[0.35, 0.5]"]
    assert main(["submit", "digits_quick", *grid, *(["--json"] if as_json else [])]) == 0
    out = capsys.readouterr().out
    assert ("r00001" in out, "r00002" in out, "did not start within 60 s" in out) == (True, True, True)
    assert len(asked) == 1, "one wait is enough for all"
    if as_json:
        document = json.loads(out)
        assert (document["run"], document["state"]) == ("r00001", "queued")
    assert Registry(Home.open()).count(state="queued") == 2
    for line in (["resume", "r00001"], ["clone", "r00001", "--start"]):
        assert main([*line, *(["--json"] if as_json else [])]) == 0
        assert "did not start within 60 s" in capsys.readouterr().out
    assert Registry(Home.open()).count(state="queued") == 3


def test_our_own_bug_ends_with_code_1_and_a_trace(monkeypatch, capsys):
    import dataclasses

    def broken(asked):
        raise KeyError("oops")

    monkeypatch.setitem(COMMANDS, "zoo", dataclasses.replace(COMMANDS["zoo"], run=broken))
    assert main(["zoo", "--json"]) == 1
    out, err = capsys.readouterr()
    assert json.loads(out)["kind"] == "bug"
    assert "Traceback" in err


def test_a_run_that_cannot_be_ends_with_its_sentence_and_the_trace_is_in_the_log(tmp_path):
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        "data: {source: digits, resolution: 8}\nmodel: {name: mobilenet_v1, width: 0.1}\n"
        "steps: [{train: {epochs: 500}}, {prune: {method: main_subsidiary}}]\n"
    )
    done = call("run", str(recipe), home=tmp_path / "home")
    assert done.returncode == 2
    assert "nothing was trained: the model has no layer with binary weights" in done.stdout
    assert "Traceback" not in done.stderr
    assert "INFO" not in done.stderr
    assert "Traceback" in Registry(Home.open(tmp_path / "home")).log("r00001")


@pytest.mark.parametrize("arguments", [["zoo"], ["methods"], ["data", "digits"], ["runs"]])
def test_json_is_exactly_one_document_on_stdout(arguments, tmp_path):
    done = call(*arguments, "--json", home=tmp_path)
    assert done.returncode == 0, done.stderr
    json.loads(done.stdout)
    assert call(*arguments, home=tmp_path).stdout.strip()


def test_methods_and_zoo_hold_what_a_form_needs(tmp_path):
    methods = json.loads(call("methods", "--json").stdout)["methods"]
    assert all({"name", "kind", "source", "removes_channels", "settings"} <= set(entry) for entry in methods)
    architectures = json.loads(call("zoo", "--json").stdout)["architectures"]
    assert all({"name", "source", "task", "options", "widths", "resolutions"} <= set(entry) for entry in architectures)
    igc = next(entry for entry in architectures if entry["name"] == "igc")
    assert (igc["width_is_extension"], igc["variant_widths"]) == (False, {"v1": [1.0]})
    assert (igc["minimum_side"], igc["variant_resolutions"]) == (8, {"v1": 32})


@pytest.mark.parametrize("arguments", [["--help"], ["compare", "--help"], ["compare", "-h"]])
def test_help_goes_to_stdout(arguments, capsys):
    assert main(arguments) == 0
    out, err = capsys.readouterr()
    assert out.startswith("usage: python -m pipelines")
    assert err == ""


def test_every_command_explains_itself():
    for name in COMMANDS:
        help_text = next(action for action in parser()._actions if action.dest == "command").choices[name].format_help()  # type: ignore[union-attr,index]
        assert COMMANDS[name].help in help_text
