"""The way all methods of factorisation go: choose ranks, replace layers, put norms right, fine-tune.

Accuracies here are those on the validation images; test images are left to `measure`. What is replaced, and with which
ranks, is decided by counting; kernels are decomposed only when that is settled.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from pipelines.factorisation.ranks import Spectrum
from pipelines.factorisation.replace import (
    Candidate,
    Replacement,
    Scheme,
    candidates_of,
    carry_out,
    choose,
    plan_of,
    within_budget,
)
from pipelines.factorisation.settings import FactorisationSettings
from pipelines.method import Context, Outcome
from pipelines.removal.recalibrate import recalibrate
from zoo.costs import cost_of
from zoo.cut import laid_open
from zoo.deploy import without_learning
from zoo.read_model import sketch_of

POOR = 0.7  # relative error above which a layer is named in a warning: about half of its energy is gone


def factorise(model: Any, settings: FactorisationSettings, context: Context, scheme: Scheme) -> Outcome:
    """Gives a fine-tuned model in which layers are chains of smaller ones; `model` is left as it is.

    Raises: ValueError, before anything is trained, for a model whose layers are not known, for a budget that is out of
    reach, and when no layer's multiply-adds would drop.
    """
    from pipelines.training.loop import fit, scorer
    from pipelines.training.reports import fit_warnings

    plain = without_learning(laid_open(model))
    plan = plan_of(plain)
    before = cost_of(sketch_of(plain))
    candidates, left = candidates_of(plain, plan, scheme, skip=settings.skipped, skip_ends=settings.skip_ends)
    if not candidates:
        raise ValueError(f"no layer of this model can be factorised: {_reasons(left)}")
    context.looked_over()  # which ranks are worth while depends on the weights
    rule, level = _rule(scheme, candidates, settings, before.macs)
    chosen, costly = choose(scheme, candidates, rule, settings.multiple)
    left |= costly
    if not chosen:
        raise ValueError(
            f"no layer would become cheaper with ranks = {settings.ranks!r}: {_reasons(costly)}; ask for less energy "
            "or a smaller budget, or lower multiple"
        )
    rows = _carried_out(plan, scheme, chosen, context)
    small = plan.build()
    score = scorer(small)
    after, validation = cost_of(sketch_of(small)), context.data.splits["validation"]
    report: dict[str, Any] = {
        "validation_top1_before": scorer(model)(validation)[1],
        "params_before": before.params,
        "params_after": after.params,
        "macs_before": before.macs,
        "macs_after": after.macs,
        "left": after.macs / before.macs,
        "factored": rows,
        "left_alone": [{"layer": name, "reason": reason} for name, reason in left.items()],
    }
    if level is not None:
        report["energy_level"] = level
    report["validation_top1_after_factoring"] = score(validation)[1]
    report["recalibrated_batches"] = recalibrate(
        small, context.data, settings, batches=settings.recalibration, seed=context.seed
    )
    report["validation_top1_after_recalibration"] = score(validation)[1]
    fitted = fit(small, context.data, settings, context.watch, seed=context.seed, label="factorise")
    report["fit"] = fitted.as_dict()
    report["validation_top1_after"] = score(validation)[1]
    return Outcome(small, report, (*fit_warnings(fitted), *_warnings(rows, before.params, after.params)))


def _rule(
    scheme: Scheme, candidates: Sequence[Candidate], settings: FactorisationSettings, macs: int
) -> tuple[Callable[[Spectrum], float], float | None]:
    """How many singular values of a spectrum stay, and the level of energy where there is one for all."""
    if settings.ranks == "evbmf":
        return lambda spectrum: settings.evbmf_share * spectrum.evbmf(), None
    level = settings.energy
    if settings.ranks == "budget":
        level = within_budget(scheme, candidates, macs=macs, budget=settings.budget, multiple=settings.multiple)
    return lambda spectrum: spectrum.energy(level), level


def _carried_out(plan: Any, scheme: Scheme, chosen: Sequence[Replacement], context: Context) -> list[dict[str, Any]]:
    rows = []
    for place, one in enumerate(chosen, 1):
        context.watch.check()
        rows.append(carry_out(plan, scheme, one))
        context.watch.log(
            f"{rows[-1]['layer']} at rank {' and '.join(map(str, one.ranks))}: relative error "
            f"{rows[-1]['relative_error']:.3f} ({place} of {len(chosen)})"
        )
    return rows


def _warnings(rows: Sequence[dict[str, Any]], params_before: int, params_after: int) -> list[str]:
    links = sum(len(row["factors"]) for row in rows)
    found = [
        f"{len(rows)} layers became {links}: fewer multiply-adds in more operators need not take less time; measure "
        "the files"
    ]
    poor = [row["layer"] for row in rows if row["relative_error"] > POOR]
    if poor:
        shown = ", ".join(poor[:3]) + (", ..." if len(poor) > 3 else "")
        found.append(f"less than half of the energy is left in {len(poor)} of {len(rows)} layers: {shown}")
    if params_after > params_before:
        found.append(f"the network has more weights than before: {params_before:,} to {params_after:,}")
    return found


def _reasons(left: dict[str, str]) -> str:
    """Up to three layers with their reasons."""
    shown = [f"{name}: {reason}" for name, reason in list(left.items())[:3]]
    more = f"; and {len(left) - 3} more" if len(left) > 3 else ""
    return "; ".join(shown) + more if shown else "it has no convolution or dense layer"
