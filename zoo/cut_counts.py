"""What a cut would leave, counted without building it: the params and multiply-adds of the smaller model, exactly."""

from __future__ import annotations

from collections.abc import Iterable
from math import prod

import numpy as np

from zoo.channel_graph import ChannelGraph, Site
from zoo.costs import int8_channel_bytes, predicted_int8_bytes
from zoo.cut import kept_atoms, smaller_weights
from zoo.read_model import sketch_of


class CutCounter:
    """Counts cuts of one graph; the model is read once."""

    def __init__(self, graph: ChannelGraph) -> None:
        self.graph = graph
        sketch = sketch_of(graph.model)
        self._macs = {op.name: op.macs for op in sketch.ops}
        self._int8_bytes, self._channel_bytes = predicted_int8_bytes(sketch), int8_channel_bytes(sketch)
        # Shapes are all that counts: every weight becomes a view of one zero.
        zero = np.zeros((), np.float32)
        self._weights = {
            site.name: [np.broadcast_to(zero, tuple(weight.shape)) for weight in site.layer.weights]
            for site in graph.sites.values()
            if not site.first
        }

    def counts(self, removed: Iterable[int]) -> tuple[int, int]:
        """Params, statistics of norms included, and multiply-adds without the units `removed`.

        Raises: ValueError as `zoo.cut.cut`.
        """
        kept = kept_atoms(self.graph, removed)
        params = macs = 0
        for site in self.graph.sites.values():
            macs += self._left(site, kept)
            if not site.first:
                weights = self._weights[site.name]
                if site.known and weights:
                    weights = smaller_weights(site, weights, kept)[1]
                params += sum(prod(array.shape) for array in weights)
        return int(params), int(macs)

    def int8_bytes(self, removed: Iterable[int]) -> int:
        """The predicted size of the int8 .tflite without the units `removed`, as `zoo.costs` predicts it."""
        kept, total = kept_atoms(self.graph, removed), self._int8_bytes
        for name, each in self._channel_bytes.items():
            site = self.graph.sites.get(name)
            if site is None:
                continue
            gone = int((~kept[site.writes]).sum())
            total -= each * gone
            if not site.first and site.kind != "BatchNormalization":
                dense = self._weights[name]
                small = smaller_weights(site, dense, kept)[1]
                total -= sum(prod(array.shape) for array in dense) - sum(prod(array.shape) for array in small)
        return int(total)

    def _left(self, site: Site, kept: np.ndarray) -> int:
        """The multiply-adds of a site for its kept channels."""
        macs = self._macs.get(site.name, 0)
        if not macs or not site.known:
            return macs
        into, out = kept[site.reads[0]], kept[site.writes]
        if site.kind == "SeparableConv2D":
            cells, hidden = prod(site.node.outputs.shape[1:-1]), len(into) * site.layer.depth_multiplier
            first = cells * prod(site.layer.kernel_size) * hidden
            return first * into.sum() // len(into) + (macs - first) * into.sum() * out.sum() // (len(into) * len(out))
        if site.makes:
            return int(macs * int(into.sum()) * int(out.sum()) // (len(into) * len(out)))
        return int(macs * int(out.sum()) // len(out))
