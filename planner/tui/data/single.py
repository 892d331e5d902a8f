"""One model by itself: as a plan of its own, so that it is launched as a pair is, and the file of it to fetch."""

from planner.core.fits.fitting import Fit
from planner.core.fits.model_fit import Fitted
from planner.core.models.model import Model, Role, Variant
from planner.core.pairs.recommendation import BudgetUse, Choice, MemoryPlan, Recommendation


def single_plan(model: Model, fit: Fit) -> Recommendation:
    """A model in a quant, as `planner launch` runs it."""
    from planner.core.estimates.estimator import settings_for
    from planner.core.memory.workload import Workload

    choice = Choice(
        model=model,
        variant=fit.variant,
        settings=settings_for(model, Workload(), fit.context),
        estimate=fit.estimate,
    )
    rows = fit.estimate.memory.devices
    total = fit.estimate.memory.total_bytes
    budget = sum(row.budget_bytes or 0 for row in rows)
    return Recommendation(
        rank=1,
        label=model.name,
        embedding=choice if model.role is Role.EMBEDDING else None,
        generation=choice if model.role is Role.GENERATION else None,
        reranker=choice if model.role is Role.RERANKER else None,
        memory=MemoryPlan(
            total,
            budget,
            budget - total,
            tuple(BudgetUse(row.device, row.total_bytes, row.budget_bytes) for row in rows),
        ),
        score=0.0,
        reasons=(),
        command=("planner", "launch", f"{model.id}:{fit.variant.quant}"),
    )


def to_fetch(model: Model, fitted: Fitted | None) -> Variant | None:
    """The quant to fetch: the best here, else the one that is usually meant; None where there is no file of it."""
    from planner.core.fits.model_list import usual_variant

    variant = fitted.fit.variant if fitted is not None else usual_variant(model)
    return variant if variant is not None and can_fetch(model, variant) else None


def can_fetch(model: Model, variant: Variant) -> bool:
    """Whether there is a file, of a model that can be run."""
    from planner.core.models.variants import is_fetchable

    return model.deployable and is_fetchable(model, variant)
