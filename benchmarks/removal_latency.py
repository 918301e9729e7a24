"""What compression gains in time on this machine, beside what it takes away in multiply-adds.

Half of the multiply-adds of MobileNetV2 and of a ResNet go by removing channels; in another copy 80 % of the weights
are zero, which no runtime here makes faster. Times do not depend on accuracy, so nothing is trained; weights are random
and distinct, for equal buffers would be stored once.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

ROUNDS = 8
NETWORKS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("mobilenet_v2", {"width": 1.0, "resolution": 96}),
    ("resnet", {"variant": "cifar20", "resolution": 32}),
    ("resnet", {"variant": "18", "resolution": 96}),
)
ZEROS = 0.8


def run(rounds: int = ROUNDS) -> dict[str, Any]:
    """Gives per network, kind and format the time ratio to the dense file with its 95 % interval, and that of macs."""
    import zoo
    from exports import measure
    from pipelines.removal.choose import choose, groups_of
    from zoo.channel_graph import ChannelGraph
    from zoo.cloning import clone
    from zoo.cut import cut
    from zoo.keras import keras

    rows = []
    for name, options in NETWORKS:
        keras.utils.set_random_seed(0)
        model = zoo.build(name, classes=10, **options)
        graph = ChannelGraph.of(model)
        groups = groups_of(graph, {int(unit): float(unit % 97) for unit in graph.free}, least=8, multiple=8)
        chosen = choose(graph, groups, share=0.5, target="macs", scope="layer")
        sparse = clone(model)
        _zero(sparse)
        label = f"{name} {options.get('variant', options.get('width', ''))} at {options['resolution']} px"
        with tempfile.TemporaryDirectory() as folder:
            dense_files = _files(model, Path(folder) / "dense")
            for kind, network, macs in (
                ("channels removed", cut(graph, chosen.units), chosen.macs / chosen.macs_before),
                (f"{ZEROS:.0%} zeros", sparse, 1.0),
            ):
                files = _files(network, Path(folder) / kind.replace(" ", "_").replace("%", ""))
                for form, file in files.items():
                    second = measure([dense_files[form], file], rounds=rounds).rows[1]
                    rows.append(
                        {
                            "network": label,
                            "what": kind,
                            "format": form,
                            "macs ratio": round(macs, 3),
                            "time ratio": round(second.ratio, 3),
                            "interval": f"{second.ratio_interval[0]:.3f} to {second.ratio_interval[1]:.3f}",
                            "verdict": second.verdict,
                            "bytes ratio": round(file[0].stat().st_size / dense_files[form][0].stat().st_size, 3),
                        }
                    )
    return {"what": "time after / before in LiteRT, 1 thread, XNNPACK, beside the multiply-adds", "rows": rows}


def _zero(model: Any) -> None:
    """Sets the smallest weights of every kernel to zero."""
    import numpy as np

    for layer in model.layers:
        if layer.weights and type(layer).__name__ in ("Conv2D", "Dense"):
            kernel, *rest = layer.get_weights()
            limit = np.quantile(np.abs(kernel), ZEROS)
            layer.set_weights([np.where(np.abs(kernel) < limit, 0, kernel), *rest])


def _files(model: Any, folder: Path) -> dict[str, tuple[Path, Any]]:
    import numpy as np

    from exports import save_model, write_many

    folder.mkdir(parents=True)
    save_model(model, folder / "model.keras")
    images = np.random.default_rng(0).integers(0, 256, (32, *model.input_shape[1:]), np.uint8)
    written = write_many(
        folder / "model.keras", ["tflite_float32", "tflite_int8"], folder, name="network",
        labels=[str(label) for label in range(10)], calibration=images,
    )  # fmt: skip
    if written.failures:
        raise RuntimeError(str(written.failures[0].cause))
    return {item.format: (item.path, item.contract) for item in written.artifacts}
