"""An .onnx file that takes its channels first, turned into one that takes them last: a transposition in front."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from exports.contract import CHANNEL_ORDERS


def channels_first(shape: tuple[int, ...]) -> bool:
    """Whether a file's image (batch, ...) has its channels before its sides."""
    known = CHANNEL_ORDERS.values()
    return len(shape) == 4 and shape[1] in known and shape[-1] not in known


def turned(shape: tuple[int, ...]) -> tuple[int, ...]:
    """(batch, channels, height, width) as (batch, height, width, channels)."""
    batch, channels, height, width = shape
    return batch, height, width, channels


def put_channels_last(path: Path) -> None:
    """Writes the file at `path` anew, with one input more in front of everything else: the image, channels last.

    Raises: whatever the reader of ONNX raises on damaged bytes; call it in a child process only.
    """
    import onnx
    from onnx import helper

    model = onnx.load(str(path), load_external_data=False)
    given = {one.name for one in model.graph.initializer}
    image = next(one for one in model.graph.input if one.name not in given)
    kind = image.type.tensor_type
    sides: list[Any] = [side.dim_value or side.dim_param or None for side in kind.shape.dim]
    name = f"{image.name}_channels_last"
    first = helper.make_tensor_value_info(name, kind.elem_type, turned(tuple(sides)))
    node = helper.make_node("Transpose", [name], [image.name], name=f"{name}/turn", perm=[0, 3, 1, 2])
    others = [one for one in model.graph.input if one.name != image.name]
    model.graph.ClearField("input")
    model.graph.input.extend([first, *others])
    nodes = [node, *model.graph.node]
    model.graph.ClearField("node")
    model.graph.node.extend(nodes)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))
