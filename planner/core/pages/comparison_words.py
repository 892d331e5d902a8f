"""What a comparison comes to, in sentences."""

from collections.abc import Iterator

from planner.core.pages.difference import difference_sentence
from planner.core.pages.side_by_side import SideBySide
from planner.core.scores.significance import Comparison


def sentences(found: SideBySide) -> Iterator[str]:
    """The differences of the first model to each other one, and whether they mean something."""
    first = found.sides[0]
    yield " ".join(
        difference_sentence(item, first, other)
        for item, other in zip(found.differences, found.sides[1:], strict=True)
    )
    if found.comparison is not None:
        yield significance_words(found, found.comparison)


def significance_words(found: SideBySide, comparison: Comparison) -> str:
    """Which of the differences in rank are more than chance, in words."""
    names = [found.sides[index].model.name for index in found.tested]
    ranks = ", ".join(f"{name} {rank:.2f}" for name, rank in zip(names, comparison.mean_ranks, strict=True))
    needed = f"{comparison.critical_difference:.2f} apart"
    basis = (
        f"on the {comparison.tasks} tasks of pool {found.pool}, ranked among these {len(names)} alone "
        f"({ranks}; Friedman and Nemenyi at {100 * comparison.alpha:.0f} %: {needed})"
    )
    alike = [
        f"{names[i]} and {names[j]}"
        for i in range(len(names))
        for j in range(i + 1, len(names))
        if abs(comparison.mean_ranks[i] - comparison.mean_ranks[j]) < comparison.critical_difference
    ]
    if not comparison.differ:
        return f"No difference in rank is significant {basis}."
    if not alike:
        word = "The difference in rank is" if len(names) == 2 else "All differences in rank are"
        return f"{word} significant {basis}."
    return f"The ranks differ significantly, but not those of {'; '.join(alike)}, {basis}."
