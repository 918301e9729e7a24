"""What the pipeline adds to the bare framework calls: the same training, conversion and evaluation, once as a recorded
run (database, checkpoints, store, gate, child processes) and once as plain calls in a script of its own process.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

PROJECT = Path(__file__).parents[1]
EPOCHS = 8  # with fewer the gate rightly refuses the int8 file of so weak a network
RECIPE = f"""
name: overhead
data: {{source: digits, resolution: 16}}
model: {{name: mobilenet_v1, width: 0.25}}
steps:
  - train: {{epochs: {EPOCHS}, batch: 32, shift: 0, optimizer: sgd, learning_rate: 0.1}}
  - export: {{formats: [tflite_int8], calibration_images: 100}}
  - measure: {{latency: false}}
"""


def bare(epochs: int = EPOCHS) -> None:
    """The same work with nothing but tf_keras, its converter and LiteRT."""
    import numpy as np
    from ai_edge_litert.interpreter import Interpreter

    import zoo
    from pipelines.data import open_dataset
    from zoo.keras import keras, tf

    with tempfile.TemporaryDirectory() as cache:
        data = open_dataset("digits", resolution=16, cache=Path(cache))
    train, validation, test = (data.splits[name] for name in ("train", "validation", "test"))
    model = zoo.build("mobilenet_v1", width=0.25, resolution=16, classes=10, channels=1)
    model.compile(
        keras.optimizers.SGD(0.1, momentum=0.9, nesterov=True),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True), ["accuracy"],
    )  # fmt: skip
    pixels = {id(part): part.images.astype(np.float32) / 255.0 for part in (train, validation, test)}
    model.fit(
        pixels[id(train)], train.labels, batch_size=32, epochs=epochs, verbose=0,
        validation_data=(pixels[id(validation)], validation.labels),
    )  # fmt: skip
    image = keras.Input((16, 16, 1), batch_size=1)
    converter = tf.lite.TFLiteConverter.from_keras_model(keras.Model(image, model(image)))
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([pixels[id(train)][i : i + 1]] for i in range(100))
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    runner = Interpreter(model_content=converter.convert())
    runner.allocate_tensors()
    into, out = runner.get_input_details()[0]["index"], runner.get_output_details()[0]["index"]
    for picture in test.images:
        runner.set_tensor(into, (picture.astype(np.int16) - 128).astype(np.int8)[None])
        runner.invoke()
        runner.get_tensor(out)


def run(rounds: int = 3) -> dict[str, Any]:
    """Gives whole-process seconds of both and the ratio pipeline / bare, median of rounds that take turns."""
    ours, plain = [], []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory(prefix="litesmith-bench-") as home:
            recipe = Path(home) / "overhead.yaml"
            recipe.write_text(RECIPE)
            ours.append(_seconds([sys.executable, "-m", "pipelines", "run", str(recipe)], {"LITESMITH_HOME": home}))
        plain.append(_seconds([sys.executable, "-c", "from benchmarks.pipeline import bare; bare()"], {}))
    return {
        "what": "whole pipeline / bare framework calls, seconds of a process, imports included",
        "rows": [
            {
                "work": f"mobilenet_v1 0.25 at 16x16 on digits, {EPOCHS} epochs, one int8 file",
                "pipeline_seconds": round(median(ours), 2),
                "bare_seconds": round(median(plain), 2),
                "ratio": round(median(o / p for o, p in zip(ours, plain, strict=True)), 3),
                "rounds": rounds,
            }
        ],
    }


def _seconds(command: list[str], environment: dict[str, str]) -> float:
    begun = time.perf_counter()
    subprocess.run(command, cwd=PROJECT, env={**os.environ, **environment}, check=True, capture_output=True)
    return time.perf_counter() - begun
