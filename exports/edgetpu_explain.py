"""Which operators of a .tflite file the Edge TPU would run, and what keeps the others off it: predicted, not compiled.

The compiler makes one subgraph for the chip. Operators are taken as TensorFlow Lite's partitioner takes them: all that
are ready and of one kind (for the chip or not), then all of the other kind, and so on; the first set for the chip is
its subgraph, what could follow after an operator of the CPU stays on the CPU.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from exports.edgetpu_rules import (
    CPU,
    EDGETPU,
    EIGHT_BIT,
    FIRST_TOO_NEW,
    UNCERTAIN,
    Ruling,
    Seen,
    Tensor,
    is_newer,
    ruling,
)
from exports.isolated import read_isolated, report_read
from exports.tflite_file import EDGETPU_OPERATOR, ELEMENT_BYTES, Flatbuffer, facts_of, layers_of, parse

TIMEOUT_S = 60.0
CACHE_BYTES = 7_900_000  # of the chip's 8 MB what compilers report as free for weights
SMALL = 64  # a constant of so many values is handed to the rules
SECOND = "it could run on the chip, but only before the first operator that cannot: there is one subgraph"


@dataclass(frozen=True)
class Placed:
    """One operator: its `layer` in the model (logits for the last), where it runs, why not on the chip, what helps."""

    number: int
    kind: str
    layer: str
    placement: str
    reason: str = ""
    edit: str = ""


@dataclass(frozen=True)
class Explanation:
    """The whole file. `verdict`: `all mapped`, `partial`, `uncertain`, `nothing mapped`, `refused`, or `compiled`.

    `refusals` are reasons for which the compiler would take no part of it. `blocker` is the first operator that the
    chip does not run. `cpu_at_least` and `cpu_at_most` count operators on the CPU with what is uncertain taken either
    way. Bytes are of weights and biases, and of the largest tensor in between.
    """

    verdict: str
    ops: tuple[Placed, ...]
    refusals: tuple[str, ...]
    blocker: Placed | None
    cpu_at_least: int
    cpu_at_most: int
    parameter_bytes: int
    cache_bytes: int
    largest_activation_bytes: int

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready values."""
        return asdict(self)


def explain_edgetpu(path: Path | str) -> dict[str, Any]:
    """`Explanation` of the file at `path` as plain values; the file is read in a child process.

    Raises: ValueError when it is not a TFLite file that can be read.
    """
    return read_isolated("edgetpu", Path(path), timeout_s=TIMEOUT_S)


def explain_here(job: dict[str, Any], report: Callable[..., None]) -> None:
    """The child's part."""
    report_read(report, lambda: explained(Path(job["path"]).read_bytes()).as_dict())


def explained(data: bytes) -> Explanation:
    """The explanation of the flatbuffer `data`."""
    file = parse(data)
    main = file.model.subgraphs[0]
    seen = [_seen(file, operator) for operator in main.operators]
    layers = layers_of(file)
    if any(one.kind == EDGETPU_OPERATOR for one in seen):
        return _compiled(file, seen, layers)
    rulings = [ruling(one) for one in seen]
    sources = _sources(main)
    hopeful = first_subgraph([one.placement != CPU for one in rulings], sources)
    doubtful = first_subgraph([one.placement == EDGETPU for one in rulings], sources)
    ops = tuple(
        _placed(number, one.kind, layer, given, number in hopeful, number in doubtful)
        for number, (one, layer, given) in enumerate(zip(seen, layers, rulings, strict=True))
    )
    refusals = _refusals(file, seen)
    blocker = next((one for one, given in zip(ops, rulings, strict=True) if given.placement == CPU), None)
    return Explanation(
        "refused" if refusals else _verdict(ops), ops, tuple(refusals), blocker, len(ops) - len(hopeful),
        len(ops) - len(doubtful), _parameter_bytes(file), CACHE_BYTES, _largest_activation(file),
    )  # fmt: skip


def first_subgraph(able: Sequence[bool], sources: Sequence[Sequence[int]]) -> set[int]:
    """The operators of the chip's one subgraph: `able` says which could be, `sources` which others each one reads.

    Operators come in an order in which they can run.
    """
    left, done = list(range(len(able))), set[int]()
    while left:
        ready = next((one for one in left if done.issuperset(sources[one])), None)
        if ready is None:
            raise ValueError("the operators read each other in a circle")
        kind, taken = able[ready], set[int]()
        for one in left:
            if able[one] == kind and (done | taken).issuperset(sources[one]):
                taken.add(one)
        if kind:
            return taken
        done |= taken
        left = [one for one in left if one not in taken]
    return set()


def _placed(number: int, kind: str, layer: str, given: Ruling, hopeful: bool, doubtful: bool) -> Placed:
    if given.placement == CPU:
        return Placed(number, kind, layer, CPU, given.reason, given.edit)
    if not hopeful:
        return Placed(number, kind, layer, CPU, SECOND)
    if not doubtful:
        reason = given.reason or "it comes after an operator of which it is not certain whether the chip runs it"
        return Placed(number, kind, layer, UNCERTAIN, reason, given.edit)
    return Placed(number, kind, layer, EDGETPU)


def _verdict(ops: Sequence[Placed]) -> str:
    placements = Counter(one.placement for one in ops)
    if not placements[CPU] and not placements[UNCERTAIN]:
        return "all mapped"
    if not placements[EDGETPU]:
        return "uncertain" if placements[UNCERTAIN] else "nothing mapped"
    return "partial" if placements[CPU] else "uncertain"


def _compiled(file: Flatbuffer, seen: Sequence[Seen], layers: Sequence[str]) -> Explanation:
    """A file that went through the compiler: what is left of its operators runs on the CPU."""
    ops = tuple(
        Placed(number, one.kind, layer, EDGETPU if one.kind == EDGETPU_OPERATOR else CPU)
        for number, (one, layer) in enumerate(zip(seen, layers, strict=True))
    )
    left = [one for one in ops if one.placement == CPU]
    return Explanation(
        "compiled", ops, (), left[0] if left else None, len(left), len(left), _parameter_bytes(file), CACHE_BYTES,
        _largest_activation(file),
    )  # fmt: skip


def _refusals(file: Flatbuffer, seen: Sequence[Seen]) -> list[str]:
    found = [
        f"{kind} has version {version}, newer than the compiler's operators (TensorFlow 2.5)"
        for kind, version in sorted({(one.kind, one.version) for one in seen})
        if version >= FIRST_TOO_NEW.get(kind, version + 1)
    ]
    runtime = facts_of(file).min_runtime
    if is_newer(runtime) and not found:
        found.append(f"the file needs runtime {runtime}; the compiler knows operators up to 2.5")
    if not any(one.dtype in EIGHT_BIT for each in seen for one in each.outputs):
        found.append("no operator computes in int8: the model is not quantised")
    return found


def _seen(file: Flatbuffer, operator: Any) -> Seen:
    kind, _ = file.operator(operator)
    version = int(file.model.operatorCodes[operator.opcodeIndex].version)
    inputs = tuple(_tensor(file, int(index)) for index in operator.inputs if index >= 0)
    outputs = tuple(_tensor(file, int(index)) for index in operator.outputs)
    return Seen(kind, version, inputs, outputs, operator.builtinOptions)


def _tensor(file: Flatbuffer, index: int) -> Tensor:
    tensor = file.model.subgraphs[0].tensors[index]
    stored = file.model.buffers[tensor.buffer].data
    constant = stored is not None and len(stored) > 0
    shape = tuple(int(side) for side in tensor.shape) if tensor.shape is not None else ()
    dtype = file.type_names[tensor.type]
    scales = None if tensor.quantization is None else tensor.quantization.scale
    signature = tensor.shapeSignature
    values = None
    if constant and prod(shape) <= SMALL and dtype in ("INT32", "INT8", "UINT8"):
        values = np.frombuffer(bytes(stored), np.dtype(dtype.lower()))
    return Tensor(
        shape, dtype, constant, 0 if scales is None else len(scales),
        signature is None or not any(int(side) < 0 for side in signature), values,
    )  # fmt: skip


def _sources(main: Any) -> list[list[int]]:
    made_by = {int(index): number for number, one in enumerate(main.operators) for index in one.outputs}
    return [[made_by[int(index)] for index in one.inputs if int(index) in made_by] for one in main.operators]


def _parameter_bytes(file: Flatbuffer) -> int:
    main = file.model.subgraphs[0]
    used = {int(index) for one in main.operators for index in one.inputs if index >= 0}
    stored = (file.model.buffers[main.tensors[index].buffer].data for index in used)
    return sum(len(one) for one in stored if one is not None)


def _largest_activation(file: Flatbuffer) -> int:
    main = file.model.subgraphs[0]
    made = {int(index) for one in main.operators for index in one.outputs} | {int(index) for index in main.inputs}
    sizes = [_tensor(file, index) for index in made]
    return int(max((prod(one.shape) * ELEMENT_BYTES.get(one.dtype, 4) for one in sizes), default=0))
