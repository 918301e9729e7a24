"""The manual against the code: what exists is described, what is described exists, what is linked is there."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import docs.generate as generate
import zoo
from exports import FORMATS
from pipelines.__main__ import parser
from pipelines.commands import COMMANDS
from pipelines.data import SOURCES
from pipelines.methods import METHODS
from pipelines.recipes import DataSettings, Grid, ModelSettings, Recipe, ready_made
from pipelines.settings import fields_of
from pipelines.steps import STEPS

ROOT = Path(__file__).parents[1]
TOP = [ROOT / name for name in ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md")]
MANUAL = sorted({*TOP, *(ROOT / "docs").rglob("*.md"), ROOT / "docs" / "results.md"})
NAMES = [path.relative_to(ROOT).as_posix() for path in MANUAL]
FENCE = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")

# Where a name must stand in backticks, and the names.
CATALOGUES = {
    "docs/commands.md": list(COMMANDS),
    "docs/methods.md": [*METHODS, *STEPS],
    "docs/formats.md": list(FORMATS),
    "docs/architectures.md": list(zoo.ARCHITECTURES),
    "docs/data.md": list(SOURCES),
    "docs/recipes.md": ready_made(),
}


def text_of(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def section(name: str, heading: str) -> str:
    """The text under a heading of the second level."""
    found = re.search(rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", text_of(name), re.DOTALL | re.MULTILINE)
    assert found, f"{name} has no section {heading}"
    return found[1]


def slugs(path: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    heads = re.findall(r"^#+ +(.+)$", FENCE.sub("", path.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).strip().replace(" ", "-") for head in heads}


def links(path: Path) -> list[str]:
    return [link for link in LINK.findall(FENCE.sub("", path.read_text(encoding="utf-8"))) if "://" not in link]


@pytest.mark.parametrize("page", CATALOGUES)
def test_everything_in_a_catalogue_is_in_the_manual(page: str) -> None:
    text = text_of(page)
    assert [name for name in CATALOGUES[page] if f"`{name}`" not in text] == []


@pytest.mark.parametrize("name", METHODS)
def test_every_setting_of_a_method_is_in_its_table(name: str) -> None:
    text = section("docs/methods.md", name)
    assert [field.name for field in fields_of(METHODS[name].settings) if f"| `{field.name}` |" not in text] == []


@pytest.mark.parametrize("name", [name for name, step in STEPS.items() if step.settings is not None])
def test_every_setting_of_a_step_is_in_its_table(name: str) -> None:
    text = section("docs/methods.md", f"{name} step")
    settings = STEPS[name].settings
    assert settings is not None
    assert [field.name for field in fields_of(settings) if f"| `{field.name}` |" not in text] == []


@pytest.mark.parametrize("name", zoo.ARCHITECTURES)
def test_every_option_of_an_architecture_is_in_its_table(name: str) -> None:
    text = section("docs/architectures.md", name)
    assert [item.name for item in zoo.ARCHITECTURES[name].options if f"| `{item.name}` |" not in text] == []


@pytest.mark.parametrize(
    ("page", "settings"),
    [("docs/data.md", DataSettings), ("docs/recipes.md", ModelSettings), ("docs/recipes.md", Grid)],
)
def test_every_setting_of_a_recipe_is_in_a_table(page: str, settings: type) -> None:
    text = text_of(page)
    assert [field.name for field in fields_of(settings) if f"| `{field.name}` |" not in text] == []


def test_every_part_of_a_recipe_is_named() -> None:
    text = text_of("docs/recipes.md")
    assert [name for name in Recipe.model_fields if f"`{name}`" not in text] == []


def test_generated_tables_are_up_to_date_in_any_terminal_and_without_tensorflow() -> None:
    code = (
        "import sys, docs.generate\n"
        "code = docs.generate.main(['--check'])\n"
        "heavy = {'tensorflow', 'tf_keras', 'keras', 'streamlit'} & set(sys.modules)\n"
        "sys.exit(f'imports {heavy}' if heavy else code)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT, capture_output=True, text=True, timeout=120,
        env={**os.environ, "COLUMNS": "37", "PYTHONHASHSEED": "7"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_check_names_the_file_that_is_out_of_date(tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(generate, "FOLDER", tmp_path)
    assert generate.main([]) == 0
    assert generate.main(["--check"]) == 0
    (tmp_path / "formats.md").write_text("old")
    assert generate.main(["--check"]) == 1
    said = capsys.readouterr().err
    assert "docs/formats.md" in said
    assert "methods.md" not in said


@pytest.mark.parametrize("name", NAMES)
def test_links_and_pictures_resolve(name: str) -> None:
    page = ROOT / name
    broken = []
    for link in links(page):
        file, _, anchor = link.partition("#")
        target = (page.parent / file).resolve() if file else page
        if not target.is_file() or (anchor and anchor not in slugs(target)):
            broken.append(link)
    assert broken == []


def test_every_page_of_the_manual_is_reached_from_the_readme() -> None:
    reached, waiting = set(), [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page in reached or page.suffix != ".md" or not page.is_file():
            continue
        reached.add(page)
        waiting += [(page.parent / link.partition("#")[0]).resolve() for link in links(page)]
    assert {path.relative_to(ROOT).as_posix() for path in MANUAL if path.is_file() and path not in reached} == set()


def test_every_make_verb_of_the_manual_exists() -> None:
    verbs = set(re.findall(r"^([a-z][a-z-]*):", text_of("Makefile"), re.MULTILINE))
    used = set()
    for page in TOP:
        text = page.read_text(encoding="utf-8")
        lines = re.findall(r"`make ([^`\n]+)`", text) + re.findall(r"^make ([^\n]+)$", text, re.MULTILINE)
        for line in lines:
            used |= {word for word in line.partition("#")[0].split() if "=" not in word}
    assert {"app", "test", "check", "docs"} <= used
    assert used - verbs == set()


def test_every_documented_verb_of_the_makefile_is_in_contributing_or_the_readme() -> None:
    verbs = set(re.findall(r"^([a-z][a-z-]*):.*## ", text_of("Makefile"), re.MULTILINE))
    text = text_of("CONTRIBUTING.md") + text_of("README.md")
    assert {verb for verb in verbs if not re.search(rf"\bmake ([a-z-]+ )*{verb}(?![a-z-])", text)} == set()


def test_command_lines_of_the_readme_are_accepted() -> None:
    lines = re.findall(r"^\.venv/bin/python -m pipelines (.+)$", text_of("README.md"), re.MULTILINE)
    assert len(lines) >= 3
    for line in lines:
        parser().parse_args(shlex.split(line, comments=True))


def test_commands_of_the_readme_table_exist() -> None:
    table = text_of("README.md").partition("| I want to")[2].partition("\n\n")[0]
    words = {cell.split()[0] for cell in re.findall(r"`([^`]+)`", table)} - {"make"}
    assert len(words) >= 10
    assert words - set(COMMANDS) == set()


def test_every_page_of_the_studio_is_in_the_readme_table() -> None:
    titles = re.findall(r'st\.Page\([^)]*title="([^"]+)"', text_of("app/main.py"))
    assert titles
    assert [title for title in titles if f"**{title}**" not in text_of("README.md")] == []


def test_every_environment_variable_is_in_the_readme_and_the_other_way_round() -> None:
    sources = [ROOT / "Makefile", ROOT / "Dockerfile", ROOT / ".ci" / "run"]
    for room in ("app", "pipelines", "exports", "zoo", "benchmarks"):
        sources += (ROOT / room).rglob("*.py")
    in_code = {name for path in sources for name in re.findall(r"LITESMITH_[A-Z_]+", path.read_text(encoding="utf-8"))}
    assert set(re.findall(r"^\| `(LITESMITH_[A-Z_]+)` \|", text_of("README.md"), re.MULTILINE)) == in_code


def test_the_changelog_begins_with_this_version() -> None:
    version = tomllib.loads(text_of("pyproject.toml"))["project"]["version"]
    assert re.findall(r"^## (\S+)", text_of("CHANGELOG.md"), re.MULTILINE)[0] == version
