"""`planner launch`: one model, one command."""

import re
from pathlib import Path

import click
import msgspec

from planner.cli.deploy_options import deploy_options
from planner.cli.planning import workload_options
from planner.cli.session import Session, common_options, hardware_options
from planner.core.memory.workload import Workload
from planner.serve.state import Door


@click.command(short_help="Run one model: fetch, start, check, and say how to call it.")
@click.argument("model", metavar="MODEL[:QUANT]")
@deploy_options
@hardware_options
@workload_options
@common_options
def launch(
    session: Session,
    *,
    model: str,
    workload: Workload,
    detach: bool,
    port: int | None,
    name: str | None,
    engine: str | None,
    engine_path: Path | None,
    accept_licence: bool,
    door: Door,
) -> int:
    r"""Run a single model behind the gateway: fetch it if needed, start it, check it, say how to call it.

    The deployment is named after the model unless --name says otherwise.

    \b
    Examples:
      planner launch SmolLM2-135M-Instruct
      planner launch bge-m3 --detach --port 0
    """
    from planner.cli.deploying import Wish, bring_up

    chosen, _ = session.catalog.parse_model_ref(model)
    return bring_up(
        session,
        Wish(
            name=name or re.sub(r"[^A-Za-z0-9._-]+", "-", chosen.name).strip("-.")[:63].lower(),
            references=(model,),
            workload=msgspec.structs.replace(workload, role=chosen.role),
            port=port,
            engine=engine or session.config.engine,
            engine_path=engine_path or (None if engine else session.config.engine_path),
            detach=detach,
            accept_licence=accept_licence,
            door=door,
        ),
    )
