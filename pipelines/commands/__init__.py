"""The catalogue of commands, in the order the help shows them."""

from __future__ import annotations

from pipelines.commands.calibrate import COMMAND as CALIBRATE
from pipelines.commands.calibrate_machine import COMMAND as CALIBRATE_MACHINE
from pipelines.commands.change import CANCEL, CLONE, DELETE, RENAME, RESTORE, RESUME
from pipelines.commands.command import Command
from pipelines.commands.compare import COMMAND as COMPARE
from pipelines.commands.cost import COMMAND as COST
from pipelines.commands.data import COMMAND as DATA
from pipelines.commands.demo import COMMAND as DEMO
from pipelines.commands.device_times import COMMAND as DEVICE_TIMES
from pipelines.commands.estimate import COMMAND as ESTIMATE
from pipelines.commands.evaluate import COMMAND as EVALUATE
from pipelines.commands.export import COMMAND as EXPORT
from pipelines.commands.fit import COMMAND as FIT
from pipelines.commands.import_model import COMMAND as IMPORT
from pipelines.commands.inspect import COMMAND as INSPECT
from pipelines.commands.lint import COMMAND as LINT
from pipelines.commands.localise import COMMAND as LOCALISE
from pipelines.commands.measure import COMMAND as MEASURE
from pipelines.commands.methods import COMMAND as METHODS
from pipelines.commands.precision import COMMAND as PRECISION
from pipelines.commands.proof import REPORT, VERIFY
from pipelines.commands.remedies import COMMAND as REMEDIES
from pipelines.commands.replay import COMMAND as REPLAY
from pipelines.commands.robustness import COMMAND as ROBUSTNESS
from pipelines.commands.run import COMMAND as RUN
from pipelines.commands.runs import COMMAND as RUNS
from pipelines.commands.sensitivity import COMMAND as SENSITIVITY
from pipelines.commands.show import COMMAND as SHOW
from pipelines.commands.skew import COMMAND as SKEW
from pipelines.commands.submit import COMMAND as SUBMIT
from pipelines.commands.work import SUPERVISE, WORK
from pipelines.commands.zoo_list import COMMAND as ZOO

COMMANDS: dict[str, Command] = {
    command.name: command
    for command in (
        ZOO, COST, FIT, LINT, METHODS, DATA, IMPORT, ESTIMATE, RUN, SUBMIT, RUNS, SHOW, CANCEL, RESUME, REPLAY, CLONE,
        RENAME, DELETE, RESTORE, EXPORT, INSPECT, EVALUATE, MEASURE, COMPARE, REPORT, VERIFY, DEVICE_TIMES,
        CALIBRATE_MACHINE, CALIBRATE, LOCALISE, REMEDIES, PRECISION, SKEW, SENSITIVITY, ROBUSTNESS, DEMO, WORK,
        SUPERVISE,
    )
}  # fmt: skip
