"""Real worker and supervisor processes for the fault tests, with steps that count instead of training.

    python driver.py supervise '{"grace_s": 1}'     a supervisor whose workers run this file
    python driver.py work RUN --attempt N           one attempt

A recipe here is `{"count": {"to": 40, "pause": 0.02, ...}}`.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from pipelines.jobs import supervisor, worker


def count(handle):
    """Counts to a number, one point and one checkpoint per count, as a training loop does per epoch."""
    plan = handle.recipe["count"]
    if plan.get("deaf"):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        (handle.folder / "deaf").touch()
        while True:
            time.sleep(0.1)
    if plan.get("child"):
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"])
        (handle.folder / "child").write_text(str(child.pid))
    if plan.get("die"):
        os.kill(os.getpid(), signal.SIGKILL)
    checkpoint = handle.folder / "checkpoint.json"
    done = json.loads(checkpoint.read_text()) if checkpoint.exists() else 0
    handle.step_started(0, "count", plan)
    handle.log(f"counting from {done}")
    with (handle.home.folder / f"{handle.id}.counted").open("a") as trail:
        for x in range(done, plan["to"]):
            handle.check()
            trail.write(f"{handle.attempt} {os.getpid()} {x}\n")
            trail.flush()
            handle.metrics(0, [("count", x, x * x)])
            handle.progress(0, x, plan["to"], "counting")
            beside = checkpoint.with_suffix(".new")
            beside.write_text(json.dumps(x + 1))
            beside.replace(checkpoint)
            time.sleep(plan.get("pause", 0.02))
    handle.step_finished(0, {"sum": sum(x * x for x in range(plan["to"]))})


def worker_command(run_id, attempt):
    return [sys.executable, __file__, "work", run_id, "--attempt", str(attempt)]


if __name__ == "__main__":
    verb, *rest = sys.argv[1:]
    if verb == "supervise":
        manners = supervisor.Manners(**json.loads(rest[0])) if rest else None
        sys.exit(supervisor.main(worker_command=worker_command, manners=manners))
    sys.exit(worker.main(rest, execute=count))
