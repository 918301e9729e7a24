"""From table rows to the plain values of `records.py`."""

from __future__ import annotations

from pipelines.runs.records import ArtifactRecord, EvaluationRecord, LatencyRecord, Metric, Run, StepRecord
from pipelines.runs.tables import ArtifactRow, EvaluationRow, LatencyRow, MetricRow, RunRow, StepRow


def run_of(row: RunRow) -> Run:
    return Run(
        id=row.id,
        number=row.number,
        name=row.name,
        recipe=row.recipe,
        recipe_sha256=row.recipe_sha256,
        data_source=row.data_source,
        model_name=row.model_name,
        seed=row.seed,
        group=row.group_name,
        parent=row.parent_id,
        state=row.state,
        slot=row.slot,
        position=row.position,
        attempt=row.attempt,
        deaths=row.deaths,
        created=row.created,
        started=row.started,
        finished=row.finished,
        deleted=row.deleted,
        cancel_asked=row.cancel_asked,
        progress=row.progress,
        error=row.error,
        error_kind=row.error_kind,
        environment=row.environment,
        worker_host=row.worker_host,
        worker_pid=row.worker_pid,
        worker_created=row.worker_created,
        foreground=row.foreground,
        heartbeat=row.heartbeat,
        lease=row.lease,
    )


def step_of(row: StepRow) -> StepRecord:
    return StepRecord(
        run=row.run_id,
        index=row.step_index,
        name=row.name,
        state=row.state,
        settings=row.settings,
        key=row.key,
        metrics=row.metrics,
        report=row.report,
        model_sha256=row.model_sha256,
        seconds=row.seconds,
        memory_bytes=row.memory_bytes,
        attempt=row.attempt,
    )


def metric_of(row: MetricRow) -> Metric:
    value = float("nan") if row.value is None else row.value
    return Metric(row.id, row.step_index, row.name, row.x, value)


def artifact_of(row: ArtifactRow) -> ArtifactRecord:
    return ArtifactRecord(
        id=row.id,
        run=row.run_id,
        step=row.step_index,
        format=row.format,
        name=row.name,
        sha256=row.sha256,
        bytes=row.bytes,
        gzip_bytes=row.gzip_bytes,
        gate=row.gate,
        passed=row.passed,
        contract=row.contract,
        files=row.files,
        notes=row.notes,
        created=row.created,
    )


def evaluation_of(row: EvaluationRow) -> EvaluationRecord:
    return EvaluationRecord(
        artifact=row.artifact_id,
        dataset_sha256=row.dataset_sha256,
        split=row.split,
        kernels=row.kernels,
        n=row.n,
        correct=row.correct,
        top1=row.top1,
        low=row.low,
        high=row.high,
        details=row.details,
        predictions_sha256=row.predictions_sha256,
        created=row.created,
    )


def latency_of(row: LatencyRow) -> LatencyRecord:
    return LatencyRecord(row.artifact_id, row.group_key, row.report, row.created)
