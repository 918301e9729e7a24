"""The plan being composed on the Build page: plain values as typed, kept in the browser session, with undo.

It may be wrong for as long as a person types; only `recipe()` is strict.
"""

from __future__ import annotations

import base64
import copy
import json
import zlib
from dataclasses import dataclass, field
from typing import Any

import streamlit as st

from pipelines.recipes import Recipe

KEY = "draft"
MOST_UNDO = 50
MOST_LINK_BYTES = 256 * 1024  # a link is typed by anybody: it may not unpack without bound


@dataclass
class Draft:
    """`values` as a recipe file has them, except that `steps` are `{"uid", "step", "values"}`.

    `version` is part of every widget's key: it grows when values change from outside the widgets.
    """

    values: dict[str, Any]
    version: int = 0
    next_uid: int = 0
    earlier: list[dict[str, Any]] = field(default_factory=list)

    @classmethod
    def of(cls, recipe: Recipe) -> Draft:
        """A draft that starts as `recipe`."""
        draft = cls({})
        draft.load(recipe)
        return draft

    def load(self, recipe: Recipe) -> None:
        """Puts `recipe` in place of what is there; undo brings that back."""
        if self.values:
            self.remember()
        plan = recipe.as_dict()
        plan["steps"] = [self._step(*next(iter(step.items()))) for step in plan["steps"]]
        plan.setdefault("grid", None)
        self.values = plan
        self.version += 1

    def remember(self) -> None:
        """Keeps the present values for `undo`."""
        self.earlier = [*self.earlier[-MOST_UNDO + 1 :], copy.deepcopy(self.values)]

    def undo(self) -> None:
        """Brings back what was before the last change of steps, or the last loading."""
        if self.earlier:
            self.values = self.earlier.pop()
            self.version += 1

    def add(self, step: str, values: dict[str, Any] | None = None) -> None:
        """Puts a step at the end, but before export and measure when it makes a model."""
        self.remember()
        steps = self.values["steps"]
        place = len(steps)
        if step not in ("export", "measure"):
            place = next((at for at, other in enumerate(steps) if other["step"] in ("export", "measure")), place)
        steps.insert(place, self._step(step, values or {}))

    def remove(self, uid: int) -> None:
        """Takes a step away."""
        self.remember()
        self.values["steps"] = [step for step in self.values["steps"] if step["uid"] != uid]

    def move(self, uid: int, by: int) -> None:
        """Moves a step up (-1) or down (+1)."""
        steps = self.values["steps"]
        at = next(place for place, step in enumerate(steps) if step["uid"] == uid)
        to = at + by
        if 0 <= to < len(steps):
            self.remember()
            steps = self.values["steps"]
            steps[at], steps[to] = steps[to], steps[at]

    def plain(self) -> dict[str, Any]:
        """The values as a recipe file has them."""
        plan = {key: value for key, value in self.values.items() if not (key in ("grid", "start") and not value)}
        if not str(plan.get("start", "")).startswith("file:"):
            plan.pop("start_range", None)
        plan["steps"] = [{step["step"]: step["values"]} for step in self.values["steps"]]
        return plan

    def recipe(self) -> Recipe:
        """The finished recipe. Raises ValueError with the place of the mistake."""
        return Recipe.of(self.plain())

    def _step(self, name: str, values: dict[str, Any]) -> dict[str, Any]:
        self.next_uid += 1
        return {"uid": self.next_uid, "step": name, "values": dict(values)}


def current() -> Draft:
    """This browser session's draft; a first one when there is none."""
    if KEY not in st.session_state:
        st.session_state[KEY] = Draft.of(first_recipe())
    return st.session_state[KEY]


def first_recipe() -> Recipe:
    """What a new draft starts as: train, write a float and an int8 file, measure both."""
    return Recipe.of(
        {
            "name": "my first network",
            "data": {"source": "digits", "resolution": 24},
            "model": {"name": "mobilenet_v2", "width": 0.35},
            "steps": ["train", {"export": {"formats": ["tflite_float32", "tflite_int8"]}}, "measure"],
        }
    )


def link_of(recipe: Recipe) -> str:
    """The recipe as a short text for the address line."""
    packed = zlib.compress(json.dumps(recipe.as_dict(), separators=(",", ":")).encode(), 9)
    return base64.urlsafe_b64encode(packed).decode().rstrip("=")


def from_link(text: str) -> Recipe:
    """Reads `link_of` back. Raises ValueError when the text is not one of ours."""
    try:
        packed = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        unpacker = zlib.decompressobj()
        plain = unpacker.decompress(packed, MOST_LINK_BYTES)
        if unpacker.unconsumed_tail:
            raise ValueError("it unpacks to more than a recipe can be")
        values = json.loads(plain)
    except (ValueError, zlib.error) as error:
        raise ValueError(
            f"the recipe in this page's address cannot be read ({error}); open it from a file instead"
        ) from None
    return Recipe.of(values)
