"""G3: many small operators hinder parallel work. Source: arXiv:1807.11164, section 2.

Two signs, both read off the graph:

- **Side by side.** The degree of an addition or concatenation is the number of convolutions it joins that do not
  depend on each other: the last one of each branch, as seen from the merge, where a convolution that another one of
  them builds on does not count. So a residual block has degree 1, with a projected shortcut 2, a fire module 2, and
  four dilated convolutions added up one after the other have 4. Of merges that join the same convolutions only the
  last is reported. Saveable: what the merges, and the slices in front of the branches, move only to take a map apart
  and put it together again.
- **One after the other.** Convolutions with a tiny share of their block's multiply-adds that lie on one path. Blocks
  are taken from layer names (`stage3_2` of `stage3_2_expand_conv`); layers named otherwise belong to none. Saveable:
  what these layers move.

A grouped convolution in its split form (slices, small convolutions, a concatenation: `zoo/lint/groups.py`) is one
convolution here and its concatenation no merge, so that a network is judged alike as trained and as deployed.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator

from zoo.lint.finding import Finding, Rule, megabytes
from zoo.lint.groups import split_parts
from zoo.lint.thresholds import Thresholds
from zoo.lint.traffic import CONVOLUTIONS, Traffic

MERGES = ("add", "subtract", "average", "maximum", "concat")
BLOCK = re.compile(r"(?:.*/)?([^/]*?_\d+)_")


def look(traffic: Traffic, limits: Thresholds) -> Iterator[Finding]:
    """Merges of too many branches, and blocks with too many tiny convolutions in a row."""
    yield from _side_by_side(traffic, limits)
    yield from _in_a_row(traffic, limits)


def degrees(traffic: Traffic) -> dict[str, int]:
    """The fragmentation degree of every merge by name."""
    return {name: len(ends) for name, ends in _Branches(traffic).joined.items()}


class _Branches:
    """For every operation the last convolutions it depends on, none of which builds on another.

    Sets of operations are bits of a whole number: a network of a thousand layers is walked in a millisecond.
    """

    def __init__(self, traffic: Traffic) -> None:
        self.place = {op.name: place for place, op in enumerate(traffic.ops)}
        self.names = [op.name for op in traffic.ops]
        self.ends: dict[str, int] = {}
        self.joined: dict[str, list[str]] = {}
        self.convolutions = {op.name for op in traffic.ops if op.kind in CONVOLUTIONS or split_parts(op, traffic)}
        before: dict[str, int] = {}
        for op in traffic.ops:
            bit, behind, ends = 1 << self.place[op.name], 0, 0
            for source in traffic.inputs[op.name]:
                behind |= before[source]
                ends |= self.ends[source]
            before[op.name] = behind | bit
            if op.name in self.convolutions:
                self.ends[op.name] = bit
                continue
            if ends & (ends - 1):  # more than one: drop those that another builds on
                for name in self.listed(ends):
                    ends &= ~(before[name] & ~(1 << self.place[name]))
            self.ends[op.name] = ends
            if op.kind in MERGES:
                self.joined[op.name] = self.listed(ends)

    def listed(self, bits: int) -> list[str]:
        """The names behind the bits, in order."""
        found = []
        while bits:
            low = bits & -bits
            found.append(self.names[low.bit_length() - 1])
            bits ^= low
        return found


def _side_by_side(traffic: Traffic, limits: Thresholds) -> Iterator[Finding]:
    branches = _Branches(traffic)
    wide = [name for name, ends in branches.joined.items() if len(ends) > limits.branches]
    for place, name in enumerate(wide):
        own = branches.ends[name]
        others = [branches.ends[other] for later, other in enumerate(wide) if other != name and (
            branches.ends[other] != own or later > place)]  # fmt: skip
        if any(own & ~other == 0 for other in others):
            continue
        op, ends = traffic.sketch[name], branches.joined[name]
        around = [*_joining(name, branches, traffic), *_splitting(ends, traffic)]
        parts = tuple((each, traffic.bytes_of(traffic.sketch[each])) for each in around)
        shown = ", ".join(ends[:4]) + (" …" if len(ends) > 4 else "")
        yield Finding(
            "G3", name, op.stage,
            f"joins {len(ends)} convolutions that run side by side ({shown}; limit {limits.branches}); taking apart "
            f"and joining moves {megabytes(sum(amount for _, amount in parts))}",
            parts,
        )  # fmt: skip


def _joining(merge: str, branches: _Branches, traffic: Traffic) -> list[str]:
    """The merge and those before it that lie behind one of its branches."""
    found: dict[str, None] = {}
    waiting = [merge]
    while waiting:
        name = waiting.pop()
        if name in found or name in branches.convolutions or not branches.ends[name] & branches.ends[merge]:
            continue
        found[name] = None
        waiting.extend(traffic.inputs[name])
    return [name for name in found if traffic.sketch[name].kind in MERGES]


def _splitting(ends: list[str], traffic: Traffic) -> list[str]:
    """The slices that feed the branches: up each branch to where it begins."""
    found: dict[str, None] = {}
    for end in ends:
        name = end
        while len(traffic.inputs[name]) == 1:
            (name,) = traffic.inputs[name]
            if traffic.sketch[name].kind == "slice":
                found[name] = None
            if len(traffic.readers[name]) > 1:
                break
    return list(found)


def _in_a_row(traffic: Traffic, limits: Thresholds) -> Iterator[Finding]:
    blocks: dict[str, list[str]] = defaultdict(list)
    for op in traffic.ops:
        match = BLOCK.match(op.name)
        if match:
            blocks[match[1]].append(op.name)
    for block, names in blocks.items():
        ops = [traffic.sketch[name] for name in names]
        total = sum(op.macs for op in ops)
        split = {op.name: groups for op in ops if (groups := split_parts(op, traffic))}
        in_groups = {group.name for groups in split.values() for group in groups}
        made_of = {op.name: split.get(op.name, (op,)) for op in ops}
        macs = {name: sum(each.macs for each in made_of[name]) for name in names}
        longest: dict[str, tuple[str, ...]] = {}
        for op in ops:
            before = max((longest.get(source, ()) for source in traffic.inputs[op.name]), key=len, default=())
            whole = op.name in split or (op.kind in CONVOLUTIONS and op.name not in in_groups)
            tiny = whole and macs[op.name] < limits.tiny_share * total
            longest[op.name] = (*before, op.name) if tiny else before
        chain = max(longest.values(), key=len)
        if len(chain) > limits.tiny_layers:
            parts = tuple((each.name, traffic.bytes_of(each)) for name in chain for each in made_of[name])
            small = max(macs[name] for name in chain) / total
            yield Finding(
                "G3", chain[-1], traffic.sketch[chain[-1]].stage,
                f"block {block} has {len(chain)} tiny convolutions one after the other ({', '.join(chain)}; limit "
                f"{limits.tiny_layers}), none above {100 * small:.1f} % of its multiply-adds",
                parts,
            )  # fmt: skip


RULE = Rule(
    "G3", "Little fragmentation",
    "bytes that merges and slices of too many branches move, and those of tiny convolutions in a row", look,
)  # fmt: skip
