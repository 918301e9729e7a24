"""The catalogue of architectures, one line each, in reading order."""

from __future__ import annotations

from zoo.architectures import mobilenet_v1, mobilenet_v2, shufflenet_v2
from zoo.declaration import Architecture
from zoo.lookup import unknown_name

ARCHITECTURES: dict[str, Architecture] = {
    "mobilenet_v1": mobilenet_v1.ARCHITECTURE,
    "mobilenet_v2": mobilenet_v2.ARCHITECTURE,
    "shufflenet_v2": shufflenet_v2.ARCHITECTURE,
}


def architecture(name: str) -> Architecture:
    """The architecture called `name`. Raises: ValueError with the nearest names."""
    if name not in ARCHITECTURES:
        raise unknown_name("architecture", name, ARCHITECTURES)
    return ARCHITECTURES[name]
