"""Numbers, states and times as a person reads them. One place, so that a size looks the same on every page."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from typing import Any

from pipelines.runs import own_file

# Word, colour of Streamlit's badges, icon. The word always stands beside the colour.
STATES: Mapping[str, tuple[str, str, str]] = {
    "created": ("not started", "gray", ":material/radio_button_unchecked:"),
    "queued": ("waiting", "blue", ":material/schedule:"),
    "running": ("running", "primary", ":material/play_circle:"),
    "done": ("done", "green", ":material/check_circle:"),
    "failed": ("failed", "red", ":material/error:"),
    "cancelled": ("cancelled", "orange", ":material/cancel:"),
}
NOT_DISTINGUISHABLE = "not distinguishable"
WHERE_MEASURED = "host CPU, 1 thread, XNNPACK"
MEASURED_ONNX = "host CPU, 1 thread, ONNX Runtime"


def size(count: float | None) -> str:
    """Bytes in decimal units: 82.3 kB."""
    if count is None:
        return "–"
    for unit in ("B", "kB", "MB", "GB"):
        if abs(count) < 1000 or unit == "GB":
            return f"{count:,.0f} B" if unit == "B" else f"{count:,.{1 if abs(count) < 100 else 0}f} {unit}"
        count /= 1000
    raise AssertionError("unreachable")


def amount(count: float | None) -> str:
    """A count in short form: 3.54 M."""
    if count is None:
        return "–"
    for limit, unit in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if abs(count) >= limit:
            return f"{count / limit:.3g}{unit}"
    return f"{count:,.0f}"


def cost(name: str, count: float | None) -> str:
    """One number of a design's cost: params and macs as a count, all others in bytes."""
    return amount(count) if name in ("params", "macs") else size(count)


def percent(share: float | None, digits: int = 1) -> str:
    """A share as per cent: 97.8 %."""
    return "–" if share is None else f"{100 * share:.{digits}f} %"


def accuracy(top1: float | None, low: float | None = None, high: float | None = None) -> str:
    """Accuracy with its interval: 97.8 % (95.8 to 98.8)."""
    if top1 is None:
        return "not measured"
    return percent(top1) if low is None or high is None else f"{percent(top1)} ({100 * low:.1f} to {100 * high:.1f})"


def points(difference: float | None, low: float | None, high: float | None) -> str:
    """An accuracy difference in points with its interval, or that it cannot be told from none."""
    if difference is None or low is None or high is None:
        return "–"
    interval = f"{100 * low:+.1f} to {100 * high:+.1f}"
    if low <= 0 <= high:
        return f"{NOT_DISTINGUISHABLE} ({interval})"
    return f"{100 * difference:+.1f} points ({interval})"


def times(ratio: float | None, low: float | None, high: float | None, stable: bool | None = True) -> str:
    """A latency ratio with its interval, or that it cannot be told from 1."""
    if ratio is None or low is None or high is None:
        return "–"
    interval = f"{low:.2f} to {high:.2f}"
    if low <= 1 <= high:
        return f"{NOT_DISTINGUISHABLE} ({interval})"
    return f"{ratio:.2f} x ({interval})" + ("" if stable in (True, None) else ", unsteady")


def milliseconds(value: float | None) -> str:
    """A latency: 0.213 ms."""
    return "–" if value is None else f"{value:.3g} ms"


def measured_on(format_id: str) -> str:
    """The machine and the kernels that a file of this format was timed with."""
    return MEASURED_ONNX if format_id.startswith("onnx") else WHERE_MEASURED


def duration(seconds: float | None) -> str:
    """A length of time: 1 min 20 s."""
    if seconds is None:
        return "–"
    seconds = max(0.0, seconds)
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def ago(moment: float | None, now: float | None = None) -> str:
    """How long a moment lies back: 5 min ago."""
    if moment is None:
        return "–"
    past = max(0.0, (time.time() if now is None else now) - moment)
    if past < 60:
        return "just now"
    if past < 3600:
        return f"{past / 60:.0f} min ago"
    return f"{past / 3600:.0f} h ago" if past < 48 * 3600 else f"{past / 86400:.0f} days ago"


def label_of(name: str) -> str:
    """A setting's name as a label: learning_rate -> Learning rate."""
    return name.replace("_", " ").capitalize()


OPERATORS = {
    "gate": "multiplication",
    "hard_swish": "hard-swish",
    "hard_sigmoid": "hard-sigmoid",
    "sign": "sign",
    "activation": "swish or sigmoid",
    "grouped_conv": "grouped convolution",
    "prelu": "PReLU",
}


def operator(kind: str) -> str:
    """A kind of operator as a person calls it: hard_swish -> hard-swish."""
    return OPERATORS.get(kind, kind.replace("_", " "))


def model_line(recipe: Mapping[str, Any]) -> str:
    """Architecture, width and data of a recipe in one line."""
    model, data = recipe.get("model") or {}, recipe.get("data") or {}
    side = data.get("resolution")
    shown = f" at {'x'.join(map(str, side)) if isinstance(side, list | tuple) else side} px" if side else ""
    if file := own_file(recipe):
        return f"{source_name(f'file:{file}')} on {source_name(str(data.get('source')))}{shown}"
    return f"{model.get('name')} x {model.get('width', 1.0):g} on {source_name(str(data.get('source')))}{shown}"


def source_name(source: str) -> str:
    """A data source without its long path: zip:/a/b/pets.zip -> pets.zip. Uploads lose the digest in their name."""
    kind, colon, path = source.partition(":")
    name = path.rstrip("/").rsplit("/", 1)[-1] if colon and path else kind
    return re.sub(r"-[0-9a-f]{12}(?=\.(?:zip|keras|h5|hdf5|tflite|onnx)$)", "", name)
