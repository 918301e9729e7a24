"""`inspect FILE --target edgetpu|mcu`: where a .tflite file's operators would run, or what memory it needs."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from exports import BOARDS, explain_edgetpu, fit_mcu
from exports.mcu_boards import board_named
from pipelines.commands.command import Command, table
from pipelines.commands.files import stored_file


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", help="a .tflite file, also one made elsewhere, or an artifact's id")
    parser.add_argument(
        "--target", default="edgetpu", choices=("edgetpu", "mcu"),
        help="edgetpu: where each operator would run; mcu: memory on a microcontroller (default edgetpu)",
    )  # fmt: skip
    parser.add_argument("--board", help="with mcu: one board, such as nano_33_ble; without: all that are known")


def run(asked: argparse.Namespace) -> dict[str, Any]:
    if asked.board is not None and asked.target != "mcu":
        raise ValueError(f"--board {asked.board} goes with --target mcu")
    boards = tuple(BOARDS.values()) if asked.board is None else (board_named(asked.board),)
    path, name = _found(asked.file)
    found = explain_edgetpu(path) if asked.target == "edgetpu" else fit_mcu(path, boards)
    return {"file": name, "target": asked.target, **found}


def _found(reference: str) -> tuple[Path, str]:
    path = Path(reference)
    if path.is_file():
        return path, path.name
    path, item = stored_file(reference)
    if not item.format.startswith(("tflite", "edgetpu")):
        raise ValueError(f"{reference} is {item.format}; chips take TFLite files, such as edgetpu or tflite_int8")
    return path, item.id


def show(document: dict[str, Any]) -> str:
    return "\n".join(_placed(document) if document["target"] == "edgetpu" else _fitted(document))


def _placed(document: dict[str, Any]) -> list[str]:
    ops = document["ops"]
    least, most = document["cpu_at_least"], document["cpu_at_most"]
    on_cpu = f"{least}" if least == most else f"{least} to {most}"
    lines = [
        f"{document['file']}: {document['verdict']}; {on_cpu} of {len(ops)} operators on the CPU. "
        + ("Read from the compiled file." if document["verdict"] == "compiled" else "Predicted, not compiled."),
        *(f"refused whole: {one}" for one in document["refusals"]),
    ]
    blocker = document["blocker"]
    if blocker and blocker["reason"]:
        edit = f"; {blocker['edit']}" if blocker["edit"] else ""
        lines.append(f"first off the chip: {blocker['layer']} ({blocker['kind']}): {blocker['reason']}{edit}")
    weights, cache = document["parameter_bytes"], document["cache_bytes"]
    fits = "fit into the chip's memory" if weights <= cache else f"exceed the chip's {cache:,}, the rest is streamed"
    lines.append(f"{weights:,} bytes of weights {fits}; largest tensor {document['largest_activation_bytes']:,} bytes")
    off = [{**one, "number": str(one["number"])} for one in ops if one["placement"] != "edgetpu"]
    columns = {"number": "#", "kind": "operator", "layer": "layer", "placement": "runs on", "reason": "because",
               "edit": "what helps"}  # fmt: skip
    return [*lines, table(off, columns)] if off else lines


def _fitted(document: dict[str, Any]) -> list[str]:
    busiest = document["busiest"]
    calls = ", ".join(one["register"] for one in document["operators"])
    lines = [
        f"{document['file']}: {document['flash_bytes']:,} bytes of flash for the model, the runtime's code on top; an "
        f"arena of at least {document['arena_bytes']:,} bytes, {document['activation_bytes']:,} of them activations",
        _source(document["runtime"]),
        f"most is in use at {busiest['layer']} ({busiest['kind']}): {document['live_bytes']:,} bytes",
        f"to register: {calls}",
        *(f"refused on every board: {one}" for one in document["refusals"]),
    ]
    rows = [
        {
            "board": board["name"],
            "title": board["title"],
            "chip": board["chip"],
            "memory": f"{board['flash']:,} and {board['ram']:,}",
            "fits": _used(document, board) if board["fits"] else _missing(board),
        }
        for board in document["boards"]
    ]
    columns = {"board": "board", "title": "name", "chip": "chip", "memory": "kB of flash and RAM", "fits": "fits"}
    return [*lines, table(rows, columns)]


def _source(runtime: dict[str, Any] | None) -> str:
    if runtime is None:
        return "counted from the file; scratch memory of single kernels comes on top"
    if "refused" in runtime:
        return f"counted from the file; tflite-micro {runtime['version']} does not run it"
    return (
        f"activations as tflite-micro {runtime['version']} allocates them, scratch memory among them; its whole arena "
        f"on this host, where pointers are larger: {runtime['arena_bytes']:,} bytes"
    )


def _used(document: dict[str, Any], board: dict[str, Any]) -> str:
    flash = document["flash_bytes"] / 1024 / board["flash"]
    ram = document["arena_bytes"] / 1024 / board["ram"]
    return f"yes, {flash:.0%} of the flash and {ram:.0%} of the RAM"


def _missing(board: dict[str, Any]) -> str:
    parts = [f"{board[f'missing_{name}_kb']:,} kB of {word}" for name, word in (("flash", "flash"), ("ram", "RAM"))
             if board[f"missing_{name}_kb"]]  # fmt: skip
    return f"no: {' and '.join(parts)} missing" if parts else "no: the runtime refuses the file"


COMMAND = Command("inspect", "where a file's operators would run, or what it needs on a chip", arguments, run, show)
