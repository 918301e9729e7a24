"""Unpacks a zip from an unknown sender, entry by entry, under names of our own.

The whole list of entries is judged before the first byte is written; sizes are then counted while
unpacking, because what a zip says of its sizes need not be true. Meant to run in a child (`sandbox.unpack`).
"""

from __future__ import annotations

import stat
import unicodedata
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from pipelines.data.layout import is_junk, printable
from pipelines.data.limits import USUAL, Limits

CHUNK = 256 * 1024
METHODS = {zipfile.ZIP_STORED: "stored", zipfile.ZIP_DEFLATED: "deflate"}


class _DamagedEntry(Exception):
    """Its content cannot be read; the others may be whole."""


@dataclass(frozen=True)
class Member:
    """One unpacked file: the name it had in the zip, the file it is in now, or why it could not be unpacked."""

    name: str
    file: str = ""
    reason: str = ""


@dataclass
class Unpacked:
    members: list[Member] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)


def unpack_zip(
    path: Path, destination: Path, limits: Limits = USUAL, report: Callable[[Member], None] | None = None
) -> Unpacked:
    """Unpacks into the existing folder `destination`; files there are named 000000, 000001, …

    Entries whose content is damaged come back with a reason. `report` hears of each entry when it is done.
    Raises ValueError, and leaves no file of this zip behind, when the zip breaks a limit, is encrypted, or
    holds links, names that leave the folder, backslashes or names that differ only in case.
    """
    with _open(path) as archive:
        archive_bytes = path.stat().st_size
        entries, folders = _judge(archive.infolist(), archive_bytes, limits)
        unpacked = Unpacked(folders=folders)
        written: list[Path] = []
        total = 0
        try:
            for name, info in entries:
                file = destination / f"{len(written):06d}"
                written.append(file)
                try:
                    total += _stream(archive, info, name, file, limits.zip_total_bytes - total, limits)
                    if _too_dense(total, archive_bytes, limits):
                        raise ValueError(f"zip bomb: it unpacks to more than {limits.zip_ratio} times its size")
                    member = Member(name, file.name)
                except _DamagedEntry as error:
                    file.unlink(missing_ok=True)
                    member = Member(name, reason=f"damaged inside the zip ({error})")
                unpacked.members.append(member)
                if report:
                    report(member)
        except BaseException:
            for file in written:
                file.unlink(missing_ok=True)
            raise
    return unpacked


def _open(path: Path) -> zipfile.ZipFile:
    if not path.is_file():
        raise ValueError(f"no file at {path}")
    try:
        return zipfile.ZipFile(path)
    except MemoryError:
        raise
    except Exception as error:  # a hostile directory makes zipfile raise struct, unicode, value and seek errors too
        raise ValueError(f"not a readable zip ({type(error).__name__}: {error}); pack or fetch it again") from error


def _judge(
    infos: list[zipfile.ZipInfo], archive_bytes: int, limits: Limits
) -> tuple[list[tuple[str, zipfile.ZipInfo]], list[str]]:
    """The files worth unpacking and the folders named. Raises ValueError for a zip nobody should unpack."""
    if len(infos) > limits.zip_entries:
        raise ValueError(f"the zip has {len(infos):,} entries, at most {limits.zip_entries:,} are accepted")
    if sum(info.compress_size for info in infos) > archive_bytes:
        raise ValueError("zip bomb: its entries share bytes (together they are longer than the file)")
    declared = sum(info.file_size for info in infos)
    if declared > limits.zip_total_bytes:
        raise ValueError(f"the zip unpacks to {declared:,} bytes, at most {limits.zip_total_bytes:,} are accepted")
    entries: list[tuple[str, zipfile.ZipInfo]] = []
    folders: list[str] = []
    spelled: dict[str, str] = {}  # each name and each folder above it, folded -> as first written
    files: set[str] = set()
    for info in infos:
        parts = safe_parts(_name(info), limits.zip_depth)
        kind = stat.S_IFMT(info.external_attr >> 16)
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            what = "a symbolic link" if kind == stat.S_IFLNK else "not an ordinary file"
            raise ValueError(f"entry {_shown(info)} is {what}; pack real files only")
        if not parts or is_junk(parts):
            continue
        for depth in range(1, len(parts) + 1):
            here = "/".join(parts[:depth])
            folded = unicodedata.normalize("NFC", here).casefold()
            if spelled.setdefault(folded, here) != here:
                raise ValueError(f"entries {spelled[folded]!r} and {here!r} differ only in case; rename one")
        name = "/".join(parts)
        if info.is_dir() or kind == stat.S_IFDIR:
            folders.append(name)
            continue
        if name in files:
            raise ValueError(f"entry {_shown(info)} is there twice; pack each file once")
        files.add(name)
        _judge_file(info, limits)
        entries.append((name, info))
    return entries, folders


def _judge_file(info: zipfile.ZipInfo, limits: Limits) -> None:
    if info.flag_bits & 0x41:
        raise ValueError(f"entry {_shown(info)} is encrypted; pack it without a password")
    if info.compress_type not in METHODS:
        raise ValueError(
            f"entry {_shown(info)} is compressed by method {info.compress_type}; use {' or '.join(METHODS.values())}"
        )
    if info.file_size > limits.zip_file_bytes:
        raise ValueError(
            f"entry {_shown(info)} unpacks to {info.file_size:,} bytes, at most {limits.zip_file_bytes:,} are accepted"
        )


def safe_parts(name: str, depth: int) -> tuple[str, ...]:
    """The folders and the file of an entry's name. Raises ValueError for a name that could leave its folder."""
    if "\\" in name:
        raise ValueError(f"entry {name!r} has a backslash in its name; pack it with forward slashes")
    if name.startswith("/") or name[1:2] == ":":
        raise ValueError(f"entry {name!r} has an absolute name; pack it with names inside the folder")
    if not printable(name):
        raise ValueError(f"entry {name!r} has control characters in its name; rename it")
    parts = tuple(part for part in name.split("/") if part not in ("", "."))
    if ".." in parts:
        raise ValueError(f"entry {name!r} would leave the folder ('..', zip slip); pack it without")
    if len(parts) > depth:
        raise ValueError(f"entry {name!r} lies {len(parts)} folders deep, at most {depth} are accepted")
    return parts


def _too_dense(unpacked: int, packed: int, limits: Limits) -> bool:
    """Whether a whole zip grows more than photos ever do: many entries of zeros, none of which is large."""
    return unpacked > limits.zip_ratio_from_bytes and unpacked > limits.zip_ratio * max(1, packed)


def _name(info: zipfile.ZipInfo) -> str:
    # zipfile cuts `filename` at a NUL, so judge what was really written.
    name = info.orig_filename
    if not info.flag_bits & 0x800:  # without the UTF-8 flag zipfile reads code page 437; macOS writes UTF-8 anyway
        try:
            return name.encode("cp437").decode("utf-8")
        except UnicodeError:
            return name
    return name


def _shown(info: zipfile.ZipInfo) -> str:
    return repr(_name(info))


def _stream(archive: zipfile.ZipFile, info: zipfile.ZipInfo, name: str, file: Path, budget: int, limits: Limits) -> int:
    """Writes one entry and gives its bytes back; stops as soon as a limit is passed.

    Python 3.11's reader already stops at the size an entry declares; these counts do not rely on that.
    """
    size = 0
    with file.open("xb") as out:
        for chunk in _chunks(archive, info):
            size += len(chunk)
            if size > limits.zip_file_bytes:
                raise ValueError(f"entry {name!r} unpacks to more than {limits.zip_file_bytes:,} bytes")
            if size > budget:
                raise ValueError(f"the zip unpacks to more than {limits.zip_total_bytes:,} bytes")
            if size > limits.zip_ratio_from_bytes and size > limits.zip_ratio * max(1, info.compress_size):
                raise ValueError(
                    f"zip bomb: entry {name!r} grows more than {limits.zip_ratio} times "
                    f"({info.compress_size:,} bytes packed, over {size:,} unpacked)"
                )
            out.write(chunk)
    return size


def _chunks(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Iterator[bytes]:
    try:
        with archive.open(info) as packed:
            while chunk := packed.read(CHUNK):
                yield chunk
    except MemoryError:
        raise
    except Exception as error:  # bad checksums, offsets and headers raise zip, zlib, struct and system errors
        raise _DamagedEntry(f"{type(error).__name__}: {error}") from error
