"""Times that a bundle's `time_files.py` took on somebody's device, brought back beside the accuracies measured here."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import pydantic

from exports import FORMATS, latency_row
from pipelines.runs import Registry

MOST_BYTES = 8 * 1024 * 1024
LONGEST_NAME = 80
Milliseconds = Annotated[float, pydantic.Field(gt=0, lt=1e7, allow_inf_nan=False)]
Words = Annotated[str, pydantic.Field(max_length=300)]


class _Row(pydantic.BaseModel):
    file: Words
    format: Words
    sha256: Annotated[str, pydantic.Field(pattern="^[0-9a-f]{64}$")]
    round_ms: Annotated[list[Milliseconds], pydantic.Field(min_length=8, max_length=10_000)]


class _Times(pydantic.BaseModel):
    version: Literal[1]
    machine: dict[Words, Words | int | float | None]
    rows: Annotated[list[_Row], pydantic.Field(min_length=1, max_length=500)]


def take_device_times(registry: Registry, path: Path, device: str | None = None) -> dict[str, Any]:
    """Records the times in the file under the device's name, by default its processor, and gives them as rows.

    Only files of this home are taken, known by their SHA-256; the first of them is what the ratios refer to.
    Raises: ValueError when it cannot be read, or holds no file of this home.
    """
    times = _read(path)
    name = (device or str(times.machine.get("cpu") or "device")).strip()[:LONGEST_NAME]
    if not name:
        raise ValueError("the device's name is empty; give it a word with --name")
    if len({len(row.round_ms) for row in times.rows}) > 1:
        raise ValueError(f"{path.name}: its files were not timed in the same rounds, so they cannot be compared")
    known = [(row, item) for row in times.rows for item in registry.artifacts(id=row.sha256) if row.format in FORMATS]
    if not known:
        raise ValueError(f"none of the {len(times.rows)} files in {path.name} is in this home, by their SHA-256")
    first = known[0][0].round_ms
    rows = [
        {
            **latency_row(row.file, row.format, "on the device", _seconds(row.round_ms), _seconds(first), first=at == 0)
            .as_dict(),
            "artifact": item.id,
        }
        for at, (row, item) in enumerate(known)
    ]  # fmt: skip
    machine = {**times.machine, "where": name}
    registry.add_device_times(rows, {"machine": machine, "rounds": len(first)}, name)
    unknown = [row.file for row in times.rows if row.sha256 not in {one.sha256 for one, _ in known}]
    return {"device": name, "machine": machine, "rows": rows, "unknown": unknown}


def _seconds(milliseconds: Sequence[float]) -> list[float]:
    return [one / 1e3 for one in milliseconds]


def _read(path: Path) -> _Times:
    if not path.is_file():
        raise ValueError(f"there is no file {path}; time_files.py of a bundle writes times.json")
    if path.stat().st_size > MOST_BYTES:
        raise ValueError(f"{path.name} has {path.stat().st_size:,} bytes, at most {MOST_BYTES:,} are read")
    try:
        return _Times.model_validate(json.loads(path.read_bytes()))
    except (ValueError, RecursionError) as error:
        first = error.errors()[0] if isinstance(error, pydantic.ValidationError) else None
        why = f"{'.'.join(map(str, first['loc']))}: {first['msg']}" if first else f"{error}"[:200]
        raise ValueError(f"{path.name} holds no times of ours ({why}); time_files.py of a bundle writes them") from None
