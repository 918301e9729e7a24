"""The catalogue of steps, in the order in which a recipe usually has them."""

from __future__ import annotations

from functools import cache

import pydantic

from pipelines.methods import METHODS, method
from pipelines.settings import Settings, setting
from pipelines.steps.adopt import STEP as ADOPT
from pipelines.steps.export import STEP as EXPORT
from pipelines.steps.measure import STEP as MEASURE
from pipelines.steps.shape import AFTER_TRAINING, DISTIL, FACTORISE, PRUNE, QUANTISE, TRAIN
from pipelines.steps.step import Step

STEPS: dict[str, Step] = {
    "train": TRAIN,
    "distil": DISTIL,
    "prune": PRUNE,
    "factorise": FACTORISE,
    "quantise": QUANTISE,
    "export": EXPORT,
    "adopt": ADOPT,
    "measure": MEASURE,
}


def settings_of(step: str, method_name: str | None = None) -> type[Settings]:
    """Gives the settings class of a step; for steps with methods that of the method plus the field `method`.

    Raises ValueError with the nearest names when the method is not of this step's kind.
    """
    found = STEPS[step]
    if found.settings is not None:
        return found.settings
    kind = str(found.methods)
    if method_name is not None and not isinstance(method_name, str):
        raise ValueError(f"{step}.method = {method_name!r}: must be a name")
    return _with_method(method(method_name or default_method(kind), kind).name)


def default_method(kind: str) -> str:
    """Gives the first method of a kind in the catalogue."""
    return next(name for name, found in METHODS.items() if found.kind == kind)


@cache
def _with_method(name: str) -> type[Settings]:
    base = METHODS[name].settings
    field = (str, setting(name, help=METHODS[name].summary))
    return pydantic.create_model(f"{base.__name__}OfStep", __base__=base, __doc__=base.__doc__, method=field)


__all__ = ["AFTER_TRAINING", "STEPS", "Step", "default_method", "settings_of"]
