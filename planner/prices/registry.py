"""The providers that are asked, and whose offers they bring."""

from planner.prices.csv_catalog import CLOUDS, CsvCatalog
from planner.prices.lium import Lium
from planner.prices.provider import Provider
from planner.prices.runpod_graphql import RunPodGraphQL
from planner.prices.runpod_rest import RunPodRest
from planner.prices.vast import Vast


def providers() -> tuple[Provider, ...]:
    """All of them, at their public addresses."""
    return (Vast(), RunPodGraphQL(), RunPodRest(), Lium(), CsvCatalog())


BRINGS: dict[str, tuple[str, ...]] = {
    "vast": ("vast",),
    "runpod": ("runpod",),
    "runpod-rest": ("runpod",),
    "lium": ("lium",),
    "gpuhunt": tuple("lambda" if cloud == "lambdalabs" else cloud for cloud in CLOUDS),
}
"""By source, the providers whose offers come from it."""
