"""Rules of the house that no other tool checks: nothing forgotten in a catalogue, nothing in the wrong room."""

from __future__ import annotations

import ast
import importlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

import zoo
from exports import FORMATS, LIMITS
from exports.writers import WRITERS
from pipelines.commands import COMMANDS
from pipelines.commands.command import Command
from pipelines.data import SOURCES
from pipelines.steps import STEPS
from pipelines.steps.step import Step

ROOT = Path(__file__).parents[1]
ROOMS = ("app", "pipelines", "exports", "zoo")
BUILT = {"build", "__pycache__"}
DOTTED = {".ci", ".streamlit"}  # what else begins with a dot is an environment, a cache or the history
MAY_PRINT = (
    "pipelines/__main__.py", "pipelines/commands/", "pipelines/probe.py", "pipelines/removal/forecast.py",
    "benchmarks/", "docs/generate.py", "exports/writers/time_files.py",  # it runs on a device that has no Litesmith
    "tests/journeys/",  # `make journey` runs with -s, so that a person can follow
)  # fmt: skip
HEAVY = ("tensorflow", "tf_keras", "keras", "tensorflow_model_optimization", "tf2onnx")
VAGUE = {"utils", "util", "helpers", "helper", "common", "misc"}


def tree() -> Iterator[Path]:
    """Every file of the project; not what was built, installed or cached."""
    for folder, folders, files in os.walk(ROOT):
        folders[:] = [name for name in folders if name in DOTTED or not (name in BUILT or name.startswith("."))]
        yield from (Path(folder) / name for name in files)


def python_files(*tops: str) -> list[Path]:
    return sorted(path for top in tops for path in (ROOT / top).rglob("*.py"))


def modules_in(folder: str) -> dict[str, ModuleType]:
    """The modules of a package's folder by name, without those below it."""
    package = folder.replace("/", ".")
    return {
        path.stem: importlib.import_module(f"{package}.{path.stem}")
        for path in sorted((ROOT / folder).glob("*.py"))
        if path.stem != "__init__"
    }


def instances(modules: dict[str, ModuleType], kind: type) -> list[object]:
    return [value for module in modules.values() for value in vars(module).values() if isinstance(value, kind)]


def same(found: list[object], listed: list[object]) -> bool:
    return {id(item) for item in found} == {id(item) for item in listed}


def test_every_file_of_architectures_is_in_the_catalogue() -> None:
    modules = modules_in("zoo/architectures")
    assert set(modules) == set(zoo.ARCHITECTURES)
    for name, module in modules.items():
        assert zoo.ARCHITECTURES[name] is module.ARCHITECTURE
        assert module.ARCHITECTURE.name == name


def test_every_command_is_in_the_catalogue() -> None:
    assert same(instances(modules_in("pipelines/commands"), Command), list(COMMANDS.values()))
    assert all(name == command.name for name, command in COMMANDS.items())


def test_every_step_is_in_the_catalogue() -> None:
    assert same(instances(modules_in("pipelines/steps"), Step), list(STEPS.values()))
    assert all(name == step.name for name, step in STEPS.items())


def test_every_data_source_is_in_the_catalogue() -> None:
    found = set()
    for path in python_files("pipelines/data"):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if not isinstance(node, ast.FunctionDef) or not node.name.startswith("open_"):
                continue
            if [argument.arg for argument in node.args.args] == ["argument", "cache"]:
                found.add(node.name)
    assert found == {source.open.__name__ for source in SOURCES.values()}
    assert found == {f"open_{name}" for name in SOURCES}


def test_every_format_has_a_writer_and_limits_and_every_writer_a_format() -> None:
    assert set(WRITERS) == set(FORMATS) - {"bundle", "c_array"}
    assert set(LIMITS) == set(WRITERS)
    no_writers = {"__init__", "source", "bundle", "c_array", "time_files", "android"}
    files = {path.stem for path in (ROOT / "exports/writers").glob("*.py")} - no_writers
    assert files == {writer.__module__.rpartition(".")[2] for writer in WRITERS.values()}


def test_every_screen_is_in_the_frame() -> None:
    listed = set(re.findall(r'st\.Page\("screens/(\w+)\.py"', (ROOT / "app/main.py").read_text(encoding="utf-8")))
    assert listed == {path.stem for path in (ROOT / "app/screens").glob("*.py")} - {"__init__"}


def test_no_module_has_a_vague_name() -> None:
    files = python_files(*ROOMS, "tests", "benchmarks", "docs")
    assert [str(path) for path in files if VAGUE & set(path.relative_to(ROOT).with_suffix("").parts)] == []


def test_only_the_command_line_prints() -> None:
    printing = []
    for path in python_files(*ROOMS, "benchmarks", "docs", "tests"):
        name = path.relative_to(ROOT).as_posix()
        if name.startswith(MAY_PRINT):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print":
                printing.append(f"{name}:{node.lineno}")
    assert printing == []


def test_importing_the_rooms_does_not_import_tensorflow() -> None:
    ours = ["zoo", "exports", "pipelines.recipes", "pipelines.compare", "pipelines.commands", "pipelines.__main__"]
    # main and the screens run when they are imported; tests/app opens those.
    stems = sorted(path.stem for path in (ROOT / "app").glob("*.py"))
    ours += [f"app.{stem}" for stem in stems if stem not in ("__init__", "main")]
    code = (
        "import importlib, sys\n"
        "for name in sys.argv[1:]:\n"
        "    importlib.import_module(name)\n"
        f"    heavy = sorted(set({HEAVY}) & set(sys.modules))\n"
        "    assert not heavy, f'{name} imports {heavy}'\n"
    )
    done = subprocess.run([sys.executable, "-c", code, *ours], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.parametrize("name", sorted(path.name for path in ROOT.glob("requirements*.txt")))
def test_every_requirement_is_pinned_with_a_hash(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    assert len(lines) > 20
    pinned = re.compile(r"[A-Za-z0-9._-]+(\[[a-z0-9,._-]+\])?==[^\s;]+( *;[^#]*?)?( +--hash=sha256:[0-9a-f]{64})+ *")
    assert [line[:80] for line in lines if not pinned.fullmatch(line)] == []


def test_no_file_speaks_of_a_place_outside_the_project() -> None:
    # Put together here, so that this file passes its own test.
    outside = [place.encode() for place in ("../" + "shared", "/" + "work/")]
    found = []
    for path in tree():
        if path.is_file() and any(place in path.read_bytes() for place in outside):
            found.append(path.relative_to(ROOT).as_posix())
    assert found == []


def test_the_licence_is_the_one_the_project_declares() -> None:
    assert "Apache License" in (ROOT / "LICENSE").read_text(encoding="utf-8")[:200]
    assert 'license = { text = "Apache-2.0" }' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")
