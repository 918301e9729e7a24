"""`report RUN_OR_FILE ...` writes a comparison to hand over; `verify BUNDLE` checks one on any machine."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import Any

from exports import opened_bundle, verify_files
from pipelines.commands.command import Command, table
from pipelines.commands.compare import comparison_table
from pipelines.data import Dataset
from pipelines.jobs import alone_on_machine
from pipelines.proof import check_accuracy, check_claims, read_report, time_again, write_proof
from pipelines.runs import Home, Registry


def report_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("items", nargs="+", metavar="RUN_OR_FILE", help="run ids, artifact ids or starts of a SHA-256")
    parser.add_argument("--baseline", help="artifact that differences refer to; without: the first float32 file")
    parser.add_argument("--to", type=Path, default=Path("litesmith_report.zip"), metavar="ZIP",
                        help="where the bundle goes (default litesmith_report.zip)")  # fmt: skip


def report(asked: argparse.Namespace) -> dict[str, Any]:
    if asked.to.suffix != ".zip":
        raise ValueError(f"--to {asked.to}: the bundle is a .zip")
    document = write_proof(Registry(Home.open()), asked.items, asked.to, asked.baseline)
    return {"bundle": str(asked.to), **document}


def show_report(document: dict[str, Any]) -> str:
    return f"{comparison_table(document['rows'])}\nwrote {document['bundle']}; report.html in it is for people"


def verify_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("bundle", type=Path, help="a .zip that `report` or `export --format bundle` wrote")
    parser.add_argument(
        "--data", help="run its files again on these images: digits, fashion_mnist, folder:PATH or zip:PATH"
    )
    parser.add_argument("--time", action="store_true", help="time its files in turn on this machine")
    parser.add_argument("--rounds", type=int, default=10, help="with --time: rounds of the timing, at least 8")


def verify(asked: argparse.Namespace) -> dict[str, Any]:
    with opened_bundle(asked.bundle) as (folder, names):
        checks = verify_files(folder, names)
        document = read_report(folder)
        if document is None and (asked.data or asked.time):
            raise ValueError(f"{asked.bundle.name} has no report, so there is nothing to hold --data or --time against")
        times: list[dict[str, Any]] = []
        if document is not None:
            checks += check_claims(folder, document, names)
        if document is not None and all(check.passed for check in checks):
            if asked.data:
                checks += check_accuracy(folder, document, lambda data: _images(asked.data, data))
            if asked.time:
                with alone_on_machine(Home.open(), timeout_s=600):
                    times = time_again(folder, document, asked.rounds)
    passed = bool(checks) and all(check.passed for check in checks)
    return {
        "bundle": asked.bundle.name,
        "files": names,
        "verdict": "verified" if passed else "not verified",
        "checks": [asdict(check) for check in checks],
        "accuracy_checked": bool(asked.data) and passed,
        "times": times,
        "exit_code": 0 if passed else 2,
    }


def _images(source: str, settings: dict[str, Any]) -> Dataset:
    """The images of `source` with the size and split of a recipe's data section, which is checked like any recipe's."""
    from pipelines.execute import open_data
    from pipelines.recipes import Recipe

    recipe = {"data": {**settings, "source": source}, "model": {"name": "mobilenet_v1"}, "steps": [{"train": {}}]}
    return open_data(Recipe.of(recipe), Home.open())


def show_verify(document: dict[str, Any]) -> str:
    failed = [check for check in document["checks"] if not check["passed"]]
    lines = [f"{document['bundle']}: {document['verdict']}, {len(document['checks'])} checks on "
             f"{len(document['files'])} files"]  # fmt: skip
    lines += [f"FAILED {check['name']}: {check['message']}" for check in failed]
    lines += [f"{check['name']}: {check['message']}" for check in document["checks"]
              if check["passed"] and check["name"].endswith(": accuracy")]  # fmt: skip
    if not document["accuracy_checked"] and not failed:
        lines.append("bytes and self-tests only; with --data the accuracies are measured again")
    if document["times"]:
        rows = [
            {
                "file": row["file"],
                "ms": f"{row['median_ms']:.3f}",
                "here": f"{row['ratio']:.2f} [{row['interval'][0]:.2f}, {row['interval'][1]:.2f}]"
                + ("" if row["stable"] else " unstable"),
                "there": "-" if row["ratio_there"] is None else f"{row['ratio_there']:.2f}",
            }
            for row in document["times"]
        ]
        columns = {"file": "file", "ms": "ms here", "here": "ratio here [95 %]", "there": "ratio there"}
        lines.append(table(rows, columns))
    return "\n".join(lines)


REPORT = Command("report", "a comparison to hand over: figures, files and what they rest on", report_arguments, report,
                 show_report)  # fmt: skip
VERIFY = Command("verify", "re-check a bundle anywhere", verify_arguments, verify, show_verify)
