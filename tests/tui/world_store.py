"""A store that never changes: two models, a file of none, one download that was begun."""

from planner.core.models.model import Artifact, Commercial, Licence, Model, Role, Variant
from planner.core.values import RepoId, RepoPath
from planner.tui.data.store import Stored, StoreView
from planner.units import GB


def fetchable_model(name: str, *sizes: tuple[str, float], commercial: Commercial = Commercial.YES) -> Model:
    """A generator of the Hub in some quants, sizes in GB."""
    return Model(
        id=f"acme/{name}",
        family="acme",
        role=Role.GENERATION,
        parameters=8_000_000_000,
        context_length=8192,
        licence=Licence("Apache-2.0" if commercial is Commercial.YES else "CC-BY-NC-4.0", commercial),
        variants=tuple(
            Variant(
                quant=quant,
                artifacts=(
                    Artifact(source="hub", file=RepoPath(f"{name}-{quant}.gguf"), repo=RepoId(f"acme/{name}-GGUF")),
                ),
                file_bytes=round(size * GB),
            )
            for quant, size in sizes
        ),
    )


MODELS = (
    fetchable_model("writer-8b", ("Q4_K_M", 5.0), ("Q8_0", 8.5)),
    fetchable_model("writer-1b", ("Q4_K_M", 0.8)),
    fetchable_model("closed-8b", ("Q4_K_M", 4.7), commercial=Commercial.NO),
)
STORE = StoreView(
    folder="/home/me/.local/share/planner/models",
    stored=(
        Stored("acme/finder-large-v1:F16", "finder-large-v1", "F16", 600_000_000, "2026-11-20", True, model="acme/f"),
        Stored(
            "acme/writer-1b:Q4_K_M", "writer-1b", "Q4_K_M", 800_000_000, "2026-11-24", True, model="acme/writer-1b"
        ),
        Stored("/models/x/old.gguf", "old.gguf", "", 2_100_000_000, "2026-08-02", False),
    ),
    begun={"acme/writer-8b:Q4_K_M": 2_000_000_000},
    unfinished_bytes=2_000_000_000,
    free_bytes=45_300_000_000,
)
