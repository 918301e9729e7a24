"""The limits that commands take: multiply-adds, kB of int8 file, kB of activations, or a microcontroller board."""

from __future__ import annotations

import argparse

from exports.mcu_boards import board_named, within
from pipelines.commands.command import count, resolution
from zoo.limits import Limits


def limit_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of `limits_of` and `resolutions_of`."""
    parser.add_argument("--macs", metavar="N", help="at most so many multiply-adds: 20M, 20e6 or 20000000")
    parser.add_argument("--kb", metavar="N", help="at most so many kB (1,000 bytes) of int8 file, as predicted")
    parser.add_argument("--activation-kb", metavar="N", help="at most so many kB of activations at once, in int8")
    parser.add_argument(
        "--board", metavar="BOARD", help="within a board's flash and RAM, such as nano_33_ble; the runtime comes on top"
    )
    parser.add_argument("--resolutions", metavar="R,R", help="only these, such as 96,128 or 96x128")


def limits_of(asked: argparse.Namespace) -> Limits:
    """The limits asked for. Raises: ValueError for what is no number above 0."""
    limits = Limits(
        macs=_limit("--macs", asked.macs, 1),
        predicted_int8_bytes=_limit("--kb", asked.kb, 1000),
        int8_peak_activation_bytes=_limit("--activation-kb", asked.activation_kb, 1000),
    )
    return within(limits, None if asked.board is None else board_named(asked.board))


def resolutions_of(asked: argparse.Namespace) -> list[int | tuple[int, int]]:
    """The resolutions asked for, empty when none is named."""
    if asked.resolutions is None:
        return []
    return [resolution(one.strip()) for one in asked.resolutions.split(",")]


def _limit(flag: str, text: str | None, unit: int) -> int | None:
    if text is None:
        return None
    limit = int(count(text, flag) * unit)
    if limit < 1:
        raise ValueError(f"{flag} {text!r} allows nothing: the least is {1 / unit:g}")
    return limit
