"""Server time of the studio's heavy pages: the explorer with every design drawn, and a slider move on Design.

Everything runs in a fresh process with an empty home and a warm server, the studio's frame included. Processor time of
the whole process is counted, searches for garbage included, so that other work on the machine does not count.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from tests.app.pages import complaints, field, studio

if TYPE_CHECKING:
    from streamlit.testing.v1 import AppTest

PROJECT = Path(__file__).parents[1]
FAMILIES = ("mobilenet_v2", "shufflenet_v2", "nasnet")
WIDTHS = (0.31, 0.47, 0.55, 0.63, 0.71, 0.83, 0.95)


def timed(page: AppTest) -> float:
    """Processor milliseconds of one rerun.

    Raises:
        RuntimeError: When the page shows an error.
    """
    begun = time.process_time()
    page.run()
    spent = time.process_time() - begun
    if found := complaints(page):
        raise RuntimeError(f"the page complains: {found}")
    return 1000 * spent


def measure(rounds: int) -> list[dict[str, Any]]:
    """The figures of this process."""
    studio("explore")  # warms the server: the grid is counted once per process
    page = studio("explore")
    found = {"explorer, all designs drawn": [timed(page) for _ in range(rounds)]}
    for name in FAMILIES:
        page = studio("design", name=name)
        moves = found[f"a slider move on Design, {name}"] = []
        for width in WIDTHS:
            field(page.slider, "design.slider").set_value(width)
            moves.append(timed(page))
    return [
        {"what": what, "median_ms": round(median(spent)), "slowest_ms": round(max(spent)), "runs": len(spent)}
        for what, spent in found.items()
    ]


def run(rounds: int = 7) -> dict[str, Any]:
    """Gives median and slowest processor milliseconds of each page."""
    with tempfile.TemporaryDirectory() as home:
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.studio", str(rounds)],
            cwd=PROJECT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True,
            env={**os.environ, "LITESMITH_HOME": home},
        )  # fmt: skip
    return {"what": "server time of the studio's pages, warm", "rows": json.loads(done.stdout)}


if __name__ == "__main__":
    print(json.dumps(measure(int(sys.argv[1]))))
