"""Whether a .tflite file fits a microcontroller board: memory from the file alone, before anything is flashed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from exports.isolated import read_isolated, report_read
from exports.mcu_arena import arena_of
from exports.mcu_boards import BOARDS, Board
from exports.mcu_runtime import PACKAGE, allocated
from exports.tflite_file import KERNEL_CHANNELS, Flatbuffer, facts_of, layers_of, parse, refused_operators

TIMEOUT_S = 60.0
KB = 1024


def fit_mcu(path: Path | str, boards: Sequence[Board] = tuple(BOARDS.values())) -> dict[str, Any]:
    """What the file at `path` needs, and for each of `boards` whether it fits; the file is read in a child process.

    Bytes: `flash_bytes` for the model itself, `arena_bytes` at least, of these `activation_bytes` as planned and
    `live_bytes` in use at the operator `busiest`. `operators` names the calls that register them. `refusals` say why
    the runtime would not take the file on any board.

    Where tflite-micro is installed, `runtime` holds what it allocated or why it refused (`exports/mcu_runtime.py`),
    else None; its activations, scratch memory among them, then stand in for the planned ones.

    Raises: ValueError when it is not a TFLite file that can be read.
    """
    found = read_isolated("mcu", Path(path), timeout_s=TIMEOUT_S)
    found |= _asked(Path(path), found)
    return {**found, "boards": [_fitted(board, found) for board in boards]}


def _asked(path: Path, found: dict[str, Any]) -> dict[str, Any]:
    """What the runtime itself says where it is installed, and the figures that change by it."""
    runtime = allocated(path)
    if runtime is None:
        return {"runtime": None}
    if "refused" in runtime:
        said = [] if found["refusals"] else [f"{PACKAGE} {runtime['version']} does not run it: {runtime['refused']}"]
        return {"runtime": runtime, "refusals": [*found["refusals"], *said]}
    activations = max(found["activation_bytes"], runtime["activation_bytes"])
    return {
        "runtime": runtime,
        "activation_bytes": activations,
        "arena_bytes": activations + found["structure_bytes"],
    }


def _fitted(board: Board, found: dict[str, Any]) -> dict[str, Any]:
    missing = {
        f"missing_{name}_kb": max(0, -(-found[key] // KB) - size)
        for name, key, size in (("flash", "flash_bytes", board.flash), ("ram", "arena_bytes", board.ram))
    }
    return {**asdict(board), **missing, "fits": not any(missing.values()) and not found["refusals"]}


def fit_here(job: dict[str, Any], report: Callable[..., None]) -> None:
    """The child's part."""
    report_read(report, lambda: needs(Path(job["path"]).read_bytes()))


def needs(data: bytes) -> dict[str, Any]:
    """What the flatbuffer `data` needs, without boards."""
    file = parse(data)
    arena = arena_of(file)
    operator = file.model.subgraphs[0].operators[arena.busiest]
    kind, _ = file.operator(operator)
    return {
        "flash_bytes": len(data),
        "arena_bytes": arena.total,
        "activation_bytes": arena.activations,
        "live_bytes": arena.live,
        "structure_bytes": arena.structures,
        "busiest": {"number": arena.busiest, "kind": kind, "layer": layers_of(file)[arena.busiest]},
        "operators": [
            {"kind": name, "count": count, "register": registration(name)} for name, count in arena.operators.items()
        ],
        "refusals": [*refused_operators(facts_of(file)), *_hybrid(file)],
    }


def registration(kind: str) -> str:
    """The call of a resolver that registers an operator: `AddDepthwiseConv2D` for DEPTHWISE_CONV_2D."""
    return "Add" + "".join(part if part == "2D" else part.capitalize() for part in kind.split("_"))


def _hybrid(file: Flatbuffer) -> list[str]:
    """Operators with int8 weights that compute in float: those of `tflite_dynamic`, which the runtime refuses."""
    main = file.model.subgraphs[0]
    found = {
        file.operator(one)[0]
        for one in main.operators
        if file.operator(one)[0] in KERNEL_CHANNELS
        and file.type_names[main.tensors[int(one.inputs[0])].type] == "FLOAT32"
        and file.type_names[main.tensors[int(one.inputs[1])].type] == "INT8"
    }
    return [f"{kind} (weights in int8, computed in float: the runtime takes no such file)" for kind in sorted(found)]
