"""What papers say about speed and size, beside this machine: float files at 224 pixels in LiteRT, one thread.

The papers measured phones, GPUs or other runtimes, so a claim that does not hold here is no error of theirs: it says
that the ranking of networks is a property of the machine. The verdict needs the whole interval on the claimed side.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zoo.designs import Design, design

ROUNDS = 8


@dataclass(frozen=True)
class Claim:
    """`first` takes `ratio` of the time of `second` (None: less of it), says `source`."""

    first: Design
    second: Design
    ratio: float | None
    source: str


V1, V2 = design("mobilenet_v1"), design("mobilenet_v2")
CLAIMS = (
    Claim(V2, V1, 0.66, "arXiv:1801.04381 table 4: 75 ms against 113 ms, Pixel 1"),
    Claim(design("mobilenet_v3", variant="large"), V2, 0.80, "arXiv:1905.02244 abstract: 20 % less time"),
    Claim(
        design("mnasnet", variant="a1"), design("mobilenet_v2", width=1.4), 0.55,
        "arXiv:1807.11626 table 1: 78 ms against 143 ms at top-1 75.2 and 74.7, Pixel 1",
    ),
    Claim(
        design("shufflenet_v2"), design("shufflenet_v1", groups=3), None,
        "arXiv:1807.11164: faster at about equal macs, on GPU and ARM (no one figure)",
    ),
)  # fmt: skip
SMALL_CLAIM = (design("squeezenet", variant="1.0"), design("alexnet"), 1 / 50)


def run(rounds: int = ROUNDS) -> dict[str, Any]:
    """Gives per claim the ratio printed, the one measured here with its 95 % interval, and whether it holds."""
    import zoo
    from exports import measure, save_model, write

    designs = dict.fromkeys(one for claim in CLAIMS for one in (claim.first, claim.second))
    with tempfile.TemporaryDirectory() as folder:
        files = {}
        for number, one in enumerate(designs):
            model = zoo.build(one.name, width=one.width, resolution=one.resolution, **one.options)
            home = Path(folder) / str(number)
            home.mkdir()
            save_model(model, home / "model.keras")
            labels = [str(label) for label in range(1000)]
            artifact = write(home / "model.keras", "tflite_float32", home, name="network", labels=labels)
            files[one] = (artifact.path, artifact.contract)
        rows = []
        for claim in CLAIMS:
            report = measure([files[claim.second], files[claim.first]], rounds=rounds)
            mine = report.rows[1]
            rows.append(
                {
                    "claim": f"time of {claim.first.label} / {claim.second.label}",
                    "claimed": "below 1" if claim.ratio is None else claim.ratio,
                    "here": round(mine.ratio, 3),
                    "interval": f"{mine.ratio_interval[0]:.3f} to {mine.ratio_interval[1]:.3f}",
                    "verdict": judged(claim.ratio, mine.ratio_interval, mine.stable),
                    "source": claim.source,
                }
            )
    first, second, claimed = SMALL_CLAIM
    rows.append(
        {
            "claim": f"params of {first.label} / {second.label}",
            "claimed": round(claimed, 3),
            "here": round(first.params / second.params, 4),
            "interval": "counted",
            "verdict": judged(claimed, (first.params / second.params,) * 2, True),
            "source": "arXiv:1602.07360 title: 50 times fewer parameters",
        }
    )
    return {"what": "claims of the papers, here in LiteRT: float32, 224 px, 1 thread, XNNPACK", "rows": rows}


def judged(claimed: float | None, interval: tuple[float, float], stable: bool) -> str:
    """The claim in one word or two: it holds when this machine gains at least as much, to 5 %."""
    low, high = interval
    if high < 1 if claimed is None else high <= claimed * 1.05:
        return "holds" if stable else "holds, unstable"
    if high < 1:
        return "faster, but by less"
    return "does not hold" if low > 0.99 else "not distinguishable"
