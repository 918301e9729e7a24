"""Microcontroller boards by name: memory as their makers state it. Firmware and a camera's buffers take their part."""

from __future__ import annotations

from dataclasses import dataclass, replace
from difflib import get_close_matches

from zoo.limits import Limits


@dataclass(frozen=True)
class Board:
    """`flash` and `ram` in kilobytes of 1,024 bytes; `ram` is all that a program can use."""

    name: str
    title: str
    chip: str
    flash: int
    ram: int


BOARDS: dict[str, Board] = {
    board.name: board
    for board in (
        Board("microbit_v2", "BBC micro:bit v2", "nRF52833, Cortex-M4", 512, 128),
        Board("nano_33_ble", "Arduino Nano 33 BLE Sense", "nRF52840, Cortex-M4", 1024, 256),
        Board("xiao_nrf52840", "Seeed XIAO nRF52840 Sense", "nRF52840, Cortex-M4", 1024, 256),
        Board("nicla_vision", "Arduino Nicla Vision", "STM32H747, Cortex-M7", 2048, 1024),
        Board("portenta_h7", "Arduino Portenta H7", "STM32H747, Cortex-M7", 2048, 1024),
        Board("pico", "Raspberry Pi Pico", "RP2040, Cortex-M0+", 2048, 264),
        Board("pico_2", "Raspberry Pi Pico 2", "RP2350, Cortex-M33", 4096, 520),
        Board("esp32", "ESP32-DevKitC", "ESP32, Xtensa LX6", 4096, 320),
        Board("esp32_s3", "ESP32-S3-DevKitC", "ESP32-S3, Xtensa LX7", 8192, 512),
        Board("esp32_c3", "ESP32-C3-DevKitM", "ESP32-C3, RISC-V", 4096, 400),
        Board("nucleo_f411", "STM32 Nucleo-F411RE", "STM32F411, Cortex-M4", 512, 128),
        Board("nucleo_l476", "STM32 Nucleo-L476RG", "STM32L476, Cortex-M4", 1024, 128),
        Board("nucleo_h743", "STM32 Nucleo-H743ZI", "STM32H743, Cortex-M7", 2048, 1024),
        Board("disco_f746", "STM32F746G Discovery", "STM32F746, Cortex-M7", 1024, 320),
        Board("iot_l4s5", "STM32 B-L4S5I-IOT01A", "STM32L4S5, Cortex-M4", 2048, 640),
        Board("iot_u585", "STM32 B-U585I-IOT02A", "STM32U585, Cortex-M33", 2048, 786),
        Board("sparkfun_edge", "SparkFun Edge", "Apollo3, Cortex-M4", 1024, 384),
        Board("teensy_4_1", "Teensy 4.1", "i.MX RT1062, Cortex-M7", 7936, 1024),
        Board("wio_terminal", "Seeed Wio Terminal", "SAMD51, Cortex-M4", 512, 192),
        Board("edgebadge", "Adafruit EdgeBadge", "SAMD51, Cortex-M4", 512, 192),
        Board("spresense", "Sony Spresense", "CXD5602, Cortex-M4", 8192, 1536),
    )
}


def within(limits: Limits, board: Board | None) -> Limits:
    """`limits`, and no more than a board has where one is named; the runtime's own needs come on top."""
    if board is None:
        return limits
    held = {"predicted_int8_bytes": 1024 * board.flash, "int8_peak_activation_bytes": 1024 * board.ram}
    return replace(limits, **{name: min(getattr(limits, name) or most, most) for name, most in held.items()})


def board_named(name: str) -> Board:
    """The board. Raises: ValueError with the nearest names."""
    if name not in BOARDS:
        near = get_close_matches(name, BOARDS, 3, 0.4)
        offer = f"nearest: {', '.join(near)}" if near else f"there are {', '.join(BOARDS)}"
        raise ValueError(f"board {name!r} is not known; {offer}")
    return BOARDS[name]
