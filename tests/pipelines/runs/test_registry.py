"""Runs: making, finding, changing, deleting."""

from __future__ import annotations

import os
import time

import pytest
from sqlalchemy import event, insert, text

from pipelines.jobs.queue import Queue
from pipelines.runs import recipe_sha256, states
from pipelines.runs.tables import RunRow

from .conftest import RECIPE


def test_ids_are_short_count_up_and_are_never_given_twice(registry, make):
    first, second = make(), make()
    assert (first, second) == ("r00001", "r00002")
    registry.delete(second)
    registry.empty_trash()
    assert make() == "r00003"


def test_a_run_keeps_what_it_was_made_of(registry, make):
    parent = make(name="teacher")
    run = registry.get(make(name="student", seed=5, group="sweep", parent=parent, queue=True))
    assert (run.name, run.seed, run.group, run.parent) == ("student", 5, "sweep", parent)
    assert (run.recipe, run.recipe_sha256) == (RECIPE, recipe_sha256(RECIPE))
    assert (run.data_source, run.model_name, run.state) == ("digits", "mobilenet_v2", "queued")


def test_the_recipe_hash_does_not_depend_on_the_order_of_keys():
    assert recipe_sha256({"a": 1, "b": 2}) == recipe_sha256({"b": 2, "a": 1})


def test_an_unknown_run_is_named_in_the_error(registry):
    with pytest.raises(ValueError, match=r"'r00099' is not in .*lists"):
        registry.get("r00099")
    with pytest.raises(ValueError, match="r00099"):
        registry.rename("r00099", "x")


def test_list_gives_pages_newest_first_and_filters(registry, make):
    ids = [make(name=f"width 0.{i}5 sweep", group="g" if i % 2 else None) for i in range(6)]
    assert [run.id for run in registry.list(limit=2, offset=1)] == [ids[4], ids[3]]
    assert [run.id for run in registry.list(group="g")] == [ids[5], ids[3], ids[1]]
    assert [run.id for run in registry.list(search="WIDTH 0.45")] == [ids[4]]
    assert [run.id for run in registry.list(search="digits mobilenet")] == ids[::-1]
    assert registry.list(search="100%") == []
    assert registry.count(group="g") == 3
    assert registry.groups() == {"g": 3}
    with pytest.raises(ValueError, match="state 'asleep' does not exist; choose one of created"):
        registry.list(state="asleep")
    with pytest.raises(ValueError, match="limit 0 cannot be used"):
        registry.list(limit=0)
    with pytest.raises(ValueError, match="offset -1 cannot be used"):
        registry.list(offset=-1)


def test_a_page_of_ten_thousand_runs_is_read_through_an_index(home, registry):
    rows = [
        {
            "id": f"r{n:05d}", "number": n, "name": f"run {n}", "recipe": RECIPE, "recipe_sha256": "0", "seed": 0,
            "group_name": f"g{n % 100}", "created": float(n), "state": "done", "slot": "cpu", "position": n,
            "attempt": 1, "deaths": 0, "foreground": False,
        }
        for n in range(1, 10_001)
    ]  # fmt: skip
    home.database.write(lambda session: session.execute(insert(RunRow), rows))
    asked = []

    @event.listens_for(home.database.engine, "before_cursor_execute")
    def note(connection, cursor, statement, parameters, context, executemany):
        asked.append((statement, parameters))

    assert len(registry.list(limit=50)) == 50
    assert len(registry.list(limit=50, group="g7")) == 50
    assert len(registry.list(limit=50, state="done")) == 50
    assert registry.list(trashed=True) == []
    assert Queue(home).claim() is None
    for statement, parameters in [pair for pair in asked if "runs" in pair[0]]:
        with home.database.engine.connect() as connection:
            plan = [row[3] for row in connection.exec_driver_sql("EXPLAIN QUERY PLAN " + statement, parameters)]
        # A walk along the index by number stops after one page; a bare scan or a sort would read every run.
        sorts = any("TEMP B-TREE" in line for line in plan)
        assert not sorts or "deleted IS NOT NULL" in statement, (statement, plan)  # the trash is small
        assert all("INDEX" in line for line in plan if line.startswith(("SCAN", "SEARCH"))), (statement, plan)


def test_rename_wants_a_name(registry, make):
    run_id = make()
    registry.rename(run_id, "  better ")
    assert registry.get(run_id).name == "better"
    with pytest.raises(ValueError, match="cannot be empty"):
        registry.rename(run_id, "  ")


def test_a_clone_has_the_same_recipe_and_waits(registry, make):
    original = registry.get(make(name="original", seed=3))
    clone = registry.get(registry.clone(original.id))
    assert (clone.recipe, clone.seed, clone.recipe_sha256) == (RECIPE, 3, original.recipe_sha256)
    assert (clone.name, clone.state) == ("original (copy)", "created")


def teaching(run_id):
    return {**RECIPE, "steps": [{"distil": {"teacher": f"run:{run_id}"}}]}


def test_a_recipe_must_name_runs_that_are_here(registry, make):
    with pytest.raises(ValueError, match="run r00077 is not in this home"):
        make(teaching("r00077"))
    with pytest.raises(ValueError, match="run r00078 is not in this home"):
        make(parent="r00078")


def test_children_and_students_depend_on_a_run(registry, make):
    teacher = make(name="teacher")
    student, child = make(teaching(teacher), name="student"), make(name="child", parent=teacher)
    found = [(other.id, other.because) for other in registry.dependents(teacher)]
    assert found == [(student, "recipe"), (child, "parent")]
    assert registry.dependents(child) == []


def test_delete_refuses_what_others_need_and_on_request_takes_all(registry, make):
    teacher = make(name="teacher")
    student = make(teaching(teacher))
    grandchild = make(parent=student)
    with pytest.raises(ValueError, match=f"{teacher} is needed by {student}"):
        registry.delete(teacher)
    assert set(registry.delete(teacher, with_dependents=True).ids) == {teacher, student, grandchild}
    assert registry.count() == 0
    assert registry.count(trashed=True) == 3
    assert set(registry.empty_trash().ids) == {teacher, student, grandchild}
    with pytest.raises(ValueError, match="not in"):
        registry.get(teacher)


def test_a_deleted_run_comes_back_with_what_it_needs(registry, make):
    teacher = make(name="teacher")
    student = make(teaching(teacher))
    registry.delete(teacher, with_dependents=True)
    assert set(registry.restore(student)) == {teacher, student}
    assert registry.count() == 2
    with pytest.raises(ValueError, match="not in the trash"):
        registry.restore(student)


def test_a_running_run_is_not_deleted(registry, start):
    handle = start()
    with pytest.raises(ValueError, match="is running; cancel it first"):
        registry.delete(handle.id)


def test_a_queued_run_in_the_trash_does_not_start(home, registry, make):
    run_id = make(queue=True)
    registry.delete(run_id)
    assert Queue(home).claim() is None
    registry.restore(run_id)
    assert registry.get(run_id).state == states.CANCELLED


def test_emptying_the_trash_frees_the_files_nobody_else_holds(home, registry, start, tmp_path):
    ours, shared = tmp_path / "ours", tmp_path / "shared"
    ours.write_bytes(b"1" * 1000)
    shared.write_bytes(b"2" * 500)
    first = start()
    own_sha, shared_sha = first.keep_file(ours), first.keep_file(shared)
    (first.folder / "checkpoint").write_bytes(b"3" * 77)
    Queue(home).fail(first.id, first.attempt, "x", states.BUG)
    second = start()
    second.keep_file(shared)
    Queue(home).finish(second.id, second.attempt)

    assert registry.bytes_of(first.id) == 1077, "each file once, without what another run holds too, and its scratch"
    assert registry.delete(first.id).bytes == 1077
    assert home.store.holds(own_sha)
    assert registry.disk_use().trash == 1000
    assert registry.empty_trash(older_than_s=3600).ids == ()
    assert registry.empty_trash().bytes == 1077
    assert not home.store.holds(own_sha)
    assert home.store.holds(shared_sha)
    assert not home.scratch(first.id).exists()
    assert registry.disk_use().artifacts == 500


def test_files_that_no_run_ever_named_are_swept_when_they_are_old(home, registry):
    fresh, old = home.store.put_bytes(b"fresh"), home.store.put_bytes(b"old")
    past = time.time() - 7200
    os.utime(home.store.path_of(old), (past, past))
    assert registry.empty_trash().bytes == 3
    assert list(home.store) == [fresh]


def test_disk_use_is_told_by_kind(home, registry, make):
    (home.cache / "set.npy").write_bytes(b"x" * 100)
    home.scratch(make()).mkdir()
    (home.scratch("r00001") / "checkpoint").write_bytes(b"x" * 200)
    (home.logs / "supervisor.log").write_bytes(b"x" * 300)
    home.store.put_bytes(b"x" * 400)
    use = registry.disk_use()
    assert (use.data_cache, use.checkpoints, use.logs, use.artifacts) == (100, 200, 300, 400)
    assert use.database > 0
    assert use.free > 0
    assert use.total == 1000 + use.database
    assert use.as_dict()["total"] == use.total


def test_the_end_of_a_log_can_be_read(home, registry, make):
    run_id = make()
    assert registry.log(run_id) == ""
    registry.log_path(run_id).write_text("\n".join(f"line {n}" for n in range(100)))
    assert registry.log(run_id, lines=2) == "line 98\nline 99"


def test_the_database_refuses_two_running_runs_in_a_slot(home, start, make):
    start()
    other = make()
    with pytest.raises(Exception, match="UNIQUE"):
        home.database.write(
            lambda session: session.execute(text("UPDATE runs SET state = 'running' WHERE id = :id"), {"id": other})
        )
