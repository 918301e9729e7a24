"""The measure step: the final judgement of the written files on the test split, and their latency side by side."""

from __future__ import annotations

from typing import Any

import numpy as np

from pipelines.settings import Settings, setting
from pipelines.steps.step import Result, State, Step, Surroundings


class MeasureSettings(Settings):
    """What is measured on every file that passed its gate."""

    latency: bool = setting(True, help="Time the files in turn, alone on this machine, one thread")
    rounds: int = setting(10, ge=8, le=200, help="Rounds of the interleaved timing; more narrows the interval")


def run(state: State, settings: MeasureSettings, around: Surroundings) -> Result:
    """Leaves the model as it is; adds an evaluation per file and one latency report."""
    from exports import evaluate, mcnemar, measure, paired_difference
    from pipelines.jobs.alone import alone_on_machine
    from pipelines.training.loop import predictor

    if not around.artifacts:
        raise ValueError("measure has nothing to measure: no file passed its gate before it (put export before it)")
    data, watch = around.data, around.watch
    test = data.splits["test"]
    right: dict[str, np.ndarray] = {}
    # Published weights that are exported as they are have no history: the file's own model is the first one then.
    alone = around.artifacts[0]
    first_label, first_sha = (around.model_history or [(alone.label, alone.model_sha256)])[0]
    # A file from elsewhere comes without its model.
    for sha in ({item.model_sha256 for item in around.artifacts} | {first_sha}) - {""}:
        model = state.model if sha == state.model_sha256 else around.load_model(sha)  # that one was just exported
        right[sha] = predictor(model)(test.images).argmax(1) == test.labels
    rows: list[dict[str, Any]] = []
    for place, item in enumerate(around.artifacts):
        watch.check()
        watch.progress(place, len(around.artifacts) + 1, f"test images through {item.format}")
        found = evaluate(item.path, item.contract, test.images, test.labels)
        file_right = found.predictions == test.labels
        against = {}
        for name, sha in (("source_model", item.model_sha256), ("first_model", first_sha)):
            if not sha:
                continue
            drop, low, high = paired_difference(right[sha], file_right)
            against[name] = {
                "top1_of_model": float(right[sha].mean()),
                "difference": drop,
                "low": low,
                "high": high,
                "mcnemar_p": mcnemar(right[sha], file_right).p_value,
            }
        scores = found.as_dict(predictions=False)
        around.handle.add_evaluation(
            item.id,
            {
                **{key: scores.pop(key) for key in ("n", "correct", "top1", "kernels")},
                "low": found.interval[0],
                "high": found.interval[1],
                "split": "test",
                "dataset_sha256": data.manifest_sha256,
                "predictions": np.stack([found.predictions, test.labels]).astype(np.int32),  # given, then true
                "details": {**scores, "against": against, "first_model": first_label},
            },
        )
        row = {"artifact": item.id, "format": item.format, "label": item.label, "top1": found.top1}
        rows.append({**row, "interval": list(found.interval), "against": against})
    report: dict[str, Any] = {"split": "test", "images": len(test.labels), "files": rows}
    if settings.latency:
        watch.progress(len(around.artifacts), len(around.artifacts) + 1, "timing files in turn")
        with alone_on_machine(around.handle.home, watch.check):
            timed = measure([(item.path, item.contract) for item in around.artifacts], rounds=settings.rounds)
        report["latency"] = timed.as_dict()
        for row, item in zip(report["latency"]["rows"], around.artifacts, strict=True):
            row["artifact"] = item.id
        around.handle.add_latency(report["latency"])
    watch.progress(len(around.artifacts) + 1, len(around.artifacts) + 1, "measured")
    return Result(state, report, {f"test_top1 {row['label']}": row["top1"] for row in rows})


STEP = Step(
    name="measure",
    title="Measure",
    summary="Runs the files on the test images and times them in turn on this machine.",
    settings=MeasureSettings,
    methods=None,
    run=run,
)
