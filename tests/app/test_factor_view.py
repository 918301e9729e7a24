"""What Runs shows of a step that factorised layers."""

from __future__ import annotations

from streamlit.testing.v1 import AppTest

from app.colours import LIGHT
from app.factor_view import accuracies, factored, work_by_layer

REPORT = {
    "macs_before": 2_000_000, "macs_after": 900_000, "params_before": 5000, "params_after": 2500,
    "validation_top1_before": 0.99, "validation_top1_after_factoring": 0.1,
    "validation_top1_after_recalibration": 0.5, "validation_top1_after": 0.98,
    "factored": [
        {
            "layer": "stage1_1_conv", "factors": ["stage1_1_conv_1", "stage1_1_conv_2", "stage1_1_conv_3"],
            "ranks": [8, 16], "full_ranks": [16, 32], "relative_error": 0.25, "macs_before": 1_600_000,
            "macs_after": 500_000,
        },
    ],
    "left_alone": [{"layer": "stem_conv", "reason": "it is the first of all"}],
}  # fmt: skip


def test_stages_come_in_order() -> None:
    assert [row["top-1 on validation"] for row in accuracies(REPORT)] == ["99.0 %", "10.0 %", "50.0 %", "98.0 %"]


def test_a_layer_shows_its_ranks_error_and_work() -> None:
    (row,) = factored(REPORT["factored"])
    assert row["rank"] == "8 of 16 and 16 of 32"
    assert (row["layers now"], row["relative error"], row["multiply-adds"]) == ("3", "0.250", "1.6 M to 500 k")


def test_bars_are_the_work_before_and_after() -> None:
    before, after = work_by_layer(REPORT["factored"], LIGHT).data
    assert (list(before.y), list(after.y)) == ([1_600_000], [500_000])


def test_a_factorisation_is_shown_by_its_own_view_only() -> None:
    def page() -> None:
        from app.factor_view import factor_view
        from app.removal_view import removal_view
        from tests.app.test_factor_view import REPORT
        from tests.app.test_removal_view import REPORT as REMOVAL

        factor_view(REMOVAL, "one")
        removal_view(REPORT, "two")
        factor_view(REPORT, "three")

    test = AppTest.from_function(page, default_timeout=60).run()
    assert not test.exception
    assert [item.value for item in test.metric] == ["900 k", "2.5 k"]
    assert len(test.dataframe) == 3
