"""What a depthwise separable convolution saves: 1/N + 1/K^2 of a full one. Source: arXiv:1704.04861, section 3.1.

A pair is a depthwise K x K convolution and the 1x1 convolution to N channels that alone reads it. The full convolution
it stands for has the same input, stride and N channels.
"""

from __future__ import annotations

from math import prod
from typing import Any

from zoo.arithmetic import pair
from zoo.lint.traffic import Traffic


def pairs(traffic: Traffic) -> list[dict[str, Any]]:
    """One row per pair: multiply-adds of both layers, of the full convolution, and their ratio.

    `formula` is 1/N + 1/K^2, equal to `ratio` when the depthwise layer keeps its channels and the 1x1 is ungrouped.
    """
    rows = []
    for op in traffic.ops:
        if op.kind == "depthwise":
            readers = [traffic.sketch[name] for name in traffic.readers[op.name]]
            point = readers[0] if len(readers) == 1 else None
            if point is None or point.kind != "conv" or pair(point.config["kernel_size"]) != (1, 1):
                continue
            macs = op.macs + point.macs
        elif op.kind == "separable":
            point, macs = op, op.macs
        else:
            continue
        kernel, inward, out = pair(op.config["kernel_size"]), traffic.input_shape(op)[-1], point.shape[-1]
        full = prod(op.shape[:-1]) * prod(kernel) * inward * out
        rows.append(
            {
                "layer": op.name,
                "pointwise": point.name,
                "stage": op.stage,
                "kernel": "x".join(map(str, kernel)),
                "channels": out,
                "macs": macs,
                "full_macs": full,
                "ratio": macs / full,
                "formula": 1 / out + 1 / prod(kernel),
            }
        )
    return rows
