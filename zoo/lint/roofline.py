"""The roofline: per layer the larger of arithmetic time and memory time on a target, and an energy estimate.

A layer that does fewer operations for each byte than the target can do in the time of moving one is bound by memory:
fewer multiply-adds will not make it faster. One multiply-add counts as two operations. Times are lower bounds: perfect
use of the arithmetic or of the memory, every operation reading and writing memory once. Source: Williams, Waterman and
Patterson, Communications of the ACM 52(4), 2009.

**Energy is an estimate**: multiply-adds and bytes times the figures of a 45 nm process at 0.9 V, which say how the
parts compare and not what a chip of today draws. Source: Horowitz, "Computing's energy problem", ISSCC 2014.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from zoo.lint.traffic import Traffic
from zoo.lookup import unknown_name
from zoo.sketches import Sketch

# Picojoules of one multiply-add by bytes per number: multiplication and addition of float32 (3.7 + 0.9), of float16
# (1.1 + 0.4), and of int8 summed up in 32 bits (0.2 + 0.1).
MULTIPLY_ADD_PJ = {1: 0.2 + 0.1, 2: 1.1 + 0.4, 4: 3.7 + 0.9}
# Picojoules of one byte, lowest and highest: an access of 64 bits takes 1.3 to 2.6 nJ in DRAM, 100 pJ in 1 MB of SRAM.
BYTE_PJ = {"dram": (1300 / 8, 2600 / 8), "sram": (100 / 8, 100 / 8)}


@dataclass(frozen=True)
class Profile:
    """A target: peak arithmetic in 10^9 operations a second (a multiply-add is two) and memory in 10^9 bytes a second.

    `origin` says how the figures come about. Make your own with `dataclasses.replace`.
    Raises: ValueError for figures that are not above 0, or a memory other than dram and sram.
    """

    name: str
    title: str
    float_gops: float
    int8_gops: float
    bandwidth_gbs: float
    memory: str
    origin: str

    def __post_init__(self) -> None:
        for name in ("float_gops", "int8_gops", "bandwidth_gbs"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e9:
                unit = "bytes" if name == "bandwidth_gbs" else "operations"
                raise ValueError(f"{name} {value!r} is not a number above 0; it counts 10^9 {unit} a second")
        if self.memory not in BYTE_PJ:
            raise ValueError(f"memory {self.memory!r} is not known; use {' or '.join(BYTE_PJ)}")

    def peak(self, element_bytes: int) -> float:
        """Operations a second on numbers of this size; float16 counts as float32."""
        return 1e9 * (self.int8_gops if element_bytes == 1 else self.float_gops)

    def ridge(self, element_bytes: int) -> float:
        """Operations for each byte from which on arithmetic is the limit."""
        return self.peak(element_bytes) / (1e9 * self.bandwidth_gbs)


PROFILES: dict[str, Profile] = {
    profile.name: profile
    for profile in (
        Profile(
            "phone_cpu", "Phone CPU, one large core", 45.4, 181.8, 34.1, "dram",
            "Cortex-A76 at 2.84 GHz: two 128-bit units, 8 float32 or 32 int8 (SDOT) multiply-adds a cycle; four "
            "16-bit channels of LPDDR4X-4266",
        ),
        Profile(
            "desktop_cpu", "Desktop CPU, one core", 128.0, 512.0, 51.2, "dram",
            "4 GHz, two 256-bit units, 16 float32 or 64 int8 (VNNI) multiply-adds a cycle; two channels of DDR4-3200",
        ),
        Profile(
            "gpu", "GPU of the guidelines' paper", 11_340.0, 45_360.0, 484.0, "dram",
            "GeForce GTX 1080 Ti: 3,584 lanes at 1.582 GHz, int8 four at once (DP4A); 352 bits of GDDR5X at 11 Gbit/s",
        ),
        Profile(
            "microcontroller", "Microcontroller", 0.96, 1.92, 1.92, "sram",
            "Cortex-M7 at 480 MHz: one float32 or two int8 (SMLAD) multiply-adds a cycle; 64-bit SRAM at 240 MHz",
        ),
    )
}  # fmt: skip


def profile_named(name: str) -> Profile:
    """The profile called so. Raises: ValueError with the nearest names."""
    if name not in PROFILES:
        raise unknown_name("target profile", name, PROFILES)
    return PROFILES[name]


@dataclass(frozen=True)
class Roofline:
    """One row per operation, in order, and the sums. All of it predicted; the energy an estimate."""

    profile: Profile
    element_bytes: int
    ridge: float
    seconds: float
    memory_bound_share: float
    energy_low_j: float
    energy_high_j: float
    layers: list[dict[str, Any]]

    def as_dict(self) -> dict[str, Any]:
        """The roofline as plain values, ready for JSON."""
        plain = {item.name: getattr(self, item.name) for item in fields(self)}
        profile = {item.name: getattr(self.profile, item.name) for item in fields(self.profile)}
        return {**plain, "profile": profile, "energy": "estimate: 45 nm figures of Horowitz, ISSCC 2014"}


def of_traffic(traffic: Traffic, profile: Profile) -> Roofline:
    """The roofline of what moves in `traffic` on the target."""
    size = traffic.element_bytes
    rows: list[dict[str, Any]] = []
    peak, bandwidth, ridge = profile.peak(size), 1e9 * profile.bandwidth_gbs, profile.ridge(size)
    multiply_add, (low, high) = MULTIPLY_ADD_PJ[size], BYTE_PJ[profile.memory]
    for op in traffic.ops:
        moved = traffic.bytes_of(op)
        if not moved:
            continue
        intensity = 2 * op.macs / moved
        rows.append(
            {
                "name": op.name,
                "kind": op.kind,
                "stage": op.stage,
                "macs": op.macs,
                "bytes": moved,
                "bytes_share": traffic.share(moved),
                "intensity": intensity,
                "bound": "compute" if intensity > ridge else "memory",
                "seconds": max(2 * op.macs / peak, moved / bandwidth),
                "energy_low_j": 1e-12 * (op.macs * multiply_add + moved * low),
                "energy_high_j": 1e-12 * (op.macs * multiply_add + moved * high),
            }
        )
    seconds = sum(row["seconds"] for row in rows)
    for row in rows:
        row["seconds_share"] = row["seconds"] / seconds
    return Roofline(
        profile=profile,
        element_bytes=size,
        ridge=ridge,
        seconds=seconds,
        memory_bound_share=sum(row["seconds_share"] for row in rows if row["bound"] == "memory"),
        energy_low_j=sum(row["energy_low_j"] for row in rows),
        energy_high_j=sum(row["energy_high_j"] for row in rows),
        layers=rows,
    )


def roofline(
    sketch: Sketch, profile: Profile | str = "phone_cpu", *, element_bytes: int = 4, folded: bool = True
) -> Roofline:
    """The roofline of a sketched network on a target, by its profile or its name. Raises: ValueError for another."""
    chosen = profile_named(profile) if isinstance(profile, str) else profile
    return of_traffic(Traffic(sketch, element_bytes, folded), chosen)
