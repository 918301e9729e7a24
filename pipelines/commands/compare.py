"""`compare RUN_OR_FILE ...`: the side-by-side table."""

from __future__ import annotations

import argparse
from typing import Any

from pipelines.class_changes import changes_between, in_words
from pipelines.commands.command import Command, table
from pipelines.compare import rows
from pipelines.runs import Home, Registry


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("items", nargs="+", metavar="RUN_OR_FILE", help="run ids, artifact ids or starts of a SHA-256")
    parser.add_argument("--baseline", help="artifact that differences refer to; without: the first float32 file")


    parser.add_argument("--device", metavar="NAME", help="with times brought back by device-times instead of ours")
    parser.add_argument(
        "--classes", action="store_true", help="also what each class lost or gained against the baseline"
    )


def run(asked: argparse.Namespace) -> dict[str, Any]:
    registry = Registry(Home.open())
    document: dict[str, Any] = {"rows": rows(registry, asked.items, asked.baseline, asked.device)}
    if asked.classes:
        base = next((row["id"] for row in document["rows"] if row["baseline"]), None)
        others = [row["id"] for row in document["rows"] if row["diff"] is not None and not row["baseline"]]
        document["class_changes"] = [changes_between(registry, str(base), other) for other in others]
    return document


def show(document: dict[str, Any]) -> str:
    labels = {row["id"]: row["label"] for row in document["rows"]}
    parts = [comparison_table(document["rows"])]
    for found in document.get("class_changes", ()):
        parts.append(f"\n{labels[found['artifact']]}: {in_words(found)}\n{class_table(found)}")
    return "\n".join(parts)


def class_table(found: dict[str, Any]) -> str:
    """Gives one line per class, the surest loss first."""
    return table(
        [
            {
                "class": one["label"],
                "images": f"{one['images']:,}",
                "lost": str(one["lost"]),
                "gained": str(one["gained"]),
                "change": f"{100 * one['difference']:+.2f} [{100 * one['low']:+.2f}, {100 * one['high']:+.2f}]",
                "p": f"{one['p_value']:.3f}",
                "verdict": one["verdict"] or "-",
            }
            for one in found["classes"]
        ],
        {
            "class": "class", "images": "images", "lost": "lost", "gained": "gained",
            "change": "points [95 % for all classes]", "p": "p (Holm)", "verdict": "verdict",
        },
    )  # fmt: skip


def comparison_table(found: list[dict[str, Any]]) -> str:
    """Gives the table as text: each figure with how sure it is."""
    return table(
        [
            {
                "label": ("* " if row["on_front"] else "  ") + row["label"],
                "top1": _accuracy(row),
                "diff": _difference(row),
                "kb": f"{row['bytes'] / 1000:,.1f}",
                "gzip": f"{row['gzip_bytes'] / 1000:,.1f}" if row["gzip_bytes"] else "-",
                "ms": f"{row['latency_ms']:.3f}" if row["latency_ms"] is not None else "-",
                "ratio": _ratio(row),
                "gate": "passed" if row["passed"] else "REFUSED",
            }
            for row in found
        ],
        {
            "label": "file (* on the Pareto front)", "top1": "test top-1 [95 %]", "diff": "points to baseline [95 %]",
            "kb": "kB", "gzip": "gzip kB", "ms": "ms", "ratio": "time ratio [95 %]", "gate": "gate",
        },
    )  # fmt: skip


def _accuracy(row: dict[str, Any]) -> str:
    if row["top1"] is None:
        return "not measured"
    return f"{row['top1']:.4f} [{row['low']:.3f}, {row['high']:.3f}]"


def _difference(row: dict[str, Any]) -> str:
    if row["baseline"]:
        return "baseline"
    if row["diff"] is None:
        return "-"
    text = f"{100 * row['diff']:+.2f} [{100 * row['diff_low']:+.2f}, {100 * row['diff_high']:+.2f}]"
    return text if row["diff_low"] > 0 or row["diff_high"] < 0 else text + " not distinguishable"


def _ratio(row: dict[str, Any]) -> str:
    if row["baseline"]:
        return "baseline"
    if row["ratio"] is None:
        return "-"
    unstable = "" if row["stable"] else " unstable"
    return f"{row['ratio']:.2f} [{row['ratio_low']:.2f}, {row['ratio_high']:.2f}]{unstable}"


COMMAND = Command("compare", "accuracy, latency and size of files side by side", arguments, run, show)
