"""What a design may need at most."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from zoo.designs import Design


@dataclass(frozen=True)
class Limits:
    """What a design may need at most; None is no limit. Bytes are plain bytes (a kB has 1,000)."""

    macs: int | None = None
    predicted_int8_bytes: int | None = None
    int8_peak_activation_bytes: int | None = None

    def __post_init__(self) -> None:
        for name, value in self.named.items():
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < float("inf"):
                raise ValueError(f"{name} {value!r} is not a number above 0")

    @property
    def named(self) -> dict[str, int]:
        """The limits there are."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    def allow(self, one: Design) -> bool:
        """Whether `one` keeps within every limit."""
        return not self.broken(one)

    def broken(self, one: Design) -> dict[str, int]:
        """The limits that `one` breaks, with what it needs instead."""
        needs = {name: getattr(one, name) for name in self.named}
        return {name: need for name, need in needs.items() if need > self.named[name]}
