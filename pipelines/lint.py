"""What the linter is asked about: an architecture, the model of a run, or a written file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import pydantic

import zoo
from pipelines.runs import Registry
from pipelines.settings import Settings, make, setting
from zoo import lint
from zoo.sketches import Sketch


def _settings() -> type[Settings]:
    """The thresholds of `zoo/lint/thresholds.py` as settings, so that flags and forms come from one declaration."""
    found: dict[str, Any] = {
        item.name: (
            type(item.default),
            setting(
                item.default,
                help=item.metadata["help"],
                unit=item.metadata["unit"],
                ge=item.metadata["minimum"],
                le=item.metadata["maximum"],
            ),
        )
        for item in fields(lint.Thresholds)
    }
    return pydantic.create_model("LintSettings", __base__=Settings, __doc__="Limits of the linter.", **found)


LintSettings = _settings()


def thresholds(values: Mapping[str, Any]) -> lint.Thresholds:
    """The linter's limits with `values` in place of some. Raises: ValueError naming the limit and its range."""
    return lint.Thresholds(**make(LintSettings, dict(values), "lint").model_dump())


@dataclass(frozen=True)
class Subject:
    """What is looked at: its name, its traffic, in words what is counted, rules that say nothing about it.

    `model` is the Keras model behind a run, for its weights; None otherwise.
    """

    name: str
    what: str
    traffic: lint.Traffic
    view: str = ""
    leave_out: tuple[str, ...] = ()
    model: Any = None


def of_sketch(name: str, sketch: Sketch, *, element_bytes: int = 4, folded: bool = True) -> Subject:
    """An architecture as sketched."""
    return Subject(name, "architecture", lint.Traffic(sketch, element_bytes, folded))


def of_file(path: Any, name: str, suffix: str = "") -> Subject:
    """A written file, as its operators stand in it. Raises: ValueError when it cannot be read."""
    from exports.file_sketch import file_sketch

    found = file_sketch(path, suffix=suffix)
    # The Edge TPU takes TFLite files only, and the names of ONNX's operators are not on its list.
    leave_out = ("edgetpu_operator",) if (suffix or name).endswith(".onnx") else ()
    return Subject(name, "file", lint.Traffic(found.sketch, found.element_bytes, found.folded), found.view, leave_out)


def of_run(registry: Registry, run: str, *, element_bytes: int = 4, folded: bool = True) -> Subject:
    """The last float model of a run, with its weights; imports TensorFlow.

    Raises: ValueError when the run is unknown or has no such model.
    """
    from pipelines.execute import load_stored_model

    registry.get(run)
    models = [step for step in registry.steps(run) if step.model_sha256]
    floats = [step for step in models if not step.report.get("int8_aware")]
    if not floats:
        why = "only an int8-aware model; lint one of its files" if models else "no trained model yet"
        raise ValueError(f"run {run} has {why}")
    step = floats[-1]
    model = load_stored_model(registry.home, str(step.model_sha256))
    traffic = lint.Traffic(zoo.sketch_of(model), element_bytes, folded)
    words = lint.FOLDED if folded else lint.AS_LAID
    view = f"{words}; the model after step {step.index + 1} ({step.name}), in the form it was trained in"
    return Subject(run, "run", traffic, view, model=model)


def document(subject: Subject, limits: lint.Thresholds, profile: lint.Profile) -> dict[str, Any]:
    """The whole answer as plain values."""
    found, traffic, weights = lint.look(subject.traffic, limits, subject.leave_out), subject.traffic, None
    rules = {name: {"title": rule.title, "saves": rule.saves} for name, rule in lint.RULES.items()}
    if subject.model is not None:
        from zoo.lint import weights as dead

        layers = dead.layers(subject.model, traffic, limits)
        found += sorted(dead.look(layers, traffic, limits), key=lambda one: -one.saving_bytes)
        weights = dead.totals(layers)
    return {
        "name": subject.name,
        "what": subject.what,
        **lint.report(traffic, found, subject.view),
        "weights": weights,
        "roofline": lint.of_traffic(traffic, profile).as_dict(),
        "thresholds": asdict(limits),
        "rules": rules,
    }
