"""Ratios measured side by side in one process; `python -m benchmarks.NAME --json` prints one JSON document."""
