"""Properties of the split: nothing leaks, every class everywhere, shares kept, order and names without effect."""

from __future__ import annotations

import random
from collections import Counter, defaultdict

import hypothesis.strategies as st
import pytest
from hypothesis import given

from pipelines.data.split import assign, check_shares

SPLITS = ("train", "validation", "test")


@st.composite
def labelled_sets(draw: st.DrawFn) -> tuple[list[str], list[int], list[str], list[str]]:
    """Ids, labels, pixel hashes and classes; some pictures occur several times, inside one class."""
    classes = draw(st.integers(2, 4))
    ids, labels, hashes = [], [], []
    for label in range(classes):
        for number in range(draw(st.integers(3, 40))):
            for _ in range(draw(st.sampled_from([1, 1, 1, 1, 2, 3]))):
                ids.append(f"{label}/{len(ids)}")
                labels.append(label)
                hashes.append(f"{label}-{number}")
    return ids, labels, hashes, [str(label) for label in range(classes)]


def split_by_id(ids: list[str], split: list[str]) -> dict[str, str]:
    return dict(zip(ids, split, strict=True))


@given(labelled_sets(), st.integers(0, 5))
def test_equal_pictures_are_never_in_two_splits(items: tuple, seed: int) -> None:
    ids, labels, hashes, classes = items
    result = assign(ids, labels, hashes, classes, seed=seed, validation=0.15, test=0.2)
    homes = defaultdict(set)
    for digest, split in zip(hashes, result.split, strict=True):
        homes[digest].add(split)
    assert all(len(home) == 1 for home in homes.values())


@given(labelled_sets(), st.integers(0, 5))
def test_every_item_is_used_and_every_class_is_in_every_split(items: tuple, seed: int) -> None:
    ids, labels, hashes, classes = items
    result = assign(ids, labels, hashes, classes, seed=seed, validation=0.15, test=0.2)
    assert set(result.split) == set(SPLITS)
    assert {(label, split) for label, split in zip(labels, result.split, strict=True)} == {
        (label, split) for label in range(len(classes)) for split in SPLITS
    }
    assert not result.problems


@given(st.lists(st.integers(3, 60), min_size=2, max_size=4), st.sampled_from([(0.15, 0.2), (0.05, 0.05), (0.3, 0.6)]))
def test_shares_hold_within_one_image_per_class(counts: list[int], shares: tuple[float, float]) -> None:
    labels = [label for label, count in enumerate(counts) for _ in range(count)]
    ids = [str(number) for number in range(len(labels))]
    validation, test = shares
    result = assign(ids, labels, ids, [str(c) for c in range(len(counts))], seed=1, validation=validation, test=test)
    got = Counter(zip(labels, result.split, strict=True))
    for label, count in enumerate(counts):
        assert got[label, "test"] >= 1
        assert got[label, "validation"] >= 1
        if count >= 10:
            assert abs(got[label, "test"] - test * count) <= 1
            assert abs(got[label, "validation"] - validation * count) <= 1


@given(labelled_sets(), st.integers(0, 5), st.randoms(use_true_random=False))
def test_order_of_the_items_has_no_effect(items: tuple, seed: int, shuffler: random.Random) -> None:
    ids, labels, hashes, classes = items
    before = split_by_id(ids, assign(ids, labels, hashes, classes, seed=seed, validation=0.2, test=0.2).split)
    order = list(range(len(ids)))
    shuffler.shuffle(order)
    ids, labels, hashes = ([column[i] for i in order] for column in (ids, labels, hashes))
    after = split_by_id(ids, assign(ids, labels, hashes, classes, seed=seed, validation=0.2, test=0.2).split)
    assert before == after


def test_names_have_no_effect_and_the_seed_has() -> None:
    hashes = [f"picture {number}" for number in range(60)]
    labels = [number % 2 for number in range(60)]

    def split(prefix: str, seed: int) -> list[str]:
        ids = [f"{prefix}{number}" for number in range(60)]
        return assign(ids, labels, hashes, ["a", "b"], seed=seed, validation=0.2, test=0.2).split

    assert split("a", 0) == split("z", 0)
    assert split("a", 0) != split("a", 1)


def test_repeated_pictures_go_to_train_while_others_can_fill_the_rest() -> None:
    hashes = [f"single {number}" for number in range(20)] + ["twin"] * 4
    result = assign(
        [str(n) for n in range(48)], [0] * 24 + [1] * 24, hashes + [f"other {digest}" for digest in hashes],
        ["a", "b"], seed=0, validation=0.2, test=0.2,
    )  # fmt: skip
    assert result.split[20:24] == ["train"] * 4
    assert result.notes == ["6 images repeat another one exactly; each stays in the split of its twin"]


def test_equal_pictures_with_different_labels_are_set_aside() -> None:
    ids = [f"cat/{n}" for n in range(5)] + [f"dog/{n}" for n in range(5)]
    hashes = [f"c{n}" for n in range(4)] + ["same"] + [f"d{n}" for n in range(4)] + ["same"]
    result = assign(ids, [0] * 5 + [1] * 5, hashes, ["cat", "dog"], seed=0, validation=0.2, test=0.2)
    assert [problem.item for problem in result.problems] == ["cat/4", "dog/4"]
    assert "labelled 'dog'" in result.problems[0].reason
    assert result.split[4] == result.split[9] == ""


def test_given_test_split_is_kept_whole_and_its_twins_leave_the_others() -> None:
    ids = [str(n) for n in range(44)]
    labels = [n % 2 for n in range(44)]
    hashes = [f"h{n}" for n in range(40)] + ["h0", "h1", "h1", "new"]
    given_split = [""] * 40 + ["test"] * 4
    result = assign(ids, labels, hashes, ["a", "b"], seed=0, validation=0.1, test=0.5, given=given_split)
    assert result.split[40:] == ["test"] * 4
    assert result.split[0] == result.split[1] == ""
    assert Counter(result.split[2:40]) == {"train": 34, "validation": 4}
    assert result.notes == ["2 train images dropped: their pixels equal an image of the test split"]


@pytest.mark.parametrize("count", [1, 2])
def test_a_class_with_too_few_different_images_is_named(count: int) -> None:
    ids = [str(n) for n in range(10 + count + 1)]
    hashes = [str(n) for n in range(10 + count)] + ["10"]  # a repeat does not count
    with pytest.raises(ValueError, match=rf"class 'rare' has {count} usable different image.*at least 3"):
        assign(ids, [0] * 10 + [1] * (count + 1), hashes, ["often", "rare"], seed=0, validation=0.15, test=0.2)


@pytest.mark.parametrize("shares", [(0, 0.2), (0.2, 0), (1.5, 0.2), (float("nan"), 0.2), (-0.1, 0.2), (0.5, 0.5)])
def test_shares_that_leave_a_split_empty_are_refused(shares: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match=r"share|room to train"):
        check_shares(*shares)
