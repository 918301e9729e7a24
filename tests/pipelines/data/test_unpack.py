"""Hostile zips: none writes outside its folder, none grows past its limits, and each refusal names its cause."""

from __future__ import annotations

import io
import stat
import struct
import tempfile
import zipfile
from collections.abc import Iterable
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import given

from pipelines.data.limits import Limits
from pipelines.data.unpack import unpack_zip

SMALL = Limits(
    zip_entries=50, zip_file_bytes=1_000_000, zip_total_bytes=2_000_000, zip_ratio=100, zip_ratio_from_bytes=100_000
)


def write_zip(path: Path, entries: Iterable[tuple[str | zipfile.ZipInfo, bytes]], packed: bool = True) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED) as archive:
        for name, content in entries:
            archive.writestr(name, content)
    return path


def refused(tmp_path: Path, path: Path, match: str, limits: Limits = SMALL) -> None:
    out = tmp_path / "out"
    out.mkdir(exist_ok=True)
    with pytest.raises(ValueError, match=match):
        unpack_zip(path, out, limits)
    assert list(out.iterdir()) == []


def test_files_come_out_under_names_of_our_own(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a.zip", [("./cat//1.jpg", b"1"), ("dog/x.jpg", b"22"), ("e/", b"")])
    out = tmp_path / "out"
    out.mkdir()
    unpacked = unpack_zip(path, out, SMALL)
    assert [(member.name, member.file) for member in unpacked.members] == [
        ("cat/1.jpg", "000000"),
        ("dog/x.jpg", "000001"),
    ]
    assert [(out / name).read_bytes() for name in ("000000", "000001")] == [b"1", b"22"]
    assert unpacked.folders == ["e"]


def test_desktop_junk_is_skipped(tmp_path: Path) -> None:
    junk = ["__MACOSX/cat/._a.jpg", "cat/.DS_Store", "cat/Thumbs.db", ".git/config", "cat/._a.jpg"]
    path = write_zip(tmp_path / "a.zip", [(name, b"x") for name in [*junk, "cat/a.jpg"]])
    (tmp_path / "out").mkdir()
    assert [member.name for member in unpack_zip(path, tmp_path / "out").members] == ["cat/a.jpg"]


def test_zip_bomb_is_refused_with_its_ratio(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "bomb.zip", [("a/zeros.png", bytes(50_000_000))])
    assert path.stat().st_size < 60_000
    refused(tmp_path, path, r"zip bomb: entry 'a/zeros.png' grows more than 200 times", Limits())


def test_zip_bomb_of_many_entries_is_refused_by_its_whole(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "many.zip", [(f"a/{number}.png", bytes(900_000)) for number in range(10)])
    limits = Limits(zip_ratio_from_bytes=1_000_000)
    refused(tmp_path, path, "zip bomb: it unpacks to more than 200 times its size", limits)


def test_bomb_that_lies_about_its_size_is_stopped_while_it_is_unpacked(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "liar.zip", [("a/zeros.png", bytes(900_000))])
    data = bytearray(path.read_bytes())
    place = data.index(b"PK\x01\x02")
    data[place + 24 : place + 28] = struct.pack("<I", 2_000_000_000)  # the size the directory claims
    path.write_bytes(data)
    refused(tmp_path, path, "unpacks to 2,000,000,000 bytes")
    data[place + 24 : place + 28] = struct.pack("<I", 999_999)
    path.write_bytes(data)
    refused(tmp_path, path, "zip bomb")


@pytest.mark.parametrize(
    ("entries", "limits", "match"),
    [
        ([(f"a/{n}", b"") for n in range(51)], SMALL, "51 entries, at most 50"),
        ([("a/big", b"x" * 1_000_001)], SMALL, "unpacks to 1,000,001 bytes, at most 1,000,000"),
        ([(f"a/{n}", b"x" * 900_000) for n in range(3)], SMALL, "unpacks to 2,700,000 bytes, at most 2,000,000"),
        ([("/".join("abcdefghijkl"), b"")], SMALL, "12 folders deep, at most 10"),
    ],
)
def test_limits_on_count_size_total_and_depth_hold(tmp_path: Path, entries: list, limits: Limits, match: str) -> None:
    refused(tmp_path, write_zip(tmp_path / "a.zip", entries), match, limits)


def test_entries_that_share_bytes_are_refused(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a.zip", [("a/1", b"x" * 5000)], packed=False)
    data = path.read_bytes()
    start = data.index(b"PK\x01\x02")
    end = data.index(b"PK\x05\x06")
    entry = data[start:end]
    twice = entry + entry.replace(b"a/1", b"a/2")
    tail = bytearray(data[end:])
    struct.pack_into("<HHI", tail, 8, 2, 2, len(twice))
    path.write_bytes(data[:start] + twice + bytes(tail))
    refused(tmp_path, path, "zip bomb: its entries share bytes")


@pytest.mark.parametrize(
    ("name", "match"),
    [
        ("../evil.jpg", "zip slip"),
        ("a/../../evil.jpg", "zip slip"),
        ("/etc/evil.jpg", "absolute"),
        ("C:/evil.jpg", "absolute"),
        ("a\\..\\evil.jpg", "backslash"),
        ("__MACOSX/../../evil.jpg", "zip slip"),
        ("a/new\nline.jpg", "control characters"),
    ],
)
def test_names_that_leave_the_folder_are_refused(tmp_path: Path, name: str, match: str) -> None:
    refused(tmp_path, write_zip(tmp_path / "a.zip", [("a/ok.jpg", b"1"), (name, b"2")]), match)
    assert not list(tmp_path.rglob("evil*"))


def test_symbolic_links_and_devices_are_refused(tmp_path: Path) -> None:
    for kind, match in ((stat.S_IFLNK, "symbolic link"), (stat.S_IFIFO, "not an ordinary file")):
        info = zipfile.ZipInfo("a/link.jpg")
        info.create_system = 3
        info.external_attr = (kind | 0o777) << 16
        refused(tmp_path, write_zip(tmp_path / "a.zip", [(info, b"/etc/passwd")]), match)


@pytest.mark.parametrize(
    "names", [("cat/a.jpg", "cat/A.jpg"), ("Cat/a.jpg", "cat/b.jpg"), ("caf\u00e9/a", "cafe\u0301/b")]
)
def test_names_that_differ_only_in_case_or_accents_are_refused(tmp_path: Path, names: tuple[str, str]) -> None:
    refused(tmp_path, write_zip(tmp_path / "a.zip", [(name, b"1") for name in names]), "differ only in case")


@pytest.mark.filterwarnings("ignore:Duplicate name")  # zipfile warns about what this test is about
def test_the_same_name_twice_is_refused(tmp_path: Path) -> None:
    refused(tmp_path, write_zip(tmp_path / "a.zip", [("a/1", b"1"), ("a/1", b"2")]), "there twice")


def test_encrypted_entries_are_refused(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a.zip", [("a/1.jpg", b"secret")])
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(data)
    refused(tmp_path, path, "encrypted")


def test_unusual_compression_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("a/1.jpg", b"x" * 100)
    refused(tmp_path, tmp_path / "a.zip", "method 14; use stored or deflate")


def test_files_that_are_no_zip_or_a_cut_one_are_refused(tmp_path: Path) -> None:
    whole = write_zip(tmp_path / "a.zip", [("a/1.jpg", b"x" * 100)]).read_bytes()
    for content in (b"", b"hello", whole[:60]):
        (tmp_path / "b.zip").write_bytes(content)
        refused(tmp_path, tmp_path / "b.zip", "not a readable zip")


def test_damaged_entry_is_listed_and_the_others_come_out(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a.zip", [("a/bad", b"y" * 100), ("a/good", b"x" * 100)], packed=False)
    data = bytearray(path.read_bytes())
    data[data.index(b"y" * 100)] ^= 1
    path.write_bytes(data)
    (tmp_path / "out").mkdir()
    bad, good = unpack_zip(path, tmp_path / "out").members
    assert "damaged inside the zip" in bad.reason
    assert (tmp_path / "out" / good.file).read_bytes() == b"x" * 100
    assert len(list((tmp_path / "out").iterdir())) == 1


hostile_parts = st.sampled_from(["..", ".", "", "a", "b", "A", "etc", "C:", "\\", "~", "x\x00y", "con", "\u202e", "é"])
hostile_names = st.one_of(
    st.lists(hostile_parts, min_size=1, max_size=6).map("/".join),
    st.lists(hostile_parts, min_size=1, max_size=4).map("\\".join),
    st.text(max_size=20),
)


@given(st.lists(hostile_names, min_size=1, max_size=5))
def test_no_name_ever_writes_outside_the_destination(names: list[str]) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for number, name in enumerate(dict.fromkeys(names)):
            info = zipfile.ZipInfo(f"{number:06d}")
            info.filename = name  # past ZipInfo's own cleaning of names
            try:
                archive.writestr(info, b"content")
            except UnicodeEncodeError:  # half a surrogate pair cannot be written into a zip at all
                continue
    with tempfile.TemporaryDirectory() as place:
        outer = Path(place)
        (outer / "a.zip").write_bytes(buffer.getvalue())
        out = outer / "deep" / "out"
        out.mkdir(parents=True)
        try:
            unpacked = unpack_zip(outer / "a.zip", out)
        except ValueError:
            expected = set()
        else:
            expected = {member.file for member in unpacked.members}
            assert all(".." not in member.name.split("/") for member in unpacked.members)
        assert {str(path.relative_to(out)) for path in out.rglob("*")} == expected
        assert {path.name for path in outer.iterdir()} == {"a.zip", "deep"}
        assert {path.name for path in (outer / "deep").iterdir()} == {"out"}


@given(st.binary(max_size=300), st.integers(0, 400), st.binary(min_size=1, max_size=8))
def test_damaged_zips_raise_nothing_but_value_errors(content: bytes, place: int, patch: bytes) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/1.jpg", content)
        archive.writestr("b/2.jpg", content)
    data = bytearray(buffer.getvalue())
    place %= len(data)
    data[place : place + len(patch)] = patch
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out"
        out.mkdir()
        (Path(folder) / "a.zip").write_bytes(data)
        try:
            unpack_zip(Path(folder) / "a.zip", out, SMALL)
        except ValueError:
            assert list(out.iterdir()) == []
