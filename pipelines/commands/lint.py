"""`lint WHAT`: what a network wastes, and where it is bound by memory."""

from __future__ import annotations

import argparse
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import zoo
from pipelines.commands.command import Command, options_of, resolution, table
from pipelines.lint import LintSettings, Subject, document, of_file, of_run, of_sketch, thresholds
from pipelines.runs import Home, Registry
from pipelines.settings import fields_of
from zoo.lint import PROFILES, Profile, profile_named
from zoo.lookup import unknown_name
from zoo.request import FORMS

FILES = (".tflite", ".onnx")
VIEWS = ("folded", "laid")
SHOWN = 15
# What only an architecture's name leaves open, and what a written file has settled.
OF_A_NAME = ("width", "resolution", "classes", "channels", "form", "set")
NOT_OF_A_FILE = ("element_bytes", "view")


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("what", help="an architecture, a run's id, an artifact's id, or a .tflite or .onnx file")
    parser.add_argument("--width", type=float, help="channel multiplier (1.0 = paper)")
    parser.add_argument("--resolution", help="side of the input in pixels, or HEIGHTxWIDTH; default: the paper's")
    parser.add_argument("--classes", type=int, help="default: 1000")
    parser.add_argument("--channels", type=int, help="1 grey or 3 colour; default: 3")
    parser.add_argument("--form", choices=FORMS, help="as trained or as deployed, where these differ; default: deploy")
    parser.add_argument("--set", action="append", metavar="KEY=VALUE", help="an option of the architecture")
    parser.add_argument("--element-bytes", type=int, help="bytes per number: 4 float32 (default), 2 float16, 1 int8")
    parser.add_argument("--view", choices=VIEWS, help="with what a runtime folds away gone (default), or as laid")
    target = parser.add_argument_group("target of the roofline")
    target.add_argument("--profile", default="phone_cpu", metavar="NAME", help=", ".join(PROFILES))
    target.add_argument("--peak-gops", type=float, help="10^9 operations a second, two per multiply-add")
    target.add_argument("--bandwidth", type=float, help="10^9 bytes a second between memory and arithmetic")
    limits = parser.add_argument_group("limits")
    for field in fields_of(LintSettings):
        # argparse reads a per cent sign as the start of a format.
        text = f"{field.help} (default {field.default:.4g} {field.unit})".replace("%", "%%")
        limits.add_argument(f"--{field.name.replace('_', '-')}", type=field.type, metavar="N", help=text)


def run(asked: argparse.Namespace) -> dict[str, Any]:
    values = {field.name: getattr(asked, field.name) for field in fields_of(LintSettings)}
    limits = thresholds({name: value for name, value in values.items() if value is not None})
    profile = target_of(asked)
    return document(subject_of(asked), limits, profile)


def subject_of(asked: argparse.Namespace) -> Subject:
    """What is meant: a file that exists or is called like one, an architecture, a run, or an artifact."""
    what, home = asked.what, None
    if Path(what).suffix in FILES or Path(what).is_file():
        return _file(asked, Path(what), Path(what).name)
    if what in zoo.ARCHITECTURES:
        return _architecture(asked)
    home = Home.open()
    registry = Registry(home)
    if what.startswith("r") and what[1:].isdigit():
        _refuse(asked, OF_A_NAME, "the model of a run")
        return of_run(registry, what, element_bytes=_size(asked), folded=asked.view != "laid")
    found = registry.artifacts(id=what)
    if not found:
        wrong = unknown_name("architecture", what, zoo.ARCHITECTURES)
        raise ValueError(f"{wrong}; nor is it a run, an artifact or a file")
    return _file(asked, home.store.path_of(found[0].sha256), found[0].name)


def target_of(asked: argparse.Namespace) -> Profile:
    """The profile asked for, with the figures that were changed."""
    profile = profile_named(asked.profile)
    if asked.peak_gops is not None:
        profile = replace(profile, float_gops=asked.peak_gops, int8_gops=asked.peak_gops, origin="figures of your own")
    if asked.bandwidth is not None:
        profile = replace(profile, bandwidth_gbs=asked.bandwidth, origin="figures of your own")
    return profile


def _architecture(asked: argparse.Namespace) -> Subject:
    chosen = options_of(zoo.architecture(asked.what), asked)
    given = {name: getattr(asked, name) for name in ("width", "classes", "channels", "form")}
    given = {name: value for name, value in given.items() if value is not None}
    if asked.resolution is not None:
        given["resolution"] = resolution(asked.resolution)
    sketch = zoo.sketch(asked.what, **given, **chosen)
    return of_sketch(asked.what, sketch, element_bytes=_size(asked), folded=asked.view != "laid")


def _file(asked: argparse.Namespace, path: Path, name: str) -> Subject:
    _refuse(asked, (*OF_A_NAME, *NOT_OF_A_FILE), "a written file")
    return of_file(path, name, Path(name).suffix)


def _size(asked: argparse.Namespace) -> int:
    return 4 if asked.element_bytes is None else asked.element_bytes


def _refuse(asked: argparse.Namespace, names: tuple[str, ...], what: str) -> None:
    given = [f"--{name.replace('_', '-')}" for name in names if getattr(asked, name) is not None]
    if given:
        raise ValueError(f"{', '.join(given)}: {what} has these settled; leave them out")


def show(document: dict[str, Any]) -> str:
    lines = [
        f"{document['name']} ({document['what']}), {document['element_bytes']} bytes per number",
        f"view: {document['view']}",
        f"memory access {document['memory_access_bytes']:,} B, saveable by G1 to G4 "
        f"{document['saveable_bytes']:,} B ({100 * document['saveable_share']:.1f} %)",
        f"element-wise {100 * document['elementwise_share']:.1f} % of bytes, rearranging "
        f"{100 * document['rearranged_share']:.1f} %, fragmentation degree {document['fragmentation_degree']}",
        f"breaks: {', '.join(document['breaks']) or 'none of G1 to G4'}",
        "",
    ]
    found = document["findings"]
    if found:
        counts = Counter(row["rule"] for row in found)
        lines.append("findings: " + ", ".join(f"{count} {rule}" for rule, count in counts.items()))
        most = sorted(found, key=lambda row: -row["saving_bytes"])[:SHOWN]
        rows = [{**row, "share": f"{100 * row['saving_share']:.1f} %"} for row in most]
        columns = {"rule": "rule", "layer": "layer", "saving_bytes": "saves B", "share": "share"}
        lines += [table(rows, {**columns, "evidence": "evidence"})]
        if len(found) > SHOWN:
            lines.append(f"... and {len(found) - SHOWN} more; --json holds them all")
    else:
        lines.append("no findings")
    if document["weights"]:
        lines += ["", _dead(document["weights"])]
    return "\n".join([*lines, "", *_roofline(document["roofline"])])


def _dead(weights: dict[str, Any]) -> str:
    depthwise, channels = weights["dead_depthwise_share"], weights["dead_channel_share"]
    parts = [f"dead channels {100 * channels:.1f} % of {weights['channels']:,}"] if channels is not None else []
    if depthwise is not None:
        parts.append(f"dead depthwise kernels {100 * depthwise:.1f} % of {weights['depthwise_kernels']:,}")
    return "; ".join(parts)


def _roofline(found: dict[str, Any]) -> list[str]:
    profile = found["profile"]
    slowest = sorted(found["layers"], key=lambda row: -row["seconds"])[:5]
    rows = [{**row, "time": f"{100 * row['seconds_share']:.1f} %"} for row in slowest]
    low, high = (f"{1e3 * found[key]:.3g}" for key in ("energy_low_j", "energy_high_j"))
    energy = low if low == high else f"{low} to {high}"
    return [
        f"roofline on {profile['title']} ({profile['origin']}): at least {1e3 * found['seconds']:.3g} ms, predicted; "
        f"{100 * found['memory_bound_share']:.0f} % of it bound by memory (below {found['ridge']:.3g} operations "
        "a byte)",
        f"energy {energy} mJ, {found['energy']}",
        table(rows, {"name": "layer", "bound": "bound by", "intensity": "operations a byte", "time": "time"}),
    ]


COMMAND = Command("lint", "what a network wastes: guidelines, roofline, dead weights", arguments, run, show)
