"""The catalogue of architectures, one line each, in reading order."""

from __future__ import annotations

from zoo.architectures import (
    alexnet,
    condensenet,
    densenet,
    efficientnet,
    espnet_v2,
    flgc,
    ghostnet,
    igc,
    mnasnet,
    mobilenet_v1,
    mobilenet_v2,
    mobilenet_v3,
    nasnet,
    proxylessnas,
    resnet,
    resnext,
    shufflenet_v1,
    shufflenet_v2,
    snet,
    squeezenet,
    vgg,
    xception,
)
from zoo.declaration import Architecture
from zoo.lookup import unknown_name

ARCHITECTURES: dict[str, Architecture] = {
    "mobilenet_v1": mobilenet_v1.ARCHITECTURE,
    "mobilenet_v2": mobilenet_v2.ARCHITECTURE,
    "mobilenet_v3": mobilenet_v3.ARCHITECTURE,
    "shufflenet_v1": shufflenet_v1.ARCHITECTURE,
    "shufflenet_v2": shufflenet_v2.ARCHITECTURE,
    "squeezenet": squeezenet.ARCHITECTURE,
    "xception": xception.ARCHITECTURE,
    "condensenet": condensenet.ARCHITECTURE,
    "mnasnet": mnasnet.ARCHITECTURE,
    "ghostnet": ghostnet.ARCHITECTURE,
    "espnet_v2": espnet_v2.ARCHITECTURE,
    "nasnet": nasnet.ARCHITECTURE,
    "efficientnet": efficientnet.ARCHITECTURE,
    "proxylessnas": proxylessnas.ARCHITECTURE,
    "igc": igc.ARCHITECTURE,
    "flgc": flgc.ARCHITECTURE,
    "snet": snet.ARCHITECTURE,
    "resnet": resnet.ARCHITECTURE,
    "resnext": resnext.ARCHITECTURE,
    "densenet": densenet.ARCHITECTURE,
    "vgg": vgg.ARCHITECTURE,
    "alexnet": alexnet.ARCHITECTURE,
}


def architecture(name: str) -> Architecture:
    """The architecture called `name`. Raises: ValueError with the nearest names."""
    if not isinstance(name, str) or name not in ARCHITECTURES:
        raise unknown_name("architecture", name, ARCHITECTURES)
    return ARCHITECTURES[name]
