"""What a layer can be made from again, with as many channels as a rewriting leaves it.

Keras writes initialisers, regularisers, constraints and activations down by name. It cannot where they are of
somebody's own (a lambda, a class that is not registered), and where they hold arrays they fit one size only. Weights
are set after a layer is made, so an initialiser is worth nothing here; the other three are handed over as they are.
"""

from __future__ import annotations

from typing import Any

Config = dict[str, Any]
ROLES = ("_initializer", "_regularizer", "_constraint")


def config_of(layer: Any, *, resized: bool = False) -> Config:
    """The configuration of a layer, from which `from_config` makes one like it.

    What a layer of somebody's own says is not touched. Initialisers that are not Keras' own, or hold arrays, are left
    out: the class has its defaults. `resized` leaves regularisers and constraints that hold arrays out as well. An
    activation without a name in Keras stands there as the function itself, so that no rule takes it for one it knows.
    """
    of_keras = type(layer).__module__.startswith("tf_keras.")
    own = {key: value for key, value in vars(layer).items() if of_keras and _has_role(key) and not _by_name(value)}
    if not own:
        return dict(layer.get_config())
    from zoo.keras import keras

    try:  # the layer is asked without them: to write them down may fail, or warn
        vars(layer).update({key: keras.activations.linear if key == "activation" else None for key in own})
        config = dict(layer.get_config())
    finally:
        vars(layer).update(own)
    for key, value in own.items():
        if key.endswith("_initializer"):
            config.pop(key, None)
        elif key in config:
            # What a layer with an activation of its own makes is never cut, so that one always fits.
            misfit = resized and key != "activation" and _arrays(getattr(value, "__dict__", {}))
            config[key] = None if misfit else _handed_over(value)
    return config


def _has_role(key: str) -> bool:
    return key == "activation" or key.endswith(ROLES)


def _by_name(value: Any) -> bool:
    """Whether Keras makes the same again from a name and plain numbers, for any size."""
    from zoo.keras import keras

    if value is None:
        return True
    if hasattr(value, "get_config"):
        return type(value).__module__.startswith("tf_keras.") and not _arrays(value.get_config())
    if not (getattr(value, "__module__", None) or "").startswith(("tf_keras.", "tensorflow.")):
        return False
    try:
        return keras.activations.get(getattr(value, "__name__", "?")) is not None
    except ValueError:
        return False


def _arrays(values: Config) -> bool:
    return any(isinstance(value, list | tuple) or len(getattr(value, "shape", ())) for value in values.values())


def _handed_over(value: Any) -> Any:
    """The same function; of a layer a copy, since it may hold weights."""
    from zoo.keras import keras

    return type(value).from_config(value.get_config()) if isinstance(value, keras.layers.Layer) else value
