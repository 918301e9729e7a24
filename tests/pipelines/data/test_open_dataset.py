"""open_dataset from end to end: real files in, splits, problems and manifest out."""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipelines.data import SOURCES, Limits, Unusable, describe, open_dataset, preview, source_of
from tests.pipelines.data.conftest import speckle

Folders = Callable[..., Path]


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def zipped(folder: Path, path: Path, wrapper: str = "") -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.rglob("*")):
            archive.write(file, f"{wrapper}{file.relative_to(folder)}")
    return path


def test_digits_are_complete_and_scaled_to_bytes(cache: Path) -> None:
    digits = open_dataset("digits", cache=cache)
    summary = describe(digits)
    assert summary["images"] == 1797
    assert digits.classes == tuple("0123456789")
    assert digits.splits["train"].images.shape[1:] == (8, 8, 1)
    assert digits.splits["train"].images.dtype == np.uint8
    assert digits.splits["train"].labels.dtype == np.int32
    every = np.concatenate([split.images for split in digits.splits.values()])
    assert (every.min(), every.max()) == (0, 255)
    assert len(np.unique(every)) == 17
    assert abs(summary["splits"]["test"]["images"] - 0.2 * 1797) <= 5
    json.dumps(summary)


def test_no_picture_is_in_two_splits(cache: Path) -> None:
    digits = open_dataset("digits", cache=cache)
    seen = [{image.tobytes() for image in split.images} for split in digits.splits.values()]
    assert not seen[0] & seen[1]
    assert not seen[0] & seen[2]
    assert not seen[1] & seen[2]


def test_resolution_and_channels_leave_the_manifest_alone(cache: Path) -> None:
    small = open_dataset("digits", cache=cache)
    large = open_dataset("digits", resolution=(16, 12), channels=3, cache=cache)
    assert large.splits["test"].images.shape == (359, 16, 12, 3)
    assert large.manifest_sha256 == small.manifest_sha256
    assert open_dataset("digits", split_seed=1, cache=cache).manifest_sha256 != small.manifest_sha256


def test_a_second_opening_reads_what_the_first_one_stored(class_folder: Folders, cache: Path) -> None:
    source = f"folder:{class_folder({'cat': 6, 'dog': 6})}"
    first = open_dataset(source, resolution=8, cache=cache)
    calls: list[tuple[int, int]] = []
    second = open_dataset(source, resolution=8, cache=cache, progress=lambda done, total: calls.append((done, total)))
    assert not calls  # nothing was decoded
    assert isinstance(second.splits["train"].images, np.memmap)
    for name, split in first.splits.items():
        np.testing.assert_array_equal(split.images, second.splits[name].images)
    assert second.manifest_sha256 == first.manifest_sha256


def test_a_changed_file_is_noticed(class_folder: Folders, cache: Path) -> None:
    folder = class_folder({"cat": 6, "dog": 6})
    before = open_dataset(f"folder:{folder}", resolution=8, cache=cache)
    path = folder / "cat" / "0000.png"
    status = path.stat()
    content = bytearray(path.read_bytes())
    speckle(99).save(path)
    path.write_bytes(path.read_bytes()[: len(content)].ljust(len(content), b"\0"))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))  # same size, same time of change
    after = open_dataset(f"folder:{folder}", resolution=8, cache=cache)
    assert after.manifest_sha256 != before.manifest_sha256


def test_folder_and_zip_of_the_same_files_are_split_alike(class_folder: Folders, cache: Path, tmp_path: Path) -> None:
    folder = class_folder({"cat": 9, "dog": 5})
    path = zipped(folder, tmp_path / "pets.zip", wrapper="pets/")
    plain = open_dataset(f"folder:{folder}", resolution=8, cache=cache)
    packed = open_dataset(f"zip:{path}", resolution=8, cache=cache)
    for name, split in plain.splits.items():
        assert split.ids == packed.splits[name].ids
        np.testing.assert_array_equal(split.images, packed.splits[name].images)
    assert packed.notes == ("class folders found in pets/",)
    leftovers = [path for path in (cache / "prepared").iterdir() if path.suffix != ".lock"]
    assert len(leftovers) == 2  # the two sets; nothing of the unpacked files


def test_manifest_names_each_file_with_its_hash(class_folder: Folders, cache: Path) -> None:
    folder = class_folder({"cat": 6, "dog": 6})
    dataset = open_dataset(f"folder:{folder}", resolution=8, cache=cache)
    text = json.dumps(dataset.manifest, sort_keys=True, separators=(",", ":"))
    assert hashlib.sha256(text.encode()).hexdigest() == dataset.manifest_sha256
    for name, digest in dataset.manifest["sha256"].items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest
    listed = [name for names in dataset.manifest["splits"].values() for name in names]
    assert sorted(listed) == sorted(dataset.manifest["sha256"])
    assert str(folder) not in text


def test_images_labels_and_ids_belong_together(class_folder: Folders, cache: Path) -> None:
    folder = class_folder({"cat": 8, "dog": 8})
    dataset = open_dataset(f"folder:{folder}", resolution=12, cache=cache)
    for split in dataset.splits.values():
        for image, label, name in zip(split.images, split.labels, split.ids, strict=True):
            np.testing.assert_array_equal(image, np.asarray(Image.open(folder / name)))
            assert name.startswith(dataset.classes[label])


def test_folder_is_grey_when_every_image_is(class_folder: Folders, cache: Path) -> None:
    grey = class_folder({"cat": 4, "dog": 4}, name="grey", grey=True)
    assert open_dataset(f"folder:{grey}", resolution=8, cache=cache).channels == 1
    Image.open(grey / "cat" / "0000.png").convert("RGB").save(grey / "cat" / "0000.png")
    assert open_dataset(f"folder:{grey}", resolution=8, cache=cache).channels == 1
    Image.new("RGB", (8, 8), "red").save(grey / "cat" / "0000.png")
    mixed = open_dataset(f"folder:{grey}", resolution=12, cache=cache)
    assert mixed.channels == 3
    index = next(n for n, name in enumerate(mixed.splits["train"].ids) if name != "cat/0000.png")
    expected = np.asarray(Image.open(grey / mixed.splits["train"].ids[index]))
    np.testing.assert_array_equal(mixed.splits["train"].images[index], np.stack([expected] * 3, -1))
    assert open_dataset(f"folder:{grey}", resolution=8, channels=1, cache=cache).channels == 1


def test_broken_files_are_set_aside_with_their_reason(class_folder: Folders, cache: Path) -> None:
    folder = class_folder({"cat": 6, "dog": 6})
    (folder / "cat" / "list.jpg").write_text("milk, bread, a text file named .jpg\n" * 3)
    (folder / "dog" / "cut.png").write_bytes((folder / "dog" / "0006.png").read_bytes()[:200])
    (folder / "dog" / "empty.png").write_bytes(b"")
    (folder / "stray.png").write_bytes((folder / "dog" / "0006.png").read_bytes())
    os.mkfifo(folder / "dog" / "pipe.png")
    (folder / "cat" / "lost.png").symlink_to("nowhere")
    Image.fromarray(np.linspace(0, 65535, 144).astype(np.uint16).reshape(12, 12)).save(folder / "cat" / "wide.png")
    Image.new("CMYK", (12, 12), (255, 0, 0, 0)).save(folder / "cat" / "print.jpg")
    dataset = open_dataset(f"folder:{folder}", resolution=8, cache=cache)
    reasons = {problem.item: problem.reason for problem in dataset.problems}
    assert set(reasons) == {
        "cat/list.jpg", "dog/cut.png", "dog/empty.png", "stray.png", "dog/pipe.png", "cat/lost.png"
    }  # fmt: skip
    assert "reads like text" in reasons["cat/list.jpg"]
    assert "cut short" in reasons["dog/cut.png"]
    assert "empty" in reasons["dog/empty.png"]
    assert describe(dataset)["counts"] == {"cat": 8, "dog": 6}
    assert set(reasons) <= set(dataset.manifest["set_aside"])


def test_a_class_lost_to_broken_files_names_them(class_folder: Folders, cache: Path) -> None:
    root = class_folder({"cat": 8, "dog": 8})
    (root / "owl").mkdir()
    for number in range(5):
        (root / "owl" / f"{number}.jpg").write_text("this is a note")
    said = r"class 'owl' has 0 usable .* set aside were owl/0\.jpg: .*text.* and 2 more"
    with pytest.raises(Unusable, match=said) as found:
        open_dataset(f"folder:{root}", resolution=8, cache=cache)
    assert len(found.value.problems) == 5


def test_class_folders_that_are_links_are_named(class_folder: Folders, cache: Path, tmp_path: Path) -> None:
    real = class_folder({"cat": 8, "dog": 8})
    linked = tmp_path / "linked"
    linked.mkdir()
    for name in ("cat", "dog"):
        (linked / name).symlink_to(real / name)
    with pytest.raises(Unusable, match=r"it is empty.*cat: a link to a folder is not followed"):
        open_dataset(f"folder:{linked}", cache=cache)


def test_a_folder_as_deep_as_one_likes_is_read_to_a_depth(class_folder: Folders, cache: Path) -> None:
    root = class_folder({"cat": 8, "dog": 8})
    deep = root / "cat" / "/".join("d" * 300)
    deep.mkdir(parents=True)
    data = open_dataset(f"folder:{root}", resolution=8, cache=cache)
    assert any("folders deep" in problem.reason for problem in data.problems)


@pytest.mark.parametrize("source", ["folder:" + "a" * 300, "zip:" + "b" * 300, "folder:~nobody-here/x"])
def test_a_name_that_no_file_system_takes_is_refused(source: str, cache: Path) -> None:
    with pytest.raises(ValueError, match="cannot be opened"):
        open_dataset(source, cache=cache)


def test_equal_pictures_with_two_labels_are_set_aside(class_folder: Folders, cache: Path) -> None:
    folder = class_folder({"cat": 6, "dog": 6})
    Image.open(folder / "cat" / "0000.png").save(folder / "dog" / "twin.bmp")
    dataset = open_dataset(f"folder:{folder}", resolution=8, cache=cache)
    assert [problem.item for problem in dataset.problems] == ["cat/0000.png", "dog/twin.bmp"]
    assert describe(dataset)["images"] == 11


def test_ready_made_splits_of_a_folder_are_kept(class_folder: Folders, cache: Path) -> None:
    class_folder({"cat": 5, "dog": 5}, name="set/train")
    number = 100
    for split in ("val", "test"):
        for label in ("cat", "dog"):
            (place := cache.parent / "set" / split / label).mkdir(parents=True)
            for _ in range(2):
                speckle(number := number + 1).save(place / f"{number}.png")
    dataset = open_dataset(f"folder:{cache.parent / 'set'}", resolution=8, cache=cache)
    assert {name: len(split) for name, split in dataset.splits.items()} == {"train": 10, "validation": 4, "test": 4}
    assert "ready-made splits kept" in dataset.notes[0]


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ({}, "it is empty"),
        ({"cat": 5}, r"one class only \('cat'\)"),
        ({"cat": 5, "dog": 0}, "no images in class 'dog'"),
        ({"cat": 5, "dog": 2}, "class 'dog' has 2 usable different images, at least 3"),
    ],
)
def test_folders_that_cannot_be_used_say_why(
    class_folder: Folders, cache: Path, counts: dict[str, int], message: str
) -> None:
    folder = class_folder(counts)
    folder.mkdir(exist_ok=True)
    with pytest.raises(ValueError, match=message):
        open_dataset(f"folder:{folder}", resolution=8, cache=cache)
    assert not (cache / "prepared").is_dir() or {path.suffix for path in (cache / "prepared").iterdir()} <= {".lock"}


def test_a_set_without_a_single_image_gives_examples(class_folder: Folders, cache: Path) -> None:
    folder = class_folder({"cat": 0, "dog": 0})
    for label in ("cat", "dog"):
        (folder / label / "a.jpg").write_text("not an image")
    with pytest.raises(ValueError, match=r"none of its 2 files is a usable image \(cat/a.jpg: not an image"):
        open_dataset(f"folder:{folder}", cache=cache)


def test_zip_bombs_and_slips_are_value_errors(cache: Path, tmp_path: Path) -> None:
    for name, entry, content, message in (
        ("bomb", "a/0.png", bytes(50_000_000), "zip bomb"),
        ("slip", "../0.png", b"x", "zip slip"),
    ):
        with zipfile.ZipFile(tmp_path / f"{name}.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(entry, content)
        with pytest.raises(ValueError, match=rf"zip:.*{name}.zip cannot be used: .*{message}"):
            open_dataset(f"zip:{tmp_path / name}.zip", cache=cache)
    assert {path.suffix for path in (cache / "prepared").iterdir()} == {".lock"}


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("digit", r"'digit' is not a data source; did you mean digits\?"),
        ("flder:/data", "did you mean folder:/data"),
        ("imagenet", "choose one of digits, fashion_mnist, folder:PATH, zip:PATH"),
        ("digits:x", "takes no path; write digits"),
        ("folder:", "lacks a path; write folder:PATH"),
        ("folder:/no/such/place", "does not exist"),
        ("zip:/no/such.zip", "does not exist"),
        ("/usr", "did you mean folder:/usr"),
        ("zip:/usr", "is a folder; use folder:/usr"),
    ],
)
def test_wrong_sources_say_what_would_work(cache: Path, source: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        open_dataset(source, cache=cache)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"resolution": 31.5}, "resolution 31.5 cannot be used"),
        ({"resolution": 0}, "resolution 0 cannot be used"),
        ({"resolution": (8, 8, 8)}, "cannot be used"),
        ({"resolution": True}, "cannot be used"),
        ({"channels": 2}, "channels 2 is not offered"),
        ({"split_seed": -1}, "split seed -1"),
        ({"validation": 0.0}, "validation share 0.0"),
        ({"test": 0.9}, "leave no room to train"),
        ({"limits": Limits(prepared_bytes=1000)}, "choose a smaller resolution"),
        ({"limits": Limits(max_images=1000)}, "1,797 images, at most 1,000"),
    ],
)
def test_wrong_settings_say_what_would_work(cache: Path, setting: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        open_dataset("digits", cache=cache, **setting)


def test_preview_shows_some_of_each_class(cache: Path) -> None:
    shown = preview(open_dataset("digits", cache=cache), per_class=2)
    assert {name: images.shape for name, images in shown.items()} == dict.fromkeys("0123456789", (2, 8, 8, 1))


def test_catalogue_is_complete_and_every_example_is_understood() -> None:
    import pipelines.data

    folder = Path(pipelines.data.__file__).parent
    declared = {file.stem for file in folder.glob("*.py") if "-> Collection:" in file.read_text()}
    assert declared == {"digits", "fashion_mnist", "folder", "zip_file"}
    assert {source.open.__module__.rsplit(".", 1)[1] for source in SOURCES.values()} == declared
    for name, source in SOURCES.items():
        assert source_of(source.example)[0].name == name
        assert source.title
        assert source.help
