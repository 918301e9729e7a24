"""Writes the tables of the manual out of the catalogues: `python -m docs.generate`, with `--check` only compares them.

What is typed by hand lies in the other Markdown files. No TensorFlow here: everything is read from declarations.
"""

from __future__ import annotations

import argparse
import contextlib
import inspect
import io
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import astuple
from pathlib import Path
from typing import Any

from annotated_types import Lt

import zoo
from exports import FORMATS, LIMITS, Format
from exports.keras_weights import SUFFIXES
from pipelines.__main__ import parser
from pipelines.commands import COMMANDS
from pipelines.data import SOURCES
from pipelines.data.limits import MEGABYTE, USUAL
from pipelines.methods import METHODS
from pipelines.recipes import MAX_GRID, READY_MADE, DataSettings, Grid, ModelSettings, Recipe, ready_made
from pipelines.settings import Field, Settings, fields_of
from pipelines.steps import STEPS, default_method
from pipelines.steps.export import INT8_AWARE_FORMATS
from zoo.declaration import SMALL_INPUT
from zoo.layers import AFFINE
from zoo.weights import WEIGHTS

FOLDER = Path(__file__).parent
MARK = "<!-- Written by `make docs`. Change the code it comes from, not this file. -->\n"
COLUMNS = "100"  # argparse would otherwise fold its lines to the width of the terminal
COUNTED = ("params", "trainable", "macs", "peak int8")  # what `counts` gives
PRINTED = ("top-1 %", "M params", "M macs", "ours: M trainable", "ours: M macs")


def architectures() -> str:
    """What the zoo holds and what each member costs."""
    overview = [
        (f"[{entry.title}](#{entry.name})", f"`{entry.name}`", entry.source, *counts(entry, variant))
        for entry in zoo.ARCHITECTURES.values()
        for variant in (entry.variants or (None,))[:1]
    ]
    parts = [
        "# Architectures",
        "Counts are this project's own, summed over the network's description at 3 channels and 1,000 classes, at the "
        "paper's resolution where none is named, in the form that is deployed; `python -m pipelines cost NAME` gives "
        "them for any other choice. "
        "Where a paper or a reference implementation gives an exact count, `tests/zoo/test_golden.py` compares ours "
        "with it and names the source.",
        "- **params**: all weights, BatchNorm statistics included; **trainable** leaves those out.\n"
        "- **macs**: multiply-adds of convolutions and dense layers for one image.\n"
        "- **peak int8**: the most activation bytes alive at once in an int8 file, by our model of a runtime that "
        "folds norms and ReLUs away. Predicted, not measured.\n"
        "- *Published* figures are copied from papers and projects, rounded as printed, and were not measured here; "
        "top-1 in per cent, on ImageNet unless said. Weights trained elsewhere are needed to reach them.",
        table(("title", "name", "source", *COUNTED), overview, right=3),
    ]
    for entry in zoo.ARCHITECTURES.values():
        parts += [f"## {entry.name}", f"**{entry.title}.** {entry.summary} Source: {entry.source}."]
        remarks = inspect.getdoc(sys.modules[entry.features.__module__]) or ""
        if "\n\n" in remarks:
            parts.append(remarks.partition("\n\n")[2])
        sides = ", ".join(map(str, entry.resolutions))
        smallest = f" Not below {entry.minimum_side} pixels a side." if entry.minimum_side > 8 else ""
        strides = "small inputs get smaller strides or a form of their own"
        if entry.option(SMALL_INPUT.name):
            strides = f"below 128 the option `{SMALL_INPUT.name}` decides on strides"
        parts.append(
            f"Usual resolutions: {sides} pixels (default {entry.default_resolution}); {strides}.{smallest} "
            f"{widths_of(entry)}"
        )
        designs = [
            (variant, width)
            for variant in entry.variants or (None,)
            for width in entry.published_widths({} if variant is None else {"variant": variant})
        ]
        rows = [(variant or "-", f"{width:g}", *counts(entry, variant, width)) for variant, width in designs]
        parts.append(table(("variant", "width", *COUNTED), rows, right=1))
        if entry.published:
            parts.append(table(("published", *PRINTED), [printed(entry, row) for row in entry.published], right=1))
        options = [(f"`{option.name}`", str(option.default), offered(option), option.help) for option in entry.options]
        parts.append(table(("option", "default", "allowed", "what it does"), options))
    return page(parts)


def methods() -> str:
    """Steps and methods with every setting."""
    parts = [
        "# Steps and methods",
        "A recipe is a list of steps. Each takes the model of the step before it. A step that offers several methods "
        "picks one with `method: NAME`; without it, the first of its kind below.",
        table(
            ("step", "what it does", "methods"),
            [(f"`{step.name}`", step.summary, methods_of(step.methods)) for step in STEPS.values()],
        ),
        "Order: `train` or `distil` first (unless the recipe starts from another run), `quantise` last of the changes, "
        "`measure` after an `export`. A recipe in another order is refused before anything runs.",
    ]
    for name, method in METHODS.items():
        removes = "removes channels" if method.removes_channels else "removes no channel"
        parts += [
            f"## {name}",
            f"**{method.title}** (step `{method.kind}`; {removes}). {method.summary}",
            f"Source: {method.source}.",
            *([f"Measured here ([results](results.md)): {method.measured}"] if method.measured else []),
            settings_table(method.settings),
        ]
    for step in STEPS.values():
        if step.settings is not None:
            parts += [f"## {step.name} step", step.summary, settings_table(step.settings)]
    return page(parts)


def formats() -> str:
    """File formats and what a file must pass."""
    rows = [
        (f"`{entry.id}`", entry.title, f"`{entry.suffix}`", computes_in(entry),
         "yes" if entry.id in INT8_AWARE_FORMATS else "no", entry.when)
        for entry in FORMATS.values()
    ]  # fmt: skip
    limits = [(f"`{name}`", *(f"{100 * share:g} %" for share in astuple(limit))) for name, limit in LIMITS.items()]
    gate_heads = ("format", "same answer, at least", "mean logit error, at most", "largest", "accuracy drop, at most")
    return page([
        "# File formats",
        "Beside each file lies its contract (`NAME.contract.json`: input size, range, channel order, resize kernel, "
        "labels, quantisation, hashes, versions) and a self-test (`NAME.selftest.npz`: inputs with the answers they "
        "must give).",
        table(("format", "title", "suffix", "computes in", "after `int8_aware`", "when to choose it"), rows),
        "*After `int8_aware`*: whether a model that went through that method can still be written this way.",
        "## The gate",
        "Every file is run on validation images and compared with the model it came from before it is offered. It "
        "must use allowed operators only, give finite answers, and stay within these limits. Logit errors are shares "
        "of the range of the model's own logits; in the accuracy one image is always forgiven. A file that fails is "
        "kept as refused, with the cause.",
        table(gate_heads, limits, right=1),
    ])  # fmt: skip


def commands() -> str:
    """Every command with its usage text."""
    parts = [
        "# Commands",
        "`.venv/bin/python -m pipelines COMMAND` does what the pages do. With `--json` a command prints exactly one "
        "JSON document on stdout; logs and progress go to stderr. Exit codes: 0 done, 2 you can fix it (the message "
        "says what was wrong and what would work), 1 our bug (with its trace).",
        table(("command", "what it does"), [(f"[`{name}`](#{name})", found.help) for name, found in COMMANDS.items()]),
    ]
    for name in COMMANDS:
        parts += [f"## {name}", f"```text\n{usage(name)}\n```"]
    return page(parts)


def data() -> str:
    """Data sources and the limits on files from elsewhere."""
    return page([
        "# Data sources",
        table(
            ("name", "you type", "title", "what it is"),
            [(f"`{source.name}`", f"`{source.example}`", source.title, source.help) for source in SOURCES.values()],
        ),
        "Folders and zips hold one sub-folder per class. Sub-folders called `train`, `validation` and `test` that hold "
        "the class folders are taken as the split; otherwise the images are dealt by class and by a hash of their "
        "pixels, so equal pictures never end up on both sides and the order of the files does not matter. "
        "`python -m pipelines data SOURCE` shows classes, counts per split, and every file that was set aside with "
        "the reason.",
        "## How a recipe reads them",
        "These are the keys of a recipe's `data` section.",
        settings_table(DataSettings),
        "## Limits on files from elsewhere",
        "Images are decoded and zips unpacked in child processes with limits on memory, time and output.",
        table(
            ("limit", "value"),
            [
                ("pixels of an image", f"{USUAL.max_pixels:,}"),
                ("bytes of an image file", f"{USUAL.max_file_bytes // MEGABYTE:,} MiB"),
                ("time for an image", f"{USUAL.image_seconds} s"),
                ("memory of a child process", f"{USUAL.memory_bytes // MEGABYTE:,} MiB"),
                ("images of a set", f"{USUAL.max_images:,}"),
                ("all pixels of a prepared set", f"{USUAL.prepared_bytes // MEGABYTE:,} MiB"),
                ("entries of a zip", f"{USUAL.zip_entries:,}"),
                ("all entries of a zip, unpacked", f"{USUAL.zip_total_bytes // MEGABYTE:,} MiB"),
            ],
            right=1,
        ),
    ])  # fmt: skip


def recipes() -> str:
    """The recipe file: its parts, and the ready-made ones."""
    parts = [
        "# Recipes",
        "A recipe is a YAML file: `name`, `description`, `seed`, `data`, `model`, a list of `steps`, and if wanted "
        "`start` (`run:ID`, begin from that run's model, or `file:PATH`, from a Keras model of your own, with "
        "`start_range`, the pixels it was trained on) and `grid`. What is left out takes its default. "
        "`python -m pipelines run FILE` executes one, `--set train.epochs=3` changes a value on the way.",
        "## Ready-made",
    ]
    rows = []
    for name in ready_made():
        recipe = Recipe.load(name)
        steps = ", ".join(spec.step for spec in recipe.steps)
        rows.append((f"`{name}`", recipe.description, steps, recipe.data.source, recipe.model.name))
    parts.append(table(("name", "what it does", "steps", "data", "model"), rows))
    first = "digits_quick" if "digits_quick" in ready_made() else ready_made()[0]
    text = (READY_MADE / f"{first}.yaml").read_text(encoding="utf-8").strip()
    parts += [f"`{first}` in full:", f"```yaml\n{text}\n```"]
    parts += ["## model", settings_table(ModelSettings), "More on weights: [published weights](weights.md)."]
    parts += ["## data", "See [data sources](data.md#how-a-recipe-reads-them)."]
    parts += ["## grid", f"At most {MAX_GRID} combinations, each a run of its own in one group.", settings_table(Grid)]
    parts += ["## steps", "See [steps and methods](methods.md)."]
    return page(parts)


def weights() -> str:
    """Published weights: what there is, how they are used, what is done to images."""
    rows = []
    for name, entry in WEIGHTS.items():
        for variant in entry.variants or (None,):
            published = [row for row in entry.published if row.variant == variant]
            widths = ", ".join(f"{width:g}" for width in dict.fromkeys(row.width for row in published))
            sides = ", ".join(str(side) for side in sorted({row.resolution for row in published}))
            rows.append((f"`{name}`", variant or "-", entry.reference, widths, sides))
    return page([
        "# Published weights",
        "A network may begin from the weights that `keras.applications` publishes, trained on ImageNet, and not from "
        "random numbers. Try it first when you have few images of your own.",
        "```yaml\ndata: {source: 'folder:photos', resolution: 160, channels: 3}\n"
        "model: {name: mobilenet_v2, width: 0.5, weights: imagenet, frozen: backbone}\nsteps:\n"
        "  - train: {epochs: 10}\n  - export: {formats: [tflite_int8]}\n  - measure: {}\n```",
        "- **`weights`**: `imagenet`, or the path of a weight file. `imagenet` takes the file from Keras' own cache "
        "(`~/.keras/models`), else from ours, else downloads it; without internet a run is refused before it is "
        "recorded, with the address and the folder to put the file into. A path may be a file of keras.applications "
        "or one that `save_weights` or `save` wrote for the same network, of tf_keras or Keras 3: "
        f"{', '.join(f'`{suffix}`' for suffix in SUFFIXES)}.\n"
        "- **`classifier`**: keeps the published classifier, for images of its 1,000 classes, their folders in the "
        "order of ImageNet's. Such a model counts as trained, so `export` may come first.\n"
        "- **`frozen`**: with `backbone`, `train` and `distil` change the head only and norms keep their statistics; "
        "`prune`, `factorise` and `quantise` fine-tune every layer all the same. To train everything afterwards, more "
        "gently, go on from the run: `start: run:ID`, `frozen: none` and a tenth of the learning rate.",
        "Images must have 3 channels; `channels: 3` repeats grey. Every shape is checked before the first number is "
        "loaded, and a layer that does not fit is named with what was found and expected. The SHA-256 of the file "
        "stands in the report of the run's first step, and a warning when the resolution is not that of the training.",
        "## What there is",
        table(("name", "variant", "keras.applications", "widths", "trained at, pixels"), rows),
        "With `imagenet` the file trained nearest to your resolution is taken. Below 128 pixels most networks here "
        f"leave out strides, where the weights fit but mean less; the option `{SMALL_INPUT.name}: paper` keeps the "
        "strides they were trained with, and the published classifier needs it ([architectures](architectures.md)).",
        "## What is done to images",
        f"Litesmith's models see pixels from 0 to 1. What the reference was trained on stands in front of the network "
        f"as its first layer, `{AFFINE}`: a 1x1 depthwise convolution, scale and offset by colour, that is never "
        "trained. It is part of every file written, so a device needs no step of its own. Networks trained on "
        "blue-green-red images (ResNet, VGG) get their first kernel turned round instead. Zeros around the map come "
        "after this layer, as in the reference, so outputs agree: the tests compare every family with "
        "`tf_keras.applications` to 1e-5 of the largest output.",
        "Where the reference differs in form, weights are folded: biases in front of a normalisation (ResNet-50) go "
        "into its mean, a normalisation behind a concatenation (NASNet) is cut in parts. ResNet-50 has its stride on "
        "the first 1x1 convolution, as published there.",
    ])  # fmt: skip


PAGES: dict[str, Callable[[], str]] = {
    "architectures.md": architectures,
    "weights.md": weights,
    "methods.md": methods,
    "formats.md": formats,
    "commands.md": commands,
    "data.md": data,
    "recipes.md": recipes,
}


def settings_table(settings: type[Settings]) -> str:
    """The table of a settings class, in the order its fields are written."""
    rows = [
        (f"`{field.name}`", default_of(field), allowed(field, settings), field.unit or "-", field.help)
        for field in fields_of(settings)
    ]
    if not rows:
        return "No settings."
    return table(("setting", "default", "allowed", "unit", "what it does"), rows)


def default_of(field: Field) -> str:
    """The default as one would type it in a recipe."""
    if field.default is None:
        return "empty"
    if isinstance(field.default, bool):
        return "true" if field.default else "false"
    if isinstance(field.default, tuple | dict):
        return ", ".join(map(str, field.default)) or "empty"
    return f"{field.default:g}" if isinstance(field.default, float) else str(field.default)


def allowed(field: Field, settings: type[Settings]) -> str:
    """The choices or the range of a setting."""
    if field.choices:
        return ", ".join(map(str, field.choices))
    if field.type is bool:
        return "true, false"
    below = any(isinstance(limit, Lt) for limit in settings.model_fields[field.name].metadata)
    return between(field.minimum, field.maximum, above=field.exclusive, below=below)


def between(low: float | None, high: float | None, *, above: bool = False, below: bool = False) -> str:
    """A range in words."""
    words = []
    if low is not None:
        words.append(f"above {low:,g}" if above else f"from {low:,g}")
    if high is not None:
        words.append(f"below {high:,g}" if below else f"to {high:,g}")
    return ", ".join(words).replace(", to ", " to ") or "-"


def offered(option: zoo.Option) -> str:
    """The choices or the range of an architecture's option."""
    if option.choices is not None:
        return ", ".join(map(str, option.choices))
    if isinstance(option.default, bool):
        return "true, false"
    return between(option.minimum, option.maximum)


def counts(entry: zoo.Architecture, variant: str | None = None, width: float = 1.0) -> tuple[str, ...]:
    """Params, trainable params, macs and int8 peak bytes at the paper's resolution and 1,000 classes."""
    chosen: dict[str, Any] = {} if variant is None else {"variant": variant}
    cost = zoo.cost(entry.name, width=width, classes=1000, element_bytes=1, **chosen)
    return tuple(f"{value:,}" for value in (cost.params, cost.trainable_params, cost.macs, cost.peak_activation_bytes))


def printed(entry: zoo.Architecture, row: zoo.Published) -> tuple[str, ...]:
    """A published design, what was printed about it, and our count of it."""
    classes = 10 if "CIFAR-10" in row.note else 1000
    cost = zoo.cost(entry.name, width=row.width, resolution=row.resolution, classes=classes, **row.options)
    chosen = "".join(f", {key} {value}" for key, value in row.options.items())
    return (
        f"width {row.width:g}, {row.resolution} px{chosen}{f' ({row.note})' if row.note else ''}",
        *("-" if value is None else f"{value:g}" for value in (row.top1, row.mega_params, row.mega_macs)),
        f"{cost.trainable_params / 1e6:.2f}",
        f"{cost.macs / 1e6:.1f}",
    )


def computes_in(entry: Format) -> str:
    if entry.family == "bundle":
        return "-"
    return "integers" if entry.integer else "floats"


def widths_of(entry: zoo.Architecture) -> str:
    """What may be asked for as width."""
    named = ", ".join(f"{width:g}" for width in entry.widths)
    said = f"Published widths: {named}; every other that the rounding rule allows works as well."
    if entry.width_is_extension:
        said = f"The paper has no width multiplier; widths other than {named} are an extension of this project."
    for variant, widths in entry.variant_widths.items():
        only = ", ".join(f"{width:g}" for width in widths)
        said += f" `{variant}` is published at {only} only; its other widths are an extension of this project."
    return said


def methods_of(kind: str | None) -> str:
    if kind is None:
        return "one way only"
    names = [f"[`{name}`](#{name})" for name, method in METHODS.items() if method.kind == kind]
    return ", ".join(names) + (f" (default `{default_method(kind)}`)" if len(names) > 1 else "")


def usage(name: str) -> str:
    """The help text of a command, folded to a fixed width."""
    said = io.StringIO()
    with fixed_width(), contextlib.redirect_stdout(said), contextlib.suppress(SystemExit):
        parser().parse_args([name, "--help"])
    return said.getvalue().rstrip()


@contextlib.contextmanager
def fixed_width() -> Iterator[None]:
    before = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = COLUMNS
    try:
        yield
    finally:
        if before is None:
            del os.environ["COLUMNS"]
        else:
            os.environ["COLUMNS"] = before


def table(heads: Sequence[str], rows: Iterable[Sequence[str]], right: int | None = None) -> str:
    """A Markdown table; columns from number `right` on hold numbers."""
    rule = ["---" if right is None or place < right else "---:" for place in range(len(heads))]
    lines = [heads, rule, *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def page(parts: Sequence[str]) -> str:
    return MARK + "\n" + "\n\n".join(parts) + "\n"


def outdated() -> list[str]:
    """The names of the files that are missing or differ from what would be written now."""
    found = []
    for name, make in PAGES.items():
        path = FOLDER / name
        if not path.is_file() or path.read_text(encoding="utf-8") != make():
            found.append(f"docs/{name}")
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Writes the tables, or compares them. 1 when one is out of date."""
    asked_for = argparse.ArgumentParser(prog="python -m docs.generate", description="Tables of the manual.")
    asked_for.add_argument("--check", action="store_true", help="write nothing; exit 1 naming what is out of date")
    asked = asked_for.parse_args(arguments)
    if asked.check:
        late = outdated()
        for name in late:
            print(f"{name} is out of date; `make docs` writes it", file=sys.stderr)
        return 1 if late else 0
    for name, make in PAGES.items():
        (FOLDER / name).write_text(make(), encoding="utf-8")
        print(f"wrote docs/{name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
