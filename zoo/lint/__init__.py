"""The guideline linter: what a network wastes, read off its sketch. No TensorFlow, no files; milliseconds.

Rules are G1 to G4 of ShuffleNetV2 (arXiv:1807.11164) and the checks of this project. Each finding names its layer, the
evidence, and the bytes it would save as a share of all bytes moved; which bytes count as saveable is fixed per rule in
`RULES`. Numbers are 4 bytes large unless `element_bytes` says otherwise. Dead weights of a trained model are in
`zoo/lint/weights.py`, which needs the model.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from zoo.lint import deployment, elementwise, fragments, groups, shapes, widths
from zoo.lint.finding import Finding, Rule, saveable
from zoo.lint.roofline import PROFILES, Profile, Roofline, of_traffic, profile_named, roofline
from zoo.lint.separable import pairs
from zoo.lint.thresholds import USUAL, Thresholds
from zoo.lint.traffic import Traffic
from zoo.sketches import Sketch

RULES: dict[str, Rule] = {
    rule.name: rule
    for rule in (widths.RULE, groups.RULE, fragments.RULE, elementwise.RULE, *shapes.RULES, *deployment.RULES)
}
GUIDELINES = ("G1", "G2", "G3", "G4")
FOLDED = "folded: norms and ReLUs that a runtime folds into the layer before them are gone"
AS_LAID = "as laid: every layer moves its own bytes, nothing is folded"
REARRANGING = ("concat", "slice", "shuffle", "gather", "pad", "channel_pad", "crop")


def look(traffic: Traffic, thresholds: Thresholds = USUAL, leave_out: Iterable[str] = ()) -> list[Finding]:
    """All findings, guidelines first, and within a rule the largest saving first; `leave_out` names rules."""
    return [
        finding
        for rule in RULES.values()
        if rule.name not in leave_out
        for finding in sorted(rule.look(traffic, thresholds), key=lambda found: -found.saving_bytes)
    ]


def findings(
    sketch: Sketch, thresholds: Thresholds = USUAL, *, element_bytes: int = 4, folded: bool = True
) -> list[dict[str, Any]]:
    """One plain row per finding: rule, layer, stage, evidence, saving, saving_bytes, saving_share."""
    traffic = Traffic(sketch, element_bytes, folded)
    return [found.as_row(traffic) for found in look(traffic, thresholds)]


def report(traffic: Traffic, found: Iterable[Finding], view: str = "") -> dict[str, Any]:
    """The whole answer about one network as plain values: sums, shares, findings, separable pairs.

    `saveable_bytes` adds up no byte twice: per operation the largest claim of the guidelines G1 to G4 counts.
    `rearranged_share` is what concatenations, slices, shuffles and padding move: no rule judges it, because a runtime
    that plans in place may do it for nothing. `view` overrides the words for what is counted.
    """
    found = list(found)
    guided = [finding for finding in found if finding.rule in GUIDELINES]
    saved = saveable(guided, traffic)
    rearranged = sum(traffic.bytes_of(op) for op in traffic.ops if op.kind in REARRANGING)
    return {
        "view": view or (FOLDED if traffic.folded else AS_LAID),
        "element_bytes": traffic.element_bytes,
        "memory_access_bytes": traffic.all_bytes,
        "breaks": [name for name in GUIDELINES if any(finding.rule == name for finding in guided)],
        "saveable_bytes": saved,
        "saveable_share": traffic.share(saved),
        "elementwise_share": elementwise.share(traffic),
        "rearranged_share": traffic.share(rearranged),
        "fragmentation_degree": max(fragments.degrees(traffic).values(), default=0),
        "unknown": list(traffic.sketch.unknown),
        "findings": [finding.as_row(traffic) for finding in found],
        "separable": pairs(traffic),
    }


__all__ = [
    "GUIDELINES",
    "PROFILES",
    "RULES",
    "USUAL",
    "Finding",
    "Profile",
    "Roofline",
    "Rule",
    "Thresholds",
    "Traffic",
    "findings",
    "look",
    "of_traffic",
    "pairs",
    "profile_named",
    "report",
    "roofline",
    "saveable",
]
