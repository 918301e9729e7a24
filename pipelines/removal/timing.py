"""Files of networks timed in turn: to cut until one is fast enough, and to say what a method has gained here.

Multiply-adds predict time badly, so a target in milliseconds is met by measuring. Each candidate is written as a real
file in a child process and timed beside the dense one, in the same rounds.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.method import Context
from pipelines.removal.choose import Choice, Ladder, not_possible

FORMATS = ("tflite_float32", "tflite_int8")
HALVINGS = 5  # of the range of levels: 1/32 of all that could go
ROUNDS = 8
CALIBRATION_IMAGES = 100
CHOSEN = "chosen_by_time.json"


@dataclass(frozen=True)
class TimeTarget:
    """How fast the file must be: `share` of the dense file's time goes, or `milliseconds` are left, if given."""

    share: float
    format_id: str
    milliseconds: float | None = None


def choose_by_time(ladder: Ladder, target: TimeTarget, context: Context) -> tuple[Choice, list[dict[str, Any]]]:
    """The smallest cut whose file is fast enough, and what was timed on the way.

    What a run chose before it was stopped is chosen again: another clock would find another cut.

    Raises: ValueError when the dense file is fast enough already, or even the largest cut is not.
    """
    kept = context.watch.folder / CHOSEN
    if kept.is_file():
        found = json.loads(kept.read_text("utf-8"))
        return ladder.at(found["level"], found["left"]), found["timed"]
    with tempfile.TemporaryDirectory(prefix="litesmith-timing-") as folder:
        clock = _Clock(ladder, target, context, Path(folder))
        most, allowed = clock.largest()
        low, best = 0.0, most
        for done in range(HALVINGS):
            middle = (low + best["level"]) / 2
            context.watch.progress(done + 1, HALVINGS + 1, f"timing a cut to {allowed:.0%} of the time")
            row = clock.time(middle)
            if row["ratio"] <= allowed:
                best = row
            else:
                low = middle
        context.watch.progress(HALVINGS + 1, HALVINGS + 1, "cut chosen by time")
    kept.write_text(json.dumps({"level": best["level"], "left": best["ratio"], "timed": clock.rows}), "utf-8")
    return ladder.at(best["level"], best["ratio"]), clock.rows


def check_time(ladder: Ladder, target: TimeTarget, context: Context) -> None:
    """Times the largest cut alone: what it cannot reach is refused before a method trains towards it."""
    if (context.watch.folder / CHOSEN).is_file():
        return
    with tempfile.TemporaryDirectory(prefix="litesmith-timing-") as folder:
        _Clock(ladder, target, context, Path(folder)).largest()


class _Clock:
    """Times cuts beside the dense network; a cut that was timed before is not timed again."""

    def __init__(self, ladder: Ladder, target: TimeTarget, context: Context, folder: Path) -> None:
        self.ladder, self.target, self.context = ladder, target, context
        self.folder, self.rows = folder, list[dict[str, Any]]()
        self._known: dict[tuple[int, ...], dict[str, Any]] = {}
        self._dense = self._file(ladder.graph.model, "dense")

    def largest(self) -> tuple[dict[str, Any], float]:
        """The largest cut as timed, and the ratio that is asked for. Raises: ValueError as `choose_by_time`."""
        self.context.watch.progress(0, HALVINGS + 1, "timing the largest cut")
        most = self.time(1.0)
        milliseconds = self.target.milliseconds
        allowed = 1 - self.target.share if milliseconds is None else milliseconds / most["dense_ms"]
        if allowed >= 1:
            raise ValueError(
                f"latency_ms = {milliseconds:g}: the dense file takes {most['dense_ms']:.3g} ms here already; "
                "ask for less"
            )
        if most["ratio"] > allowed:
            raise ValueError(
                not_possible(1 - allowed, "latency", 1 - most["ratio"])
                + f" (the largest cut takes {most['ms']:.3g} ms of {most['dense_ms']:.3g} ms)"
            )
        return most, allowed

    def time(self, level: float) -> dict[str, Any]:
        from exports import measure
        from zoo.cut import cut

        self.context.watch.check()
        key = tuple(self.ladder.units(level))
        if key not in self._known:
            small, left = cut(self.ladder.graph, key), self.ladder.amounts(level)
            file = self._file(small, str(len(self.rows)))
            with self.context.alone():
                first, second = measure([self._dense, file], rounds=ROUNDS).rows
            self._known[key] = {
                "macs": left["macs"], "params": left["params"], "dense_ms": first.median_ms, "ms": second.median_ms,
                "ratio": second.ratio, "ratio_interval": list(second.ratio_interval), "stable": second.stable,
            }  # fmt: skip
        row = {"level": level, **self._known[key]}
        self.rows.append(row)
        return row

    def _file(self, model: Any, name: str) -> tuple[Path, Any]:
        return _written(model, (self.target.format_id,), self.context, self.folder / name)[self.target.format_id]


def compare_files(before: Any, after: Any, context: Context) -> dict[str, dict[str, Any]]:
    """Bytes and time of two networks as float and int8 files, by format, timed in turn.

    A format that cannot be written for one of them has a row with the cause.
    """
    from exports import measure

    with tempfile.TemporaryDirectory(prefix="litesmith-files-") as folder:
        causes: dict[str, str] = {}
        old = _written(before, FORMATS, context, Path(folder) / "before", causes)
        new = _written(after, FORMATS, context, Path(folder) / "after", causes)
        both = [one for one in FORMATS if one in old and one in new]
        found: dict[str, dict[str, Any]] = {one: {"error": causes[one]} for one in FORMATS if one in causes}
        for one in both:
            with context.alone():
                first, second = measure([old[one], new[one]], rounds=ROUNDS).rows
            found[one] = {
                "bytes_before": old[one][0].stat().st_size, "bytes_after": new[one][0].stat().st_size,
                "ms_before": first.median_ms, "ms_after": second.median_ms, "ratio": second.ratio,
                "ratio_interval": list(second.ratio_interval), "verdict": second.verdict, "kernels": second.kernels,
            }  # fmt: skip
    return found


def _written(
    model: Any, formats: Sequence[str], context: Context, folder: Path, causes: dict[str, str] | None = None
) -> dict[str, tuple[Path, Any]]:
    """Format -> file and contract. Without `causes`, a format that fails is an error."""
    from exports import save_model, write_many
    from pipelines.steps.export import calibration_images

    folder.mkdir(parents=True)
    save_model(model, folder / "model.keras")
    count = min(CALIBRATION_IMAGES, len(context.data.splits["train"].labels))
    written = write_many(
        folder / "model.keras", formats, folder, name="network", labels=context.data.classes,
        calibration=calibration_images(context.data, count, context.seed),
        channel_order="grey" if context.data.channels == 1 else "RGB",
    )  # fmt: skip
    for failure in written.failures:
        if causes is None:
            raise ValueError(f"the network cannot be timed as {failure.format}: {failure.cause}")
        causes.setdefault(failure.format, failure.cause)
    return {item.format: (item.path, item.contract) for item in written.artifacts}


def gain_in_words(files: dict[str, dict[str, Any]]) -> str | None:
    """The sentence owed to a reader when no file is known to be faster; None when one is, or nothing was timed."""
    timed = {name: row for name, row in files.items() if "ratio" in row}
    if not timed or any(row["verdict"] == "faster" for row in timed.values()):
        return None
    shown = ", ".join(f"{name} {row['ratio']:.2f}" for name, row in timed.items())
    if any(row["verdict"] == "unstable" for row in timed.values()):
        return f"the machine was too busy to say whether a file became faster (time after / before: {shown}, unstable)"
    return f"no file became faster on this machine (time after / before: {shown})"
