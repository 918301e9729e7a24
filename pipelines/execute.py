"""Executes one run: its steps in order, each from the model the step before left, resuming after finished ones."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import zoo
from pipelines.data import Dataset, open_dataset
from pipelines.recipes import Recipe
from pipelines.runs.environment import source_sha256, versions
from pipelines.steps import AFTER_TRAINING, STEPS
from pipelines.steps.step import Artifact, Result, State, Surroundings
from pipelines.training import session
from pipelines.weights import Opened, check_images, freeze, load, open_weights

# In these, `model.frozen` is heeded; pruning and int8-aware training fine-tune every layer.
LEARNING_STEPS = ("train", "distil")


def execute(handle: Any) -> None:
    """Runs every unfinished step of the handle's recipe. ValueError is the person's to fix, all else is our bug."""
    recipe = Recipe.of(handle.recipe)
    handle.progress(0, 0, 1, f"opening {recipe.data.source}")
    data = open_data(recipe, handle.home)
    handle.log(f"{data.source}: {', '.join(f'{len(part)} {name}' for name, part in data.splits.items())} images, "
               f"{len(data.classes)} classes, {data.resolution[0]}x{data.resolution[1]}x{data.channels}")  # fmt: skip
    if recipe.model.weights is not None:
        check_images(data.channels, len(data.classes), recipe.model.classifier)
    session.open_session(handle.seed)
    finished = {record.index: record for record in handle.finished_steps()}
    artifacts: list[Artifact] = []
    history: list[tuple[str, str]] = _models_before(recipe, handle)
    state: State | None = None
    weights_sha256: str | None = None
    for index, spec in enumerate(recipe.steps):
        if index in finished:
            history += [*_model_begun_from(finished[index].report), *_models_of(finished[index])]
            continue
        if state is None:
            state = _restore(recipe, data, handle, [finished[i] for i in sorted(finished) if i < index])
            artifacts += _restore_artifacts(handle)
            weights_sha256 = _weights_sha256(state, finished)
            history += _model_begun_from({"weights": state.weights})
            _rehearse(recipe, index, state, data, handle)
        watch = _StepWatch(handle, index)
        watch.check()
        key = step_key(recipe, index, data, weights_sha256)
        handle.step_started(index, spec.step, spec.settings.model_dump(mode="json"), key)
        if not state.int8_aware and state.model is not None:
            freeze(state.model, recipe.model.frozen if spec.step in LEARNING_STEPS else "none")
        around = Surroundings(
            data, handle.seed, watch, handle, index,
            load_run=lambda run: load_run_model(handle.registry, run),
            load_model=lambda sha: load_stored_model(handle.home, sha),
            artifacts=artifacts, model_history=history,
        )  # fmt: skip
        result = STEPS[spec.step].run(state, spec.settings, around)
        begun = state.weights if index == 0 else None
        state = _keep_model(result, state, watch, handle)
        warnings = [*(begun["warnings"] if begun else []), *result.warnings]
        for warning in warnings:
            handle.log(f"note: {warning}")
        changed = result.state.model is not None and state.made_by != "fresh" and STEPS[spec.step].methods is not None
        report = {
            **result.report,
            "warnings": warnings,
            "made_by": state.made_by,
            "int8_aware": state.int8_aware,
            "changed_model": changed,
            **({"weights": begun} if begun else {}),
        }
        if changed:
            history.append((state.made_by, str(state.model_sha256)))
        handle.step_finished(index, result.metrics, state.model_sha256, report)
        # What the step wrote lies in the store now.
        shutil.rmtree(watch.folder / "files", ignore_errors=True)


def _rehearse(recipe: Recipe, first: int, state: State, data: Dataset, handle: Any) -> None:
    """Asks the steps behind the training whether they could do their work, before hours are spent on the training.

    Up to the first one that changes a trained model: what the later ones meet is not known yet.
    """
    for index in range(first, len(recipe.steps)):
        spec = recipe.steps[index]
        asked = STEPS[spec.step].rehearse
        if index > first and asked is not None:
            around = Surroundings(
                data, handle.seed, _StepWatch(handle, index), handle, index,
                load_run=lambda run: load_run_model(handle.registry, run),
                load_model=lambda sha: load_stored_model(handle.home, sha),
                artifacts=[], model_history=[],
            )  # fmt: skip
            try:
                asked(state, spec.settings, around)
            except ValueError as error:
                why = f"step {index + 1} ({spec.step}) cannot be done, so nothing was trained: {error}"
                raise ValueError(why) from error
        if STEPS[spec.step].methods in AFTER_TRAINING:
            return


def open_data(recipe: Recipe, home: Any) -> Dataset:
    """Opens the recipe's images through the cache of the home folder."""
    settings = recipe.data
    return open_dataset(
        settings.source,
        resolution=settings.resolution,
        channels=settings.channels,
        split_seed=settings.split_seed,
        validation=settings.validation,
        test=settings.test,
        cache=home.cache,
    )


def fresh_model(recipe: Recipe, data: Dataset, seed: int) -> Any:
    """Builds the recipe's architecture with weights drawn from the seed; published ones are not loaded yet."""
    from zoo.keras import keras

    keras.utils.set_random_seed(seed)
    return zoo.build(
        recipe.model.name,
        width=recipe.model.width,
        resolution=data.resolution,
        classes=len(data.classes),
        channels=data.channels,
        affine=recipe.model.weights is not None,
        **recipe.model.options,
    )


def load_stored_model(home: Any, sha256: str) -> Any:
    """Reads a model this project wrote out of the store, whose names carry no suffix; int8-aware ones included."""
    from exports import load_model

    stored = home.store.path_of(sha256)
    with stored.open("rb") as file:
        is_hdf5 = file.read(4) == b"\x89HDF"
    with tempfile.TemporaryDirectory(prefix="litesmith-") as folder:
        path = Path(folder) / ("model.h5" if is_hdf5 else "model.keras")
        path.symlink_to(stored)
        return load_model(path)


def load_run_model(registry: Any, run: str) -> Any:
    """Loads the last float model of a finished run, or that after its step N (`ID/N`), as a teacher or parent.

    ValueError when there is none.
    """
    run, _, step = run.partition("/")
    for record in reversed(registry.steps(run)):
        if record.model_sha256 and not record.report.get("int8_aware") and (not step or record.index < int(step)):
            return load_stored_model(registry.home, record.model_sha256)
    raise ValueError(f"run {run} has no float model yet; a teacher must be a run whose training has finished")


def step_key(recipe: Recipe, index: int, data: Dataset, weights: str | None = None) -> str:
    """Hash over what decides a step's result: data, model, the steps up to it, seed, our source, libraries, threads.

    `weights` is the hash of the file of published weights.
    """
    plan = recipe.as_dict()
    content = {
        "manifest": data.manifest_sha256,
        "resolution": list(data.resolution),
        "model": plan["model"],
        "weights": weights,
        "start": recipe.start,
        "steps": plan["steps"][: index + 1],
        "seed": recipe.seed,
        "source": source_sha256(),
        "versions": versions(),
        "threads": session.threads(),
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


class _StepWatch:
    """Gives a step its own view of the run's handle."""

    def __init__(self, handle: Any, index: int) -> None:
        self._handle, self._index = handle, index
        self.folder = Path(handle.folder) / f"step{index:02d}"
        self.folder.mkdir(parents=True, exist_ok=True)

    def progress(self, done: float, total: float, message: str, seconds_left: float | None = None) -> None:
        self._handle.progress(self._index, done, total, message, seconds_left)

    def metrics(self, rows: list[tuple[str, float, float]]) -> None:
        self._handle.metrics(self._index, rows)

    def log(self, message: str) -> None:
        self._handle.log(message)

    def check(self) -> None:
        self._handle.check()


def _keep_model(result: Result, before: State, watch: _StepWatch, handle: Any) -> State:
    """Writes a changed model to the store; a step that left it as it was keeps the file it had."""
    from exports import save_model

    state = result.state
    if state.model is before.model:
        return before
    path = watch.folder / ("model.h5" if state.int8_aware else "model.keras")
    save_model(state.model, path)
    return State(state.model, state.int8_aware, state.trained, path, handle.keep_file(path), state.made_by)


def _restore(recipe: Recipe, data: Dataset, handle: Any, done: list[Any]) -> State:
    """Gives the state after the last finished step; a fresh model when none has finished."""
    for record in reversed(done):
        if record.model_sha256:
            return _stored_state(record, handle)
    if not recipe.needs_model:
        return State(None)
    if recipe.start_file is not None:
        return _imported_state(recipe, recipe.start_file, data, handle)
    if recipe.start is not None:
        return _start_from(recipe.start, data, handle)
    if recipe.model.weights is not None:
        handle.progress(0, 0, 1, "opening weights")
    opened = open_weights(recipe.model, data.resolution, handle.home.cache)
    model = fresh_model(recipe, data, handle.seed)
    return State(model) if opened is None else _published_state(model, opened, recipe, handle)


def _published_state(model: Any, opened: Opened, recipe: Recipe, handle: Any) -> State:
    """Gives the state of published weights: with their classifier a trained model, else one that begins from them."""
    from exports import save_model

    found = load(model, opened, recipe.model)
    handle.log(f"weights {found['file']}: {found['numbers']:,} numbers in {found['layers']} layers, "
               f"SHA-256 {found['sha256'][:12]}")  # fmt: skip
    if not recipe.model.classifier:
        return State(model, weights=found)
    path = Path(handle.folder) / "published.keras"
    save_model(model, path)
    return State(model, False, True, path, handle.keep_file(path), "published", found)


def _weights_sha256(state: State, finished: dict[int, Any]) -> str | None:
    """The hash of the published weights this run began from, now or before it was resumed."""
    known = [state.weights or {}, *(record.report.get("weights", {}) for record in finished.values())]
    return next((one["sha256"] for one in known if one), None)


def imported_model(recipe: Recipe, path: Path, data: Dataset, out: Path) -> tuple[Any, dict[str, Any]]:
    """The model of a file from elsewhere, written anew to `out`, and what was read. ValueError when it does not fit."""
    from exports import import_model, load_model

    found = import_model(path, out, input_range=recipe.start_range, resolution=data.resolution)
    wanted = (*data.resolution, data.channels)
    if found.input_shape != wanted or found.classes != len(data.classes):
        raise ValueError(
            f"the model of {path.name} maps {found.input_shape} to {found.classes} classes; the images need {wanted} "
            f"and {len(data.classes)}: set data.resolution and data.channels to the model's, and use a folder with "
            "its classes"
        )
    return load_model(out), {"file": path.name, "input_range": recipe.start_range, **found.as_dict()}


def _imported_state(recipe: Recipe, path: Path, data: Dataset, handle: Any) -> State:
    """Gives the model of a person's own file as a trained one."""
    handle.progress(0, 0, 1, f"reading {path.name}")
    out = Path(handle.folder) / "imported.keras"
    model, found = imported_model(recipe, path, data, out)
    handle.log(f"model {path.name}: {found['params']:,} params in {found['layers']} layers, "
               f"SHA-256 {found['sha256'][:12]}")  # fmt: skip
    for note in found["notes"]:
        handle.log(f"note: {note}")
    kept = handle.keep_file(out)
    return State(model, False, True, out, kept, "imported", weights={**found, "model_sha256": kept, "warnings": []})


def _start_from(start: str, data: Dataset, handle: Any) -> State:
    """Gives the last model of another run, or the one it had after a step (`run:ID/STEP`, steps count from 1).

    ValueError when there is none, or it does not fit the recipe's images.
    """
    run, _, step = start.removeprefix("run:").partition("/")
    for record in reversed(handle.registry.steps(run)):
        if record.model_sha256 and (not step or record.index < int(step)):
            state = _stored_state(record, handle)
            model = state.model
            wanted = (*data.resolution, data.channels), len(data.classes)
            given = tuple(model.input_shape[1:]), model.output_shape[-1]
            if wanted != given:
                raise ValueError(
                    f"the model of run {run} maps {given[0]} to {given[1]} classes; "
                    f"the images need {wanted[0]} and {wanted[1]}"
                )
            return state
    raise ValueError(f"run {run} has no trained model yet")


def _stored_state(record: Any, handle: Any) -> State:
    """Gives the state a finished step left; writers want a file with a suffix, so the stored one is copied."""
    from exports import load_model

    int8_aware = bool(record.report.get("int8_aware"))
    path = Path(handle.folder) / ("before.h5" if int8_aware else "before.keras")
    shutil.copyfile(handle.home.store.path_of(record.model_sha256), path)
    return State(load_model(path), int8_aware, True, path, record.model_sha256, record.report["made_by"])


def _models_before(recipe: Recipe, handle: Any) -> list[tuple[str, str]]:
    """Lists the float models of the run this one starts from, so that comparisons reach back to its first one."""
    if recipe.start_run is None:
        return []
    records = [record for record in handle.registry.steps(recipe.start_run) if not record.report.get("int8_aware")]
    return [pair for record in records for pair in (*_model_begun_from(record.report), *_models_of(record))]


def _model_begun_from(report: dict[str, Any]) -> list[tuple[str, str]]:
    """The imported model of a run, by what its first step reports: the one that all later ones are compared with."""
    sha256 = (report.get("weights") or {}).get("model_sha256")
    return [("imported", sha256)] if sha256 else []


def _models_of(record: Any) -> list[tuple[str, str]]:
    return [(record.report["made_by"], record.model_sha256)] if record.report.get("changed_model") else []


def _restore_artifacts(handle: Any) -> list[Artifact]:
    from exports import FORMATS, Contract

    steps = {record.index: record for record in handle.finished_steps()}
    found = []
    for row in handle.registry.artifacts(handle.id):
        record = steps.get(row.step)
        if record and row.passed and FORMATS[row.format].family in ("tflite", "onnx"):
            made_by, model = f"{record.report['made_by']} {row.format}", str(record.model_sha256)
            if record.name == "adopt":
                made_by, model = f"adopted {Path(record.report['file']).stem}", ""
            path = handle.home.store.path_of(row.sha256)
            found.append(Artifact(row.id, row.format, path, Contract.from_dict(row.contract), model, made_by))
    return found
