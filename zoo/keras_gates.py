"""Factors on what layers read: to ask what a channel or a branch is worth, and to train it away.

None of these layers stays in a network: what `reading` built with them is asked, or its factors are multiplied into
kernels (`zoo.cut.scaled_inputs`, `zoo.branches`). Importing this imports TensorFlow.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from zoo.channel_graph import ChannelGraph, Site
from zoo.cut import reading
from zoo.keras import keras, tf


class _Gate(keras.layers.Layer):
    """Multiplies channels by gates that come in as a second input, one row of them per image.

    `[x, gates]`: (batch, ..., channels) and (batch, count) -> shape of x. Channel i takes gate `index[i]`; an index of
    `count` takes none.
    """

    def __init__(self, index: np.ndarray, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.index = np.asarray(index, np.int32)

    def call(self, given: Any) -> Any:
        x, gates = given
        whole = tf.concat([gates, tf.ones_like(gates[:, :1])], axis=1)
        factors = tf.gather(whole, self.index, axis=1)
        return x * tf.reshape(factors, [-1, *[1] * (len(x.shape) - 2), len(self.index)])


def gated(graph: ChannelGraph, units: Sequence[int]) -> keras.Model:
    """The model with a second input, gates (batch, len(units)): 1 changes nothing, 0 is as if the unit were cut.

    A gate stands wherever a layer with filters reads the unit, so it acts behind norms, activations and additions.
    """
    gates = keras.Input((len(units),), name="gates")
    place = {int(unit): number for number, unit in enumerate(units)}

    def read(site: Site, which: int, tensor: Any) -> Any:
        index = np.array([place.get(int(unit), len(units)) for unit in graph.units[site.reads[which]]])
        if not site.makes or (index == len(units)).all():
            return tensor
        return _Gate(index)([tensor, gates])

    return reading(graph, read, [gates])


class Masks(keras.layers.Layer):
    """`count` masks, all 1 at first, that no optimiser moves: `step` does, with the mean slope seen since the last one.

    They are weights, like what a step remembers, so that a checkpoint holds all of it. `extra` are further arrays to be
    kept the same way. Call it with a tensor and the index of a mask per channel (`count`: none).
    """

    def __init__(self, count: int, extra: Sequence[np.ndarray] = (), **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.count = count
        self.values = self._state("values", np.ones(count))
        self.last = self._state("last", np.ones(count))
        self.slopes = self._state("slopes", np.zeros(count))
        self.pace = self._state("pace", np.ones(count))
        self.extra = [self._state(f"extra{place}", array) for place, array in enumerate(extra)]
        # Always 0. Because it learns, slopes reach the masks even where nothing before them does.
        self.anchor = self.add_weight(name="anchor", shape=(), initializer="zeros")

    def _state(self, name: str, value: np.ndarray) -> Any:
        start = keras.initializers.Constant(np.asarray(value, np.float32))
        return self.add_weight(name=name, shape=np.shape(value), initializer=start, trainable=False)

    def call(self, x: Any, index: np.ndarray) -> Any:
        @tf.custom_gradient
        def scaled(x: Any, factors: Any) -> Any:
            def slope(above: Any) -> Any:
                each = tf.reduce_sum(above * x, axis=list(range(len(x.shape) - 1)))
                self.slopes.assign_add(tf.math.unsorted_segment_sum(each, index, self.count + 1)[: self.count])
                return above * factors, tf.zeros_like(factors)

            return x * factors, slope

        factors = tf.gather(tf.concat([self.values, [1.0]], axis=0), index) + self.anchor
        return scaled(x, factors)

    def step(self, rate: float, penalty: float, updates: int) -> None:
        """One step of FISTA towards small masks, from the slopes summed over `updates` weight updates.

        Exact zeros come from the threshold rate * penalty and nothing falls below 0. The momentum of a mask begins anew
        when it points uphill (O'Donoghue and Candes, arXiv:1204.3982, section 3.2, here for each mask by itself).
        """
        ahead = (1.0 + tf.sqrt(1.0 + 4.0 * self.pace**2)) / 2.0
        start = self.values + (self.pace - 1.0) / ahead * (self.values - self.last)
        moved = tf.maximum(0.0, start - rate * (self.slopes / updates) - rate * penalty)
        uphill = (start - moved) * (moved - self.values) > 0.0
        with tf.control_dependencies([self.last.assign(self.values)]):
            self.values.assign(moved)
        self.pace.assign(tf.where(uphill, 1.0, ahead))
        self.slopes.assign(tf.zeros_like(self.slopes))


class MaskGate(keras.layers.Layer):
    """What a layer reads, through `masks`: channel i is multiplied by mask `index[i]`."""

    def __init__(self, masks: Masks, index: np.ndarray, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.masks, self.index = masks, np.asarray(index, np.int32)

    def call(self, x: Any) -> Any:
        return self.masks(x, self.index)


class Switches(keras.layers.Layer):
    """`count` switches, on where their logit is above 0; the gradient of a switch goes straight to its logit.

    Call it with a tensor and the index of a switch per channel (`count`: always on). Source: the masks of Xu et al.,
    arXiv:1812.04210, section 3.2.
    """

    def __init__(self, count: int, start: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.count = count
        value = keras.initializers.Constant(start)
        self.logits = self.add_weight(name="logits", shape=(count,), initializer=value)

    def call(self, x: Any, index: np.ndarray) -> Any:
        on = self.logits + tf.stop_gradient(tf.cast(self.logits > 0.0, tf.float32) - self.logits)
        return x * tf.gather(tf.concat([on, [1.0]], axis=0), index)


class SwitchGate(keras.layers.Layer):
    """What a layer reads, through `switches`: channel i goes through switch `index[i]`."""

    def __init__(self, switches: Switches, index: np.ndarray, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.switches, self.index = switches, np.asarray(index, np.int32)

    def call(self, x: Any) -> Any:
        return self.switches(x, self.index)
