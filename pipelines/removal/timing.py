"""Files of networks timed in turn: to cut until one is fast enough, and to say what a method has gained here.

Multiply-adds predict time badly, so a target in milliseconds is met by measuring. Each candidate is written as a real
file in a child process and timed beside the dense one, in the same rounds.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipelines.method import Context
from pipelines.removal.choose import Choice, Group, Ladder, Scope, not_possible
from zoo.channel_graph import ChannelGraph

FORMATS = ("tflite_float32", "tflite_int8")
HALVINGS = 5  # of the range of levels: 1/32 of all that could go
ROUNDS = 8
CALIBRATION_IMAGES = 100
CHOSEN = "chosen_by_time.json"


def choose_by_time(
    graph: ChannelGraph,
    groups: Sequence[Group],
    context: Context,
    *,
    share: float,
    milliseconds: float | None,
    format_id: str,
    scope: Scope,
    raw: bool = False,
) -> tuple[Choice, list[dict[str, Any]]]:
    """The smallest cut whose file takes at most `1 - share` of the dense file's time, or `milliseconds`; and what was
    timed on the way.

    What a run chose before it was stopped is chosen again: another clock would find another cut.

    Raises: ValueError when the dense file is fast enough already, or even the largest cut is not.
    """
    ladder = Ladder(graph, groups, scope, raw)
    kept = context.watch.folder / CHOSEN
    if kept.is_file():
        found = json.loads(kept.read_text("utf-8"))
        return ladder.at(found["level"], found["left"]), found["timed"]
    with tempfile.TemporaryDirectory(prefix="litesmith-timing-") as folder:
        clock = _Clock(graph, ladder, context, format_id, Path(folder))
        most, allowed = clock.largest(share, milliseconds)
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


def check_time(
    graph: ChannelGraph,
    groups: Sequence[Group],
    context: Context,
    *,
    share: float,
    milliseconds: float | None,
    format_id: str,
    scope: Scope,
    raw: bool = False,
) -> None:
    """Times the largest cut alone: what it cannot reach is refused before a method trains towards it."""
    if (context.watch.folder / CHOSEN).is_file():
        return
    with tempfile.TemporaryDirectory(prefix="litesmith-timing-") as folder:
        _Clock(graph, Ladder(graph, groups, scope, raw), context, format_id, Path(folder)).largest(share, milliseconds)


class _Clock:
    """Times cuts beside the dense network; a cut that was timed before is not timed again."""

    def __init__(self, graph: ChannelGraph, ladder: Ladder, context: Context, format_id: str, folder: Path) -> None:
        self.graph, self.ladder, self.context, self.format = graph, ladder, context, format_id
        self.folder, self.rows = folder, list[dict[str, Any]]()
        self._known: dict[tuple[int, ...], dict[str, Any]] = {}
        self._dense = _written(graph.model, (format_id,), context, folder / "dense")[format_id]

    def largest(self, share: float, milliseconds: float | None) -> tuple[dict[str, Any], float]:
        """The largest cut as timed, and the ratio that is asked for. Raises: ValueError as `choose_by_time`."""
        self.context.watch.progress(0, HALVINGS + 1, "timing the largest cut")
        most = self.time(1.0)
        allowed = 1 - share if milliseconds is None else milliseconds / most["dense_ms"]
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
            small, left = cut(self.graph, key), self.ladder.amounts(level)
            file = _written(small, (self.format,), self.context, self.folder / str(len(self.rows)))[self.format]
            with self.context.alone():
                first, second = measure([self._dense, file], rounds=ROUNDS).rows
            self._known[key] = {
                "macs": left["macs"], "params": left["params"], "dense_ms": first.median_ms, "ms": second.median_ms,
                "ratio": second.ratio, "ratio_interval": list(second.ratio_interval), "stable": second.stable,
            }  # fmt: skip
        row = {"level": level, **self._known[key]}
        self.rows.append(row)
        return row


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
    """The sentence owed to a reader when no file became faster; None when one did, or nothing was timed."""
    timed = {name: row for name, row in files.items() if "ratio" in row}
    if not timed or any(row["verdict"] == "faster" for row in timed.values()):
        return None
    shown = ", ".join(f"{name} {row['ratio']:.2f}" for name, row in timed.items())
    return f"no file became faster on this machine (time after / before: {shown})"
