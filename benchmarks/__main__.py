"""`make bench`: speed as ratios, both sides measured in turn on this machine. Nothing here passes or fails."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from benchmarks import file_evaluation, latency_claims, pipeline, removal_latency, studio, training, zoo_cost
from exports import machine
from pipelines.commands.command import table

BENCHMARKS = {
    "training": training.run,
    "file_evaluation": file_evaluation.run,
    "pipeline": pipeline.run,
    "zoo_cost": zoo_cost.run,
    "studio": studio.run,
    "latency_claims": latency_claims.run,
    "removal_latency": removal_latency.run,
}


def main() -> int:
    """Runs the chosen benchmarks, prints their tables and writes build/bench.json."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", choices=[*BENCHMARKS, []], help="only these")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    asked = parser.parse_args()
    found = {}
    for name in asked.names or BENCHMARKS:
        print(f"measuring {name} ...", file=sys.stderr)
        found[name] = BENCHMARKS[name]()
        # Written after each one: a later benchmark that fails takes nothing with it.
        document = {"machine": machine(), "benchmarks": found}
        Path("build").mkdir(exist_ok=True)
        Path("build/bench.json").write_text(json.dumps(document, indent=2))
    if asked.json:
        print(json.dumps(document, indent=2))
        return 0
    for result in found.values():
        print(f"\n{result['what']}")
        print(table(result["rows"], {key: key.replace("_", " ") for key in result["rows"][0]}))
    print(f"\n{document['machine']}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
