"""Limits for files that other people made: how big, how long, how many before we say no."""

from __future__ import annotations

from dataclasses import dataclass

MEGABYTE = 1024 * 1024


@dataclass(frozen=True)
class Limits:
    """What one import may cost. The defaults let any phone photo and any reasonable zip through."""

    max_pixels: int = 64_000_000  # per image, checked before its pixels are decoded; phones make up to 50 million
    max_file_bytes: int = 64 * MEGABYTE  # per image file
    image_seconds: int = 20  # processor and wall time of one image
    memory_bytes: int = 2048 * MEGABYTE  # address space of a child process
    prepared_bytes: int = 16_384 * MEGABYTE  # all pixels of a prepared set
    max_images: int = 500_000
    processes: int = 2  # children that decode side by side

    zip_entries: int = 200_000
    zip_file_bytes: int = 64 * MEGABYTE  # one entry, unpacked
    zip_total_bytes: int = 8192 * MEGABYTE  # all entries, unpacked
    zip_ratio: int = 200  # unpacked / packed; photos stay near 1, a bomb of zeros reaches 1032
    zip_ratio_from_bytes: int = 8 * MEGABYTE  # the ratio says nothing about small entries
    zip_depth: int = 10  # folders inside each other
    zip_seconds: int = 1800


USUAL = Limits()
