"""Pages of the studio driven without a browser, for tests and benchmarks."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from streamlit.testing.v1 import AppTest

ROOT = Path(__file__).parents[2]


def screen(name: str, /, **query: str) -> AppTest:
    """One screen by itself after its first run, without the studio's frame around it."""
    return _run(f"screens/{name}.py", query)


def studio(name: str, /, **query: str) -> AppTest:
    """A screen inside the studio, from a cold start at its own address."""
    test = _run("main.py", query)
    return test if name == "start" else test.switch_page(f"screens/{name}.py").run()


def complaints(test: AppTest) -> list[str]:
    """Every exception and error that the page shows."""
    return [*(str(item.value) for item in test.exception), *(item.value for item in test.error)]


def field(items: Iterable[Any], key: str) -> Any:
    """The first of the widgets whose key ends so."""
    return next(item for item in items if str(item.key).endswith(key))


def _run(file: str, query: dict[str, str]) -> AppTest:
    test = AppTest.from_file(str(ROOT / "app" / file), default_timeout=120)
    for key, value in query.items():
        test.query_params[key] = value
    return test.run()
