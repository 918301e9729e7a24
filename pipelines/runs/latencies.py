"""Latency records: written by workers for this machine, and by a person for a device."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import delete
from sqlalchemy.orm import Session

from pipelines.runs.tables import LatencyRow

DEVICE = "device:"  # begins the group of a measurement that was made elsewhere; its name follows


def put_latencies(
    session: Session, rows: Sequence[Mapping[str, Any]], shared: Mapping[str, Any], group: str
) -> None:
    """Records one interleaved measurement: `rows` (each with `artifact`, its id), `shared` goes into every one.

    The same artifact and group again replaces the earlier.
    """
    for row in rows:
        own = dict(row)
        artifact_id = own.pop("artifact")
        session.execute(
            delete(LatencyRow).where(LatencyRow.artifact_id == artifact_id, LatencyRow.group_key == group)
        )
        report = {**shared, **own}
        session.add(LatencyRow(artifact_id=artifact_id, group_key=group, report=report, created=time.time()))
