"""A measurement waits for others and others wait for it, also between processes."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

from pipelines.jobs import MachineBusy, alone_on_machine, sharing_machine
from pipelines.jobs.command import PROJECT
from pipelines.runs import Cancelled


@pytest.fixture
def other_process(home):
    """Runs a second process that enters a block and stays until told to leave."""
    started = []

    def enter(block):
        code = f"""
            import sys
            from pipelines.jobs.alone import alone_on_machine, sharing_machine
            from pipelines.runs import Home
            with {block}(Home.open()):
                print("in", flush=True)
                sys.stdin.readline()
            """
        process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(code)],
            cwd=PROJECT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        started.append(process)
        assert process.stdout.readline() == "in\n"
        return process

    yield enter
    for process in started:
        process.kill()
        process.communicate()


def test_a_measurement_waits_for_a_computing_process(home, other_process):
    worker = other_process("sharing_machine")
    with (
        pytest.raises(MachineBusy, match="wait for its run to end or cancel it"),
        alone_on_machine(home, timeout_s=0.3),
    ):
        pytest.fail("measured beside a computing process")
    worker.communicate("leave\n")
    with alone_on_machine(home, timeout_s=5):
        pass


def test_computing_waits_for_a_measurement_and_can_be_cancelled_meanwhile(home, other_process):
    other_process("alone_on_machine")

    def check():
        raise Cancelled("enough")

    with pytest.raises(Cancelled), sharing_machine(home, check):
        pytest.fail("computed beside a measurement")


def test_a_dead_process_holds_nothing(home, other_process):
    other_process("alone_on_machine").kill()
    with alone_on_machine(home, timeout_s=5):
        pass


def test_a_worker_turns_its_share_into_the_whole_and_back(home, other_process):
    with sharing_machine(home):
        with alone_on_machine(home, timeout_s=5):
            pass
        other_process("sharing_machine")  # enters, so we hold no more than a share again
        with pytest.raises(MachineBusy), alone_on_machine(home, timeout_s=0.3):
            pytest.fail("measured beside a computing process")
