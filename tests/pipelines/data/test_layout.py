from __future__ import annotations

import pytest

from pipelines.data.layout import arrange


def names(*files: str, folders: tuple[str, ...] = ()):
    return arrange([(file, file) for file in files], folders)


def test_each_sub_folder_is_a_class_in_the_order_of_names() -> None:
    layout = names("dog/1", "cat/2", "cat/deep/3")
    assert layout.classes == ("cat", "dog")
    assert [(item.id, item.label) for item in layout.items] == [("cat/2", 0), ("cat/deep/3", 0), ("dog/1", 1)]


def test_one_folder_around_the_classes_is_looked_through() -> None:
    layout = names("README.md", "pets/about.txt", "pets/dog/1", "pets/cat/2")
    assert layout.classes == ("cat", "dog")
    assert [item.id for item in layout.items] == ["cat/2", "dog/1"]
    assert {problem.item for problem in layout.problems} == {"README.md", "pets/about.txt"}
    assert layout.notes == ["class folders found in pets/"]


def test_ready_made_splits_are_kept() -> None:
    layout = names("d/train/cat/1", "d/train/dog/2", "d/val/cat/3", "d/test/dog/4")
    assert layout.classes == ("cat", "dog")
    assert [(item.id, item.given) for item in layout.items] == [
        ("test/dog/4", "test"),
        ("train/cat/1", "train"),
        ("train/dog/2", "train"),
        ("val/cat/3", "validation"),
    ]


def test_a_class_may_be_called_train() -> None:
    assert names("train/1", "bus/2", "test/3").classes == ("bus", "test", "train")


@pytest.mark.parametrize(
    ("files", "folders", "message"),
    [
        ((), (), "it is empty"),
        (("a.jpg", "b.jpg"), (), "no sub-folders"),
        (("cat/1", "cat/2"), (), "one class only"),
        (("cat/1", "dog/1"), ("eel",), "no images in class 'eel'"),
        (("cat/1", "dog/.hidden"), (), "no images in class 'dog'"),
        (("cat/1", "d\nog/1"), (), "control characters"),
        (("__MACOSX/x/1",), (), "it is empty"),
        ((" /1", "dog/1"), (), "a blank name"),
        (("Cat/1", "cat/1"), (), "'Cat' and 'cat' differ in their spelling alone"),
        (("caf\u00e9/1", "cafe\u0301/1"), (), "differ in their spelling alone"),
    ],
)
def test_layouts_that_cannot_be_used_say_why(files: tuple, folders: tuple, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        names(*files, folders=folders)
