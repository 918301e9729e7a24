"""The memory a .tflite file needs on a microcontroller: what TensorFlow Lite Micro would plan, from the file alone.

Activations are laid out as its greedy planner does it: largest first, of equal ones the later tensor first, each at the
lowest gap between those that live at the same time. The order among equals matters: the other way round networks with
shuffles come out 3 to 10 % too small. Scratch buffers of single kernels are not in the file and are left out, as are
small structures; so the figures are what is needed at least.

Source: tflite-micro, `greedy_memory_planner.cc` and `micro_allocation_info.cc`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, prod
from typing import Any

from exports.tflite_file import ELEMENT_BYTES, KERNEL_CHANNELS, Flatbuffer

ALIGNMENT = 16
PER_CHANNEL = 8  # a multiplier and a shift of four bytes for each output channel


@dataclass(frozen=True)
class Chip:
    """How large the runtime's own structures are, in bytes: per tensor, per operator, per operator with weights."""

    tensor: int
    operator: int
    kernel: int


# A tensor's record holds two pointers and its type; an operator's its node and the pointer to its kernel.
CHIP_32_BIT = Chip(tensor=12, operator=32, kernel=60)
HOST_64_BIT = Chip(tensor=24, operator=64, kernel=72)


@dataclass(frozen=True)
class Buffer:
    """One activation: its bytes, and the first and last operator at which it lives, counted from 1; 0 is the start."""

    tensor: int
    size: int
    first: int
    last: int


@dataclass(frozen=True)
class Arena:
    """Bytes: `activations` as planned, of which `live` are in use at the busiest operator, and `structures` at least.

    `busiest` is that operator's number from 0 on; `operators` counts the kinds that a resolver has to register.
    """

    activations: int
    live: int
    structures: int
    busiest: int
    operators: dict[str, int]

    @property
    def total(self) -> int:
        """What the arena has to hold at least."""
        return self.activations + self.structures


def arena_of(file: Flatbuffer, chip: Chip = CHIP_32_BIT) -> Arena:
    """The arena for a file. Raises: ValueError for a tensor whose size is not known."""
    main = file.model.subgraphs[0]
    buffers = buffers_of(file)
    live = [sum(one.size for one in buffers if one.first <= now <= one.last) for now in range(len(main.operators) + 1)]
    kinds = [file.operator(one)[0] for one in main.operators]
    weighted = [
        int(main.tensors[int(one.outputs[0])].shape[-1])
        for one, kind in zip(main.operators, kinds, strict=True)
        if kind in KERNEL_CHANNELS
    ]
    structures = (
        chip.tensor * len(main.tensors)
        + chip.operator * len(main.operators)
        + sum(chip.kernel + PER_CHANNEL * channels for channels in weighted)
    )
    busiest = max(range(len(live)), key=live.__getitem__)
    return Arena(planned(buffers), live[busiest], structures, max(busiest - 1, 0), dict(sorted(Counter(kinds).items())))


def buffers_of(file: Flatbuffer) -> list[Buffer]:
    """Every tensor that is computed, with its life: from the operator that makes it to the last that reads it."""
    main = file.model.subgraphs[0]
    first = {int(index): 0 for index in main.inputs}
    last = dict(first)
    for number, one in enumerate(main.operators, start=1):
        for index in map(int, one.outputs):
            first.setdefault(index, number)
            last[index] = number
        for index in map(int, one.inputs):
            if index in first:
                last[index] = number
    last |= {int(index): len(main.operators) for index in main.outputs if int(index) in first}
    return [Buffer(index, _size(file, index), first[index], last[index]) for index in sorted(first)]


def planned(buffers: Sequence[Buffer]) -> int:
    """The bytes that all buffers take when each gets the lowest place that is free for as long as it lives."""
    placed: list[tuple[int, Buffer]] = []
    for one in sorted(buffers, key=lambda each: (-each.size, -each.tensor)):
        place = 0
        for start, other in placed:
            if other.first > one.last or other.last < one.first:
                continue
            if start - place >= one.size:
                break
            place = max(place, start + other.size)
        placed.append((place, one))
        placed.sort(key=lambda each: each[0])
    return max((start + one.size for start, one in placed), default=0)


def _size(file: Flatbuffer, index: int) -> int:
    tensor: Any = file.model.subgraphs[0].tensors[index]
    kind = file.type_names[tensor.type]
    if kind not in ELEMENT_BYTES:
        raise ValueError(f"tensor {index} is of type {kind}, whose size is not known here")
    size = prod(int(side) for side in tensor.shape) * ELEMENT_BYTES[kind]
    return ceil(size / ALIGNMENT) * ALIGNMENT
