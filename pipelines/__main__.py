"""`python -m pipelines COMMAND`: the app's twin on the command line.

Exit codes: 0 done, 2 the person can fix it, 1 our bug. With --json exactly one JSON document goes to stdout;
logs and progress go to stderr.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import logging
import os
import sys
import traceback
from collections.abc import Sequence
from dataclasses import asdict
from difflib import get_close_matches
from typing import Any, NoReturn

from pipelines.commands import COMMANDS
from pipelines.data import Unusable


class _Parser(argparse.ArgumentParser):
    """argparse that ends with our own message and exit code 2."""

    def error(self, message: str) -> NoReturn:
        raise ValueError(f"{message}\nusage: {self.format_usage().removeprefix('usage: ').strip()}")


def parser() -> argparse.ArgumentParser:
    """Builds the whole command line out of the catalogue of commands."""
    # No flag may be cut short: a script with --js would mean another flag once there is a second one of that start.
    top = _Parser(
        prog="python -m pipelines",
        description="Litesmith on the command line: choose, shrink, prove, ship.",
        allow_abbrev=False,
    )
    commands = top.add_subparsers(dest="command", metavar="COMMAND", parser_class=_Parser)
    for command in COMMANDS.values():
        sub = commands.add_parser(command.name, help=command.help, description=command.help, allow_abbrev=False)
        command.arguments(sub)
        sub.add_argument("--json", action="store_true", help="print exactly one JSON document on stdout")
        sub.add_argument("--verbose", action="store_true", help="log more to stderr")
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; gives the exit code."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    as_json = "--json" in arguments
    # Libraries print to stdout now and then; only our document may land there.
    with contextlib.redirect_stdout(sys.stderr):
        code, text = _run(arguments, as_json)
    if text:
        try:
            sys.stdout.write(text + "\n")
            sys.stdout.flush()
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return code


def _run(arguments: list[str], as_json: bool) -> tuple[int, str]:
    try:
        if not arguments or arguments[0] in ("-h", "--help"):
            return 0, parser().format_help()
        if arguments[0] not in COMMANDS:
            near = get_close_matches(arguments[0], COMMANDS, 3, 0.4)
            offer = f"did you mean {' or '.join(near)}?" if near else f"commands: {', '.join(COMMANDS)}"
            raise ValueError(f"{arguments[0]!r} is not a command; {offer}")
        asked_help = io.StringIO()
        try:
            with contextlib.redirect_stdout(asked_help):
                asked = parser().parse_args(arguments)
        except SystemExit:  # after --help of a command; mistakes are ValueErrors
            return 0, asked_help.getvalue().rstrip()
        if asked.command not in ("work", "supervise"):  # they write logs of their own
            level = logging.INFO if asked.verbose else logging.WARNING
            terminal = logging.StreamHandler(sys.stderr)
            terminal.setLevel(level)  # of its own: a run lowers that of our loggers for its log file
            logging.basicConfig(handlers=[terminal], level=level, format="%(levelname)s %(name)s: %(message)s")
        command = COMMANDS[asked.command]
        document = command.run(asked)
        code = int(document.pop("exit_code", 0))
        return code, json.dumps(document, indent=2, default=_plain) if as_json else command.show(document)
    except ValueError as error:
        return 2, _report(error, "person", as_json)
    except KeyboardInterrupt:
        print("stopped by the keyboard", file=sys.stderr)
        return 130, ""
    except Exception as error:
        traceback.print_exc()
        return 1, _report(error, "bug", as_json)


def _report(error: Exception, kind: str, as_json: bool) -> str:
    message = str(error) or type(error).__name__
    if as_json:
        problems = {"problems": [asdict(problem) for problem in error.problems]} if isinstance(error, Unusable) else {}
        return json.dumps({"error": message, "kind": kind, **problems}, indent=2)
    print(f"error: {message}", file=sys.stderr)
    return ""


def _plain(value: Any) -> Any:
    for attribute in ("as_dict", "tolist", "isoformat"):
        if hasattr(value, attribute):
            return getattr(value, attribute)()
    return str(value)


if __name__ == "__main__":
    sys.exit(main())
