"""Layers that give up inputs while they are trained: when each goes a stage further.

Source: arXiv:1711.09224, section 4.1: the stages of a layer are spread evenly over the first half of the updates; the
second half trains what is left. The masks are weights of the model, so a checkpoint holds the stage that was reached.
"""

from __future__ import annotations

from typing import Any


class Condensation:
    """The schedule of one fitting of `epochs` times `updates`; a model without such layers has nothing to do."""

    def __init__(self, model: Any, epochs: int, updates: int) -> None:
        self.layers = [layer for layer in model._flatten_layers(include_self=False) if hasattr(layer, "condense")]
        self.updates = epochs * updates
        last = max((self._begins(layer)[-1] for layer in self.layers if layer.stage < layer.stages), default=0)
        # Weights from before are those of another, larger network, however well it judged: never the best to keep.
        self.done_in_epoch = last // updates

    def advance(self, step: int) -> int:
        """Brings every layer to the stage that belongs to update `step`; gives the updates until the next stage."""
        ahead = self.updates - step
        for layer in self.layers:
            begins = self._begins(layer)
            while layer.stage < sum(begin <= step for begin in begins):
                layer.condense()
            ahead = min([ahead, *(begin - step for begin in begins if begin > step)])
        return ahead

    def _begins(self, layer: Any) -> list[int]:
        """The updates before which the layer's stages begin."""
        return [(stage + 1) * self.updates // (2 * layer.stages) for stage in range(layer.stages)]
