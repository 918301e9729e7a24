"""The agent that chooses bits beside chance and the greedy choice, on the measured layers of a trained network.

The network is one of `benchmarks.int8_zoo`; five seeds, two budgets. All three choose among the same bits, and their
noise is the sum of what the layers were measured to bring. The command goes on where it was stopped.
"""

from __future__ import annotations

import sys
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from benchmarks import int8_zoo
from benchmarks.cells import Cell, command
from exports.statistics import mean_interval

FOLDER = Path("build/haq_table")
NETWORK = "mobilenet_v2"
SEEDS = (0, 1, 2, 3, 4)
EPISODES = 300
CHOICES = ("w4a8", "w8a8", "w8a16")
SHARES = (0.9, 0.75)  # of the bit operations of plain int8


def run(seeds: tuple[int, ...] = SEEDS) -> dict[str, Any]:
    """Computes what is missing and gives the table of all that is there."""
    for share in SHARES:
        for seed in seeds:
            _cell(share, seed).value(lambda _, share=share, seed=seed: _searched(share, seed))  # type: ignore[misc]
    return summary(seeds)


def summary(seeds: tuple[int, ...] = SEEDS) -> dict[str, Any]:
    """The table of the cells that exist; in decibels, more is less noise."""
    rows = []
    for share in SHARES:
        found = [cell for seed in seeds if (cell := _cell(share, seed).stored())]
        if not found:
            continue
        gained = [cell["agent"] - cell["random"] for cell in found]
        low, high = mean_interval(gained) if len(gained) > 1 else (-np.inf, np.inf)
        rows.append(
            {
                "bit operations": f"{share:.0%} of int8",
                "seeds": len(found),
                "agent, dB": " ".join(f"{cell['agent']:.1f}" for cell in found),
                "chance, dB": " ".join(f"{cell['random']:.1f}" for cell in found),
                "greedy, dB": f"{found[0]['greedy']:.1f}",
                "agent against chance, dB [95 %]": f"{fmean(gained):+.2f} [{low:+.2f}, {high:+.2f}]",
                "budget kept": "in every episode" if all(cell["kept"] for cell in found) else "no",
                "minutes": f"{fmean(cell['minutes'] for cell in found):.1f}",
            }
        )
    return {"what": f"bits for the layers of {NETWORK}, {EPISODES} episodes, as many choices at random", "rows": rows}


def _cell(share: float, seed: int) -> Cell:
    decided = [int8_zoo.float_cell(NETWORK).decided, share, seed, EPISODES, CHOICES]
    return Cell(FOLDER, f"share{100 * share:.0f}-{seed}", decided)


def _searched(share: float, seed: int) -> dict[str, Any]:
    from pipelines import haq
    from pipelines.bit_budget import bit_operations, cheapest, options_of
    from pipelines.training import session

    layers = _layers()
    options = options_of(layers, CHOICES, "bit_operations")
    limit = share * bit_operations(layers, dict.fromkeys(options, "w8a8"))
    session.open_session(seed)
    found = haq.search(options, layers, limit, episodes=EPISODES, seed=seed)
    greedy = haq.decibels(sum(one.noise for one in cheapest(options, limit).values()))
    return {
        "agent": max(found.rewards),
        "random": found.control,
        "greedy": greedy,
        "kept": found.most_spent <= limit,
    }


def _layers() -> list[dict[str, Any]]:
    """The layers of the trained network with the noise of each of their bits, measured once."""
    cell = Cell(FOLDER, "layers", [int8_zoo.float_cell(NETWORK).decided, CHOICES])
    return list(cell.value(lambda _: _measured())["layers"])


def _measured() -> dict[str, Any]:
    from exports import try_precisions
    from pipelines.steps.export import calibration_images

    source, data = int8_zoo.trained(NETWORK), int8_zoo.data_of(NETWORK)
    images = np.asarray(data.splits["validation"].images[:128])
    found = try_precisions(source / "model.keras", calibration_images(data, 200, 0), images, CHOICES)
    return {"layers": found["layers"]}


def main() -> int:
    """Computes what is missing of the table and prints it."""
    return command("haq_table", __doc__, FOLDER, run=run, summary=summary, seeds=SEEDS)


if __name__ == "__main__":
    sys.exit(main())
