"""The zoo: architectures as Keras models, as sketches and as costs. No files, no data, no training.

Importing it does not import TensorFlow; building a model does.
"""

from __future__ import annotations

from zoo.architectures import ARCHITECTURES, architecture
from zoo.assemble import build, cost, sketch
from zoo.costs import Cost, cost_of, predicted_int8_bytes
from zoo.declaration import Architecture, Option, Published
from zoo.read_model import sketch_of
from zoo.sketches import Op, Sketch

__all__ = [
    "ARCHITECTURES",
    "Architecture",
    "Cost",
    "Op",
    "Option",
    "Published",
    "Sketch",
    "architecture",
    "build",
    "cost",
    "cost_of",
    "predicted_int8_bytes",
    "sketch",
    "sketch_of",
]
