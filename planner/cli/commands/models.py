"""`planner models`: what the catalog knows."""

import click

from planner.cli import output
from planner.cli.session import Session, common_options
from planner.core.model import Commercial, Model, Role
from planner.core.views import model_view
from planner.errors import NoResultError
from planner.units import format_count

_ROLE_ORDER = {role: index for index, role in enumerate(Role)}
_COMMERCIAL = {
    Commercial.YES: "",
    Commercial.NO: ", not commercial",
    Commercial.CONDITIONAL: ", conditions",
    Commercial.UNKNOWN: ", terms unknown",
}


@click.command()
@click.option("--role", type=click.Choice([role.value for role in Role]), help="Only models for this purpose.")
@click.option("--search", metavar="TEXT", help="Only models whose id, alias or family contains every word.")
@click.option(
    "--licence",
    type=click.Choice(["any", "commercial"]),
    default="any",
    help="commercial: only licences that allow commercial use without conditions.",
)
@common_options
def models(session: Session, role: str | None, search: str | None, licence: str) -> None:
    r"""List the models of the catalog, those that can be ranked but not run included.

    \b
    Examples:
      planner models --role embedding
      planner models --search "qwen3 8b"
      planner models --licence commercial --json
    """
    chosen = [
        model
        for model in session.catalog.models
        if (role is None or model.role.value == role)
        and (licence == "any" or model.licence.commercial is Commercial.YES)
        and _matches(model, search or "")
    ]
    if not chosen:
        raise NoResultError(
            "No model of the catalog matches.",
            hint="`planner models` without filters lists them all.",
            reference="no-models",
        )
    if session.as_json:
        output.write_json({"schema": 1, "models": [model_view(model) for model in chosen]})
        return
    chosen.sort(key=lambda model: (_ROLE_ORDER[model.role], model.id.casefold()))
    output.write_lines(
        output.table(
            ("MODEL", "ROLE", "PARAMETERS", "CONTEXT", "LICENCE", "QUANTS"),
            [_row(model) for model in chosen],
            right=frozenset({2, 3}),
        )
    )


def _matches(model: Model, search: str) -> bool:
    text = " ".join((model.id, *model.aliases, model.family)).casefold()
    return all(word in text for word in search.casefold().split())


def _row(model: Model) -> tuple[str, ...]:
    parameters = "?" if model.parameters is None else format_count(model.parameters)
    if model.active_parameters is not None:
        parameters += f" ({format_count(model.active_parameters)} active)"
    quants = " ".join(variant.quant for variant in model.variants)
    return (
        model.id,
        model.role.value,
        parameters,
        f"{model.context_length:,}",
        model.licence.spdx.removeprefix("LicenseRef-") + _COMMERCIAL[model.licence.commercial],
        quants if model.deployable else f"cannot be run: {model.deploy_note}",
    )
