"""What the Edge TPU's compiler does with an operator, as far as its documentation and its results tell.

Source: Coral's table "TensorFlow models on the Edge TPU" for compiler 16 and runtime 14, and real pairs of files before
and after the compiler. The compiler is closed: these are predictions, and what neither source settles is `uncertain`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

EDGETPU, CPU, UNCERTAIN = "edgetpu", "cpu", "uncertain"
EIGHT_BIT = ("INT8", "UINT8")
SOFTMAX_MOST = 16_000
# A resize is left to the CPU where its precision would suffer; where that begins is not published. A factor of 33 was
# seen to be left there, factors of 2 are in files that were compiled whole.
RESIZE_SURELY, RESIZE_NEVER = 2.0, 16.0


@dataclass(frozen=True)
class Tensor:
    """What a rule may look at: `values` are those of a small constant, `scales` counts its scales."""

    shape: tuple[int, ...]
    dtype: str
    constant: bool = False
    scales: int = 0
    fixed: bool = True
    values: np.ndarray | None = None


@dataclass(frozen=True)
class Seen:
    """One operator of a file. `options` are the flatbuffer's own, None where it has none."""

    kind: str
    version: int
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    options: Any = None


@dataclass(frozen=True)
class Ruling:
    """Where an operator runs, why, and the edit that would bring it to the chip; both empty when it is there."""

    placement: str
    reason: str = ""
    edit: str = ""


MAPPED = Ruling(EDGETPU)
Rule = Callable[[Seen], Ruling]

AS_INT8 = "write the file as format edgetpu, int8 throughout"
AS_EDGETPU = "write the file as format edgetpu"


def ruling(seen: Seen) -> Ruling:
    """The ruling on one operator by itself; what its neighbours do to it is for the partition."""
    rule = RULES.get(seen.kind)
    if rule is None:
        return Ruling(CPU, f"{seen.kind} is not among the chip's operators", EDITS.get(seen.kind, ""))
    for tensor in (*seen.inputs, *seen.outputs):
        if not tensor.fixed:
            return Ruling(CPU, "a shape is not known before the file runs", "write the file with a fixed batch of 1")
        if not tensor.constant and tensor.dtype not in EIGHT_BIT:
            return _other_type(seen, tensor.dtype)
    found = rule(seen)
    large = [one for one in (*seen.inputs, *seen.outputs) if not one.constant and _is_deep(one.shape)]
    if found.placement != CPU and large:
        return Ruling(
            CPU, f"a tensor {list(large[0].shape)} has more than three inner dimensions",
            "shuffle channels in the form with four dimensions",
        )  # fmt: skip
    return found


def _is_deep(shape: tuple[int, ...]) -> bool:
    return len(shape) > 4 or prod(shape[:-3]) > 1


def _other_type(seen: Seen, dtype: str) -> Ruling:
    if seen.kind == "QUANTIZE":
        return Ruling(CPU, f"{dtype.lower()} becomes int8 on the host", "feed int8 or uint8 to the file")
    return Ruling(CPU, f"it computes in {dtype.lower()}", AS_INT8)


def _always(seen: Seen) -> Ruling:
    return MAPPED


def _plain_end(seen: Seen) -> Ruling:
    if getattr(seen.options, "fusedActivationFunction", 0):
        return Ruling(CPU, "an activation is folded into it", "put the activation into a layer of its own")
    return MAPPED


def _convolution(seen: Seen) -> Ruling:
    image, kernel = seen.inputs[0], seen.inputs[1]
    if seen.kind == "CONV_2D" and kernel.shape[3] != image.shape[3]:
        return Ruling(
            CPU, f"it is grouped: {image.shape[3]} channels come in, a filter reads {kernel.shape[3]}",
            f"{AS_EDGETPU}: the channels are split, each part convolved, and joined",
        )  # fmt: skip
    if not kernel.constant:
        return Ruling(CPU, "its weights are computed", "")
    if getattr(seen.options, "dilationWFactor", 1) != getattr(seen.options, "dilationHFactor", 1):
        return Ruling(CPU, "its dilation differs between height and width", "use one dilation for both sides")
    return MAPPED


def _dense(seen: Seen) -> Ruling:
    if getattr(seen.options, "weightsFormat", 0):
        return Ruling(CPU, "its weights are shuffled", AS_EDGETPU)
    if prod(seen.outputs[0].shape[:-1]) > 1:
        return Ruling(CPU, f"its output {list(seen.outputs[0].shape)} is more than one vector", "flatten before it")
    if seen.inputs[1].scales > 1:
        return Ruling(UNCERTAIN, "a scale for each of its outputs is newer than the compiler", AS_EDGETPU)
    return MAPPED


def _concatenation(seen: Seen) -> Ruling:
    constants = [one for one in seen.inputs if one.constant]
    if constants and not (len(seen.inputs) == 2 and all(_is_zero(one) for one in constants)):
        return Ruling(CPU, "one of its parts is a constant that is not all zeros, or one of more than two", "")
    return _plain_end(seen)


def _over_axes(seen: Seen) -> Ruling:
    image, axes = seen.inputs[0], seen.inputs[1].values
    if axes is None:
        return Ruling(CPU, "its axes are not known before the file runs", "")
    chosen = {int(axis) % len(image.shape) for axis in np.ravel(axes)}
    if 0 in chosen:
        return Ruling(CPU, "it reduces over the batch", "")
    if seen.kind == "MEAN" and len(image.shape) - 1 in chosen and image.shape[-1] % 4:
        return Ruling(
            CPU, f"it averages {image.shape[-1]} channels, and the chip does so in fours",
            "make the channels a multiple of 4",
        )  # fmt: skip
    return MAPPED


def _off_batch(seen: Seen) -> Ruling:
    """PACK and SPLIT, along an axis that is not the batch."""
    if seen.kind == "SPLIT":
        values = seen.inputs[0].values
        axis = None if values is None else int(np.ravel(values)[0])
        rank = len(seen.inputs[1].shape)
    else:
        axis, rank = int(seen.options.axis), len(seen.outputs[0].shape)
    if axis is None or axis % rank == 0:
        return Ruling(CPU, "it works along the batch, or along an axis not known before the file runs", "")
    return MAPPED


def _pad(seen: Seen) -> Ruling:
    amounts = seen.inputs[1].values
    if amounts is None or np.any(np.reshape(amounts, (-1, 2))[0]):
        return Ruling(CPU, "it pads the batch, or by amounts not known before the file runs", "")
    return MAPPED


def _prelu(seen: Seen) -> Ruling:
    if prod(seen.inputs[1].shape[:-1]) > 1:
        return Ruling(CPU, "it has a slope for each pixel", "share the slopes: one for each channel")
    return MAPPED


def _resize(seen: Seen) -> Ruling:
    before, after = seen.inputs[0].shape, seen.outputs[0].shape
    factor = max(after[side] / max(before[side], 1) for side in (1, 2))
    if factor >= RESIZE_NEVER:
        return Ruling(CPU, f"it enlarges {factor:g} times, too much for the chip's precision", "enlarge in steps of 2")
    if factor > RESIZE_SURELY or seen.version > 2:
        why = f"it enlarges {factor:g} times" if factor > RESIZE_SURELY else "it aligns the middles of pixels"
        return Ruling(UNCERTAIN, f"{why}; where the compiler stops is not published", "enlarge by 2, or on the host")
    return MAPPED


def _softmax(seen: Seen) -> Ruling:
    shape = seen.inputs[0].shape
    if prod(shape[:-1]) > 1 or shape[-1] > SOFTMAX_MOST:
        return Ruling(CPU, f"its input {list(shape)} is not one vector of at most {SOFTMAX_MOST:,}", "leave it off")
    return MAPPED


def _strided_slice(seen: Seen) -> Ruling:
    steps = seen.inputs[3].values
    if steps is None or np.any(np.ravel(steps) != 1) or seen.options.ellipsisMask or seen.options.newAxisMask:
        return Ruling(CPU, "it takes every second value or more, or adds a dimension", "")
    return MAPPED


def _transpose(seen: Seen) -> Ruling:
    return Ruling(
        UNCERTAIN, "the compiler maps some transpositions and leaves others",
        f"{AS_EDGETPU}: channels are put in order by a pointwise convolution",
    )  # fmt: skip


def _is_zero(tensor: Tensor) -> bool:
    return tensor.values is not None and not np.any(tensor.values)


RULES: dict[str, Rule] = {
    **dict.fromkeys(
        ("ADD", "SUB", "MUL", "MAXIMUM", "MINIMUM", "EXPAND_DIMS", "SQUEEZE", "RESHAPE", "L2_NORMALIZATION", "LOGISTIC",
         "TANH", "RSQRT", "SQUARED_DIFFERENCE", "UNIDIRECTIONAL_SEQUENCE_LSTM", "QUANTIZE", "RELU", "RELU6",
         "RELU_N1_TO_1", "SLICE", "SPACE_TO_DEPTH", "TRANSPOSE_CONV"),
        _always,
    ),
    "AVERAGE_POOL_2D": _plain_end,
    "MAX_POOL_2D": _plain_end,
    "CONCATENATION": _concatenation,
    "CONV_2D": _convolution,
    "DEPTHWISE_CONV_2D": _convolution,
    "FULLY_CONNECTED": _dense,
    "MEAN": _over_axes,
    "SUM": _over_axes,
    "REDUCE_MAX": _over_axes,
    "REDUCE_MIN": _over_axes,
    "PACK": _off_batch,
    "SPLIT": _off_batch,
    "PAD": _pad,
    "PRELU": _prelu,
    "RESIZE_BILINEAR": _resize,
    "RESIZE_NEAREST_NEIGHBOR": _resize,
    "SOFTMAX": _softmax,
    "STRIDED_SLICE": _strided_slice,
    "TRANSPOSE": _transpose,
}  # fmt: skip

# Kind -> what does the same on the chip, for operators that it does not have.
EDITS = {
    "HARD_SWISH": f"{AS_EDGETPU}: it becomes an addition, a ReLU6 and products; or train a minimalistic variant",
    "GELU": "use ReLU6",
    "ELU": "use ReLU6",
    "LEAKY_RELU": "use ReLU6, or PReLU with one slope for each channel",
    "GATHER": f"{AS_EDGETPU}: channels are put in order by a pointwise convolution",
    "DEQUANTIZE": AS_INT8,
    "ARG_MAX": "take the largest on the host",
}

# The compiler's operators are those of TensorFlow 2.5; it refuses a whole file with a newer version of one.
FIRST_TOO_NEW = {"CONV_2D": 6, "TRANSPOSE_CONV": 4}
NEWEST_RUNTIME = (2, 5)


def is_newer(runtime: str | None) -> bool:
    """Whether a file that needs this runtime, such as 2.9.0, needs more than the compiler knows."""
    return tuple(int(part) for part in re.findall(r"\d+", runtime or "")[:2]) > NEWEST_RUNTIME
