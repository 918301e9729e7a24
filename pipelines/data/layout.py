"""Which class a file belongs to, read from its place: one sub-folder per class.

Also read: one folder wrapped around all of it (as zips often have), and ready-made `train`, `test` and
`validation` folders that hold the class folders. No file is opened here.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field

from pipelines.data.dataset import Problem

SPLIT_FOLDERS = {
    "train": "train", "training": "train",
    "val": "validation", "valid": "validation", "validation": "validation", "dev": "validation",
    "test": "test", "testing": "test",
}  # fmt: skip
JUNK_FOLDERS = {"__macosx", "@eadir", "$recycle.bin"}
JUNK_FILES = {"thumbs.db", "desktop.ini"}


@dataclass(frozen=True)
class Item:
    """One file of a class: `id` is its name below the classes' folder, `given` the split its folder asks for."""

    id: str
    label: int
    file: str
    given: str = ""


@dataclass
class Layout:
    classes: tuple[str, ...]
    items: list[Item]
    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def is_junk(parts: tuple[str, ...]) -> bool:
    """True for what desktops leave behind: hidden names, __MACOSX, Thumbs.db."""
    return (
        any(part.startswith(".") or part.casefold() in JUNK_FOLDERS for part in parts)
        or parts[-1].casefold() in JUNK_FILES
    )


def printable(name: str) -> bool:
    """False for names with control characters, line ends or half characters: they would break labels.txt."""
    return not any(unicodedata.category(letter) in ("Cc", "Cs", "Zl", "Zp") for letter in name)


def arrange(files: Iterable[tuple[str, str]], folders: Iterable[str]) -> Layout:
    """Sorts (name with slashes, file on disk) pairs into classes; `folders` lists folders even if empty.

    Raises ValueError when there is nothing, only one class, or an empty class.
    """
    paths = sorted((tuple(name.split("/")), file) for name, file in files)
    dirs = {tuple(name.split("/")) for name in folders}
    dirs |= {parts[:depth] for parts, _ in paths for depth in range(1, len(parts))}
    paths = [(parts, file) for parts, file in paths if not is_junk(parts)]
    dirs = {parts for parts in dirs if not is_junk(parts)}
    if not paths and not dirs:
        raise ValueError("it is empty; put one sub-folder per class in it, each with images")
    root = _root(paths, dirs)
    notes = [f"class folders found in {'/'.join(root)}/"] if root else []
    problems = [
        Problem("/".join(parts), "lies outside the class folders; its class is unknown")
        for parts, _ in paths
        if len(parts) < len(root) + 2
    ]
    paths = [(parts[len(root) :], file) for parts, file in paths if len(parts) >= len(root) + 2]
    tops = sorted({parts[len(root)] for parts in dirs if len(parts) > len(root)})
    given = {top: SPLIT_FOLDERS[top.casefold()] for top in tops if top.casefold() in SPLIT_FOLDERS}
    ready = len(given) == len(tops) >= 2 and "train" in given.values()
    if not ready:
        given = {}
    depth = 1 if ready else 0
    classes = sorted({parts[len(root) + depth] for parts in dirs if len(parts) > len(root) + depth})
    if ready:
        notes.append("ready-made splits kept: " + ", ".join(f"{top}/ is {split}" for top, split in given.items()))
    label = {name: number for number, name in enumerate(classes)}
    items = []
    for parts, file in paths:
        if len(parts) < depth + 2:
            problems.append(Problem("/".join(parts), "lies outside the class folders; its class is unknown"))
            continue
        items.append(Item("/".join(parts), label[parts[depth]], file, given.get(parts[0], "") if ready else ""))
    _check(classes, items)
    return Layout(tuple(classes), items, problems, notes)


def _root(paths: list[tuple[tuple[str, ...], str]], dirs: set[tuple[str, ...]]) -> tuple[str, ...]:
    """The folder that holds the class folders: goes down while one folder wraps everything else."""
    root: tuple[str, ...] = ()
    while True:
        depth = len(root)
        tops = {parts[depth] for parts in dirs if len(parts) > depth and parts[:depth] == root}
        if len(tops) != 1:
            return root
        inner = (*root, tops.pop())
        inside = [parts for parts, _ in paths if parts[: len(inner)] == inner]
        direct = sum(len(parts) == len(inner) + 1 for parts in inside)
        has_folders = any(len(parts) > len(inner) and parts[: len(inner)] == inner for parts in dirs)
        if not has_folders or direct > len(inside) - direct:
            return root
        root = inner


def _check(classes: list[str], items: list[Item]) -> None:
    if not classes:
        raise ValueError("it has no sub-folders; put the images of each class in a sub-folder of its own")
    for name in classes:
        if not printable(name):
            raise ValueError(f"class folder {name!r} has control characters in its name; rename it")
        if not name.strip():
            raise ValueError(f"class folder {name!r} has a blank name; rename it")
    spelled: dict[str, str] = {}
    for name in classes:
        other = spelled.setdefault(unicodedata.normalize("NFC", name).casefold(), name)
        if other != name:
            raise ValueError(f"class folders {other!r} and {name!r} differ in their spelling alone; rename one")
    if len(classes) == 1:
        raise ValueError(f"it has one class only ({classes[0]!r}); a classifier needs at least two sub-folders")
    filled = {item.label for item in items}
    empty = [name for number, name in enumerate(classes) if number not in filled]
    if empty:
        listed = ", ".join(repr(name) for name in empty)
        raise ValueError(f"no images in class {listed}; fill or remove the folder")
