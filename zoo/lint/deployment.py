"""What stands in the way later: operators the Edge TPU leaves to the CPU, layers that cannot be trained int8-aware,
weights that do not fit its chip. Predicted by rule, not by its compiler."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from zoo.lint.finding import Finding, Rule
from zoo.lint.thresholds import Thresholds
from zoo.lint.traffic import Traffic
from zoo.rules import RULES as LAYERS
from zoo.sketches import Op

# Coral, "TensorFlow models on the Edge TPU", table of supported operations, as of compiler 16 and runtime 14.
# Conditions on sizes and constants are left out here.
EDGETPU = {
    "ADD", "AVERAGE_POOL_2D", "CONCATENATION", "CONV_2D", "DEPTHWISE_CONV_2D", "EXPAND_DIMS", "FULLY_CONNECTED",
    "L2_NORMALIZATION", "LOGISTIC", "MAXIMUM", "MAX_POOL_2D", "MEAN", "MINIMUM", "MUL", "PACK", "PAD", "PRELU",
    "QUANTIZE", "REDUCE_MAX", "REDUCE_MIN", "RELU", "RELU6", "RELU_0_TO_1", "RELU_N1_TO_1", "RESHAPE",
    "RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR", "RSQRT", "SLICE", "SOFTMAX", "SPACE_TO_DEPTH", "SPLIT", "SQUEEZE",
    "SQUARED_DIFFERENCE", "STRIDED_SLICE", "SUB", "SUM", "TANH", "TRANSPOSE", "TRANSPOSE_CONV",
    "UNIDIRECTIONAL_SEQUENCE_LSTM",
}  # fmt: skip


def edgetpu_operators(traffic: Traffic, limits: Thresholds) -> Iterator[Finding]:
    """Operators outside the Edge TPU's list, one finding each; what comes after the first one runs on the CPU too."""
    found: dict[str, list[Op]] = defaultdict(list)
    for op in traffic.ops:
        if op.name in traffic.sketch.unknown:
            found[f"layer {op.layer} is not known here"].append(op)
            continue
        for operator in LAYERS[op.layer].operators if op.layer in LAYERS else (op.layer,):
            if operator not in EDGETPU and op.kind != "input":
                found[f"{operator} is not in the Edge TPU's list"].append(op)
        if op.kind == "conv" and op.config.get("groups", 1) > 1:
            found["the Edge TPU's compiler refuses a file with a native grouped convolution"].append(op)
    for why, ops in found.items():
        yield Finding("edgetpu_operator", ops[0].name, ops[0].stage, f"{why}{_times(ops)}")


def int8_training(traffic: Traffic, limits: Thresholds) -> Iterator[Finding]:
    """Layers that int8-aware training refuses, one finding per reason. Operators of a written file are past that."""
    found: dict[str, list[Op]] = defaultdict(list)
    for op in traffic.sketch.ops:
        if op.name in traffic.sketch.unknown or (op.layer in LAYERS and LAYERS[op.layer].int8 == "no"):
            found[f"layer {op.layer} cannot be trained int8-aware; replace it or quantise after training"].append(op)
        elif op.layer == "BatchNormalization" and not _bare(traffic.sketch[op.inputs[0]]):
            found["int8-aware training needs a norm directly behind a convolution or dense layer"].append(op)
    for why, ops in found.items():
        yield Finding("int8_training", ops[0].name, ops[0].stage, f"{why}{_times(ops)}")


def _times(ops: list[Op]) -> str:
    return f", {len(ops)} times" if len(ops) > 1 else ""


def _bare(op: Op) -> bool:
    """Whether a norm behind `op` trains int8-aware: a convolution or dense layer without an activation of its own."""
    return op.layer in ("Conv2D", "DepthwiseConv2D", "Dense") and op.config.get("activation", "linear") == "linear"


def weight_cache(traffic: Traffic, limits: Thresholds) -> Iterator[Finding]:
    """Weights at one byte each that do not fit the chip; norms folded away are not counted."""
    kept = [op for op in traffic.ops if op.params]
    total, room = sum(op.params for op in kept), limits.cache_mib * 2**20
    if total > room:
        largest = max(kept, key=lambda op: op.params)
        left, parts = round(total - room), []
        for op in sorted(kept, key=lambda op: -op.params):
            parts.append((op.name, min(left, op.params) * traffic.element_bytes))
            left -= min(left, op.params)
            if not left:
                break
        yield Finding(
            "weight_cache", largest.name, largest.stage,
            f"{total / 2**20:.1f} MiB of weights at one byte each (limit {limits.cache_mib:g} MiB): the rest is "
            "fetched for every image",
            tuple(parts),
        )  # fmt: skip


RULES = (
    Rule("edgetpu_operator", "Operators the Edge TPU has", "none in bytes", edgetpu_operators),
    Rule("int8_training", "Layers that train int8-aware", "none in bytes", int8_training),
    Rule("weight_cache", "Weights fit the chip", "weights beyond the cache", weight_cache),
)
