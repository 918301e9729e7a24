"""How a file's model came to be, in words, and what may be said of its size."""

from __future__ import annotations

from pipelines.lineage import in_words, zeros_only

TRAINED = {"run": "r00001", "step": 0, "method": "supervised", "title": "Training"}
CUT = {**TRAINED, "step": 1, "method": "channel_norm", "title": "Cut", "macs_before": 200, "macs_after": 98}
ZEROS = {**TRAINED, "step": 2, "method": "magnitude", "title": "Zeros"}
INT8 = {**TRAINED, "step": 3, "method": "int8_aware", "title": "Int8"}


def test_steps_come_in_order_with_what_they_left() -> None:
    assert in_words([TRAINED, CUT, INT8]) == "Training, then Cut (49 % of the macs left), then Int8"
    assert in_words([]) == "as it was built"


def test_only_a_model_that_never_became_smaller_has_zeros_only() -> None:
    assert zeros_only([TRAINED, ZEROS])
    assert zeros_only([TRAINED, ZEROS, INT8])
    assert not zeros_only([TRAINED, ZEROS, CUT])
    assert not zeros_only([TRAINED, INT8])
    assert not zeros_only([TRAINED, ZEROS, {**ZEROS, "method": "svd"}])
