"""Recipes: a YAML file that says data, model and steps, and nothing that a machine decides.

    name: digits demo
    seed: 0
    data: {source: digits, resolution: 24}
    model: {name: mobilenet_v2, width: 0.5}
    steps:
      - train: {epochs: 20}
      - quantise: {method: int8_aware, epochs: 2}
      - export: {formats: [tflite_int8]}
      - measure: {}

A `grid` of widths and resolutions makes one recipe per combination, in one group.
"""

from __future__ import annotations

import hashlib
import json
from difflib import get_close_matches
from os.path import expanduser  # which leaves the home of nobody as it is; that of pathlib raises
from pathlib import Path
from typing import Any, Literal

import pydantic

import zoo
from exports.keras_import import FOREIGN_SUFFIXES, check_named
from pipelines.data import LARGEST_SIDE, SOURCES, check_shares
from pipelines.methods import METHODS
from pipelines.settings import Settings, explain, make, setting, shown
from pipelines.steps import AFTER_TRAINING, STEPS, settings_of
from pipelines.steps.export import INT8_AWARE_FORMATS
from pipelines.weights import IMAGENET, Frozen, judge
from pipelines.yaml_text import read, write

MAX_BYTES = 256 * 1024  # a recipe is a page of text; more is a mistake or an attack
MAX_GRID = 64
READY_MADE = Path(__file__).parent / "recipes"


class DataSettings(Settings):
    """Which images, at what size, and how they are split."""

    source: str = setting("digits", help="digits, fashion_mnist, folder:PATH or zip:PATH", min_length=1)
    resolution: int | tuple[int, int] | None = setting(
        None, unit="pixels", help="Side of the input, or [height, width]; empty: the set's own"
    )
    channels: int | None = setting(None, ge=1, le=3, help="1 grey or 3 colour; empty: the set's own")
    split_seed: int = setting(0, ge=0, help="Seed of the split into train, validation and test")
    validation: float | None = setting(
        None,
        gt=0,
        lt=0.5,
        unit="share",
        help="Share of the images that choices are made on; empty: the source's own (mostly 0.15)",
    )
    test: float | None = setting(
        None, gt=0, lt=0.5, unit="share",
        help="Share of the images kept aside for the final judgement; empty: the source's own "
        "(mostly 0.2, or its official test images)",
    )  # fmt: skip

    @property
    def likely_resolution(self) -> int | tuple[int, int]:
        """The resolution asked for, else what the set's own is or, before its images are opened, may be."""
        return self.resolution or self.own("side") or 96

    def own(self, fact: Literal["side", "channels", "classes"]) -> int | None:
        """What is known of every set of this source without opening it; None where each has its own."""
        source = SOURCES.get(self.source)
        return getattr(source, fact) if source else None

    @pydantic.field_validator("source")
    @classmethod
    def _whole_path(cls, value: str) -> str:
        name, _, path = value.strip().partition(":")
        if name in SOURCES and SOURCES[name].takes_path and path.strip():
            # A job runs in another folder than the one in which the path was typed.
            return f"{name}:{Path(expanduser(path)).absolute()}"
        return value

    @pydantic.field_validator("resolution", mode="before")
    @classmethod
    def _whole_pixels(cls, value: Any) -> Any:
        sides = value if isinstance(value, list | tuple) else [value, value]
        usable = len(sides) == 2 and all(_whole(side) and 8 <= side <= LARGEST_SIDE for side in sides)
        if value is not None and not usable:
            raise ValueError(
                f"resolution must be a whole number of pixels from 8 to {LARGEST_SIDE}, or [height, width]"
            )
        return tuple(value) if isinstance(value, list) else value

    @pydantic.model_validator(mode="after")
    def _room_to_train(self) -> DataSettings:
        if self.validation is not None and self.test is not None:  # a source's own shares leave room beside any other
            check_shares(self.validation, self.test)
        return self


class ModelSettings(Settings):
    """Which architecture, how wide, and what its weights are at the start."""

    name: str = setting("mobilenet_v2", help="Architecture of the zoo")
    width: float = setting(1.0, gt=0, le=8, help="Channel multiplier; 1.0 is the paper's")
    options: dict[str, Any] = setting({}, help="The architecture's own options")
    weights: str | None = setting(
        None,
        help="Where its weights begin: imagenet (published with keras.applications), or the path of a weight file of "
        "Keras; empty: random numbers",
    )
    classifier: bool = setting(
        False, help="Keep the published classifier as well, when the images have its 1,000 classes"
    )
    frozen: Frozen = setting(
        "none",
        help="backbone: train and distil change the head only, and norms keep their statistics; "
        "prune, factorise and quantise change every layer all the same",
    )

    @pydantic.model_validator(mode="before")
    @classmethod
    def _options_apart(cls, values: Any) -> Any:
        if isinstance(values, dict):
            family = zoo.ARCHITECTURES.get(str(values.get("name")))
            own = [option.name for option in family.options] if family else []
            if astray := {key: value for key, value in values.items() if key in own and key not in cls.model_fields}:
                given = ", ".join(f"{key}: {value}" for key, value in astray.items())
                raise ValueError(f"what belongs to {values['name']} alone stands below options: {{{given}}}")
        return values

    @pydantic.field_validator("name")
    @classmethod
    def _known(cls, value: str) -> str:
        zoo.architecture(value)
        return value

    @pydantic.field_validator("weights")
    @classmethod
    def _whole_path(cls, value: str | None) -> str | None:
        value = (value or "").strip()  # a form's empty field is a text too
        if value in ("", IMAGENET):
            return value or None
        # A job runs in another folder than the one in which the path was typed.
        return str(Path(expanduser(value)).absolute())


class Grid(Settings):
    """Widths and resolutions of which every combination becomes a run of its own."""

    widths: tuple[float, ...] = setting((), help="Widths; empty: the model's")
    resolutions: tuple[int, ...] = setting((), unit="pixels", help="Resolutions; empty: the data's")

    @pydantic.field_validator("widths", "resolutions")
    @classmethod
    def _each_once(cls, values: tuple[Any, ...]) -> tuple[Any, ...]:
        twice = next((value for at, value in enumerate(values) if value in values[:at]), None)
        if twice is not None:
            raise ValueError(f"{twice:g} is there twice; it would be run twice, so give it once")
        return values


class StepSpec(pydantic.BaseModel):
    """One step of a recipe: its name, its method where there are several, and its settings."""

    model_config = pydantic.ConfigDict(frozen=True)
    step: str
    settings: pydantic.SerializeAsAny[Settings]


class Recipe(pydantic.BaseModel):
    """A plan that can be run again. Frozen."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")
    name: str = pydantic.Field("run", min_length=1, max_length=120)
    description: str = pydantic.Field("", max_length=4000)
    seed: int = pydantic.Field(0, ge=0, le=2**31 - 1, strict=True)
    data: DataSettings = DataSettings()
    model: ModelSettings = ModelSettings()
    start: str | None = pydantic.Field(
        None,
        pattern=r"^(run:r\d+(/\d+)?|file:.+)$",
        max_length=4096,
        description="Begin from the last model of run:ID, from that of its step N (run:ID/N), or from a Keras model "
        "file of your own (.keras, .h5, a SavedModel's folder or a zip of it): file:PATH",
    )
    start_range: Literal["0..1", "-1..1", "0..255"] = pydantic.Field(
        "0..1", description="The range of pixels that the model of start = file:PATH was trained on"
    )
    steps: tuple[StepSpec, ...] = ()
    grid: Grid | None = None

    @classmethod
    def load(cls, source: str | Path) -> Recipe:
        """Reads a file, or the name of a ready-made recipe. Raises ValueError with the place of the mistake."""
        path = Path(source)
        if not path.suffix and (READY_MADE / f"{source}.yaml").exists():
            path = READY_MADE / f"{source}.yaml"
        if not path.is_file():
            near = get_close_matches(path.stem, ready_made(), 3, 0.4)
            offer = f"; ready-made: {', '.join(near or ready_made())}"
            raise ValueError(f"recipe {str(source)!r} is neither a file nor a ready-made recipe{offer}")
        if path.stat().st_size > MAX_BYTES:
            raise ValueError(f"recipe {path} has {path.stat().st_size} bytes; at most {MAX_BYTES} are read")
        return cls.parse(path.read_text(encoding="utf-8", errors="replace"))

    @classmethod
    def parse(cls, text: str) -> Recipe:
        """Reads YAML text. Raises ValueError with the place of the mistake."""
        if len(text.encode()) > MAX_BYTES:
            raise ValueError(f"the recipe has {len(text.encode())} bytes; at most {MAX_BYTES} are read")
        return cls.of(read(text, "the recipe"))

    @classmethod
    def of(cls, values: Any) -> Recipe:
        """Builds a recipe from plain values, as YAML or JSON give them."""
        if not isinstance(values, dict):
            raise ValueError(f"a recipe is a mapping with data, model and steps; received {type(values).__name__}")
        values = dict(values)
        steps = values.pop("steps", [])
        if not isinstance(steps, list | tuple):
            raise ValueError(f"steps = {shown(steps)}: must be a list of steps such as `- train: {{epochs: 20}}`")
        try:
            recipe = cls.model_validate(values)
        except pydantic.ValidationError as error:
            raise ValueError(explain(error, cls, "")) from None
        if recipe.start_file is not None:  # the file's own network counts; of `model` only what is trained of it
            recipe = recipe.model_copy(update={"model": ModelSettings(frozen=recipe.model.frozen)})
        recipe = recipe.model_copy(update={"steps": tuple(_step(place, item) for place, item in enumerate(steps, 1))})
        _check_order(recipe)
        recipe.expand()
        return recipe

    def as_dict(self) -> dict[str, Any]:
        """Gives plain values that `of` reads back to an equal recipe."""
        values = json.loads(self.model_dump_json(exclude={"steps", "grid"}))
        values["steps"] = [{spec.step: json.loads(spec.settings.model_dump_json())} for spec in self.steps]
        if self.grid:
            values["grid"] = json.loads(self.grid.model_dump_json())
        return values

    def dump(self, brief: bool = True) -> str:
        """Gives YAML text; brief leaves out what equals its default."""
        values = self.as_dict()
        if brief:
            for part, kind in (("data", DataSettings), ("model", ModelSettings)):
                values[part] = _brief(kind, values[part], always=("source", "name", "width"))
            values["steps"] = [
                {spec.step: _brief(type(spec.settings), spec.settings.model_dump(mode="json"), always=("method",))}
                for spec in self.steps
            ]
            if not self.needs_model:
                del values["model"]
            elif self.start_file is not None:
                values["model"] = {key: value for key, value in values["model"].items() if key == "frozen"}
            if self.start_range == "0..1":
                del values["start_range"]
            values = {key: value for key, value in values.items() if value not in ("", None, {}) or key == "steps"}
        return write(values)

    @pydantic.field_validator("start")
    @classmethod
    def _whole_start(cls, value: str | None) -> str | None:
        if value is None or not value.startswith("file:"):
            return value
        path = Path(expanduser(value.removeprefix("file:")))
        if path.suffix in FOREIGN_SUFFIXES:  # another may be a folder that is gone, in the recipe of an old run
            check_named(path)
        # A job runs in another folder than the one in which the path was typed.
        return f"file:{path.absolute()}"

    @property
    def start_run(self) -> str | None:
        """The id of the run this recipe begins from."""
        found = self.start is not None and self.start.startswith("run:")
        return str(self.start).removeprefix("run:").partition("/")[0] if found else None

    @property
    def start_file(self) -> Path | None:
        """The model file this recipe begins from."""
        found = self.start is not None and self.start.startswith("file:")
        return Path(str(self.start).removeprefix("file:")) if found else None

    @property
    def needs_model(self) -> bool:
        """Whether any of its steps has to do with a model, and not with finished files alone."""
        return not self.steps or any(spec.step not in ("adopt", "measure") for spec in self.steps)

    @property
    def sha256(self) -> str:
        """Hash over everything that decides the result; the name and description do not."""
        values = {key: value for key, value in self.as_dict().items() if key not in ("name", "description")}
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()

    def expand(self) -> list[Recipe]:
        """Gives one recipe per combination of the grid; itself when there is none.

        Raises ValueError when the architecture does not offer one of them.
        """
        widths = (self.grid and self.grid.widths) or (self.model.width,)
        resolutions: Any = (self.grid and self.grid.resolutions) or (self.data.resolution,)
        if self.start_file is not None and len(widths) * len(resolutions) > 1:
            raise ValueError(f"start = {self.start}: the model of a file has one width and size; leave the grid out")
        if len(widths) * len(resolutions) > MAX_GRID:
            raise ValueError(
                f"the grid has {len(widths) * len(resolutions)} runs; at most {MAX_GRID} are started at once"
            )
        found = []
        for width in widths:
            for resolution in resolutions:
                model = make(ModelSettings, {**self.model.model_dump(), "width": width}, "model")
                data = make(DataSettings, {**self.data.model_dump(), "resolution": resolution}, "data")
                if self.start_file is None and self.needs_model:
                    # The sketch is the judge of width, resolution and options, and costs milliseconds.
                    zoo.sketch(
                        model.name, width=model.width, resolution=data.likely_resolution, classes=10,
                        channels=data.channels or 3, **zoo.architecture(model.name).settle(model.options),
                    )  # fmt: skip
                judge(model, data, self.start)
                name = (
                    f"{self.name} w{width:g} r{_side(resolution)}" if len(widths) * len(resolutions) > 1 else self.name
                )
                found.append(self.model_copy(update={"name": name, "model": model, "data": data, "grid": None}))
        return found


def ready_made() -> list[str]:
    """Lists the names of the recipes that come with Litesmith."""
    return sorted(path.stem for path in READY_MADE.glob("*.yaml"))


def _step(place: int, item: Any) -> StepSpec:
    if isinstance(item, str):
        item = {item: {}}
    if not isinstance(item, dict) or len(item) != 1:
        raise ValueError(
            f"step {place} = {shown(item)}: must be one name with its settings, such as `train: {{epochs: 20}}`"
        )
    name, values = next(iter(item.items()))
    if name not in STEPS:
        near = get_close_matches(str(name), STEPS, 3, 0.4)
        raise ValueError(
            f"step {place} = {shown(name)} is not a step; "
            + (f"did you mean {near[0]}?" if near else f"steps: {', '.join(STEPS)}")
        )
    values = {} if values is None else values
    if not isinstance(values, dict):
        raise ValueError(
            f"steps.{place}.{name} = {shown(values)}: must be a mapping of settings, such as `{name}: {{key: value}}`, "
            "or nothing"
        )
    kind = settings_of(name, values.get("method"))
    return StepSpec(step=name, settings=make(kind, values, f"steps.{place}.{name}"))


def _check_order(recipe: Recipe) -> None:
    """Refuses orders of steps that could only fail after the training. A model from another run counts as trained."""
    trained, int8_aware, exported = recipe.start is not None or recipe.model.classifier, False, False
    for place, spec in enumerate(recipe.steps, 1):
        where = f"step {place} ({spec.step})"
        if STEPS[spec.step].methods:
            if int8_aware:
                raise ValueError(f"{where} comes after int8-aware training, which must be the last change of the model")
            if spec.step in AFTER_TRAINING and not trained:
                raise ValueError(f"{where} needs a trained model: put train or distil before it")
            trained, int8_aware = True, METHODS[spec.settings.method].int8_aware  # type: ignore[attr-defined]
        elif spec.step == "export":
            if not trained:
                raise ValueError(f"{where} needs a trained model: put train or distil before it")
            formats: tuple[str, ...] = spec.settings.formats  # type: ignore[attr-defined]
            wrong = [name for name in formats if int8_aware and name not in INT8_AWARE_FORMATS]
            if wrong:
                raise ValueError(
                    f"{where}: an int8-aware model cannot be written as {', '.join(wrong)}; "
                    f"possible here: {', '.join(INT8_AWARE_FORMATS)}. Put an export of float files before quantise"
                )
            exported = True
        elif spec.step == "adopt":
            if not spec.settings.file:  # type: ignore[attr-defined]
                raise ValueError(f"{where} needs a file: name a finished .tflite or .onnx classifier")
            exported = True
        elif spec.step == "measure" and not exported:
            raise ValueError(f"{where} has nothing to measure: put export or adopt before it")


def _brief(kind: type[Settings], values: dict[str, Any], always: tuple[str, ...]) -> dict[str, Any]:
    defaults = {name: info.default for name, info in kind.model_fields.items()}

    def plain(value: Any) -> Any:
        return list(value) if isinstance(value, tuple) else value

    return {key: value for key, value in values.items() if key in always or value != plain(defaults[key])}


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _side(resolution: Any) -> str:
    return "x".join(map(str, resolution)) if isinstance(resolution, tuple) else str(resolution or "own")
