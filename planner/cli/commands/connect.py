"""`planner connect`: settings for a client, ready to paste."""

from typing import TYPE_CHECKING

import click
import msgspec

from planner.cli.output import table, write_json, write_lines
from planner.cli.running import running_deployment
from planner.cli.session import Session, common_options
from planner.core.models.model import Role
from planner.errors import UsageError

if TYPE_CHECKING:
    from planner.serve.connect import Target
    from planner.serve.state import DeploymentRecord, Home


@click.command(short_help="Settings for curl, OpenAI, LangChain, LlamaIndex, Open WebUI, Continue.")
@click.argument("client", required=False)
@click.option("--name", metavar="NAME", help="The deployment, if several run.")
@click.option("--show-key", is_flag=True, help="Put the key itself in, instead of the file it is read from.")
@click.option("--public", is_flag=True, help="For other machines: the address opened with --host.")
@common_options
def connect(session: Session, *, client: str | None, name: str | None, show_key: bool, public: bool) -> None:
    r"""Print how a client reaches what runs here, with its address, its models and their prompts.

    Without CLIENT the known ones are listed. What each can and cannot do: docs/clients.md.

    \b
    Examples:
      planner connect
      planner connect openai > ask.py
      planner connect open-webui --show-key
    """
    from planner.serve.connect import CLIENTS, connect_lines

    if client is None:
        if session.as_json:
            write_json({"schema": 1, "clients": [{"name": key, "what": what} for key, (what, _) in CLIENTS.items()]})
        else:
            write_lines(table(("client", "what it is"), [(key, what) for key, (what, _) in CLIENTS.items()]))
        return
    chosen = client.lower()
    if chosen not in CLIENTS:
        raise UsageError(
            f"“{client[:80]}” is not a client known here.",
            hint=f"Known: {', '.join(CLIENTS)}. Others: planner connect shell, as most read these variables.",
            reference="unknown-client",
        )
    record, home = _running(session, name)
    if public:
        record = _seen_from_outside(record)
    target = _target(record, home, show_key=show_key)
    lines = connect_lines(chosen, target)
    if session.as_json:
        write_json(
            {
                "schema": 1,
                "client": chosen,
                "deployment": record.name,
                "base_url": f"{target.base_url}/v1",
                "api_key_file": record.api_key_file,
                "models": {
                    "embedding": target.embedder,
                    "generation": target.generator,
                    "reranker": target.reranker,
                },
                "text": "\n".join(lines) + "\n",
            }
        )
        return
    write_lines(lines)


def _running(session: Session, name: str | None) -> "tuple[DeploymentRecord, Home]":
    from planner.serve.state import Home

    record = running_deployment(
        session,
        name,
        to="connect to",
        naming="--name {}",
        no_gateway=(
            ": its engines have an address each, and no prompts are added.",
            "planner status shows the addresses; start it without --no-gateway for these settings.",
        ),
    )
    return record, Home(session.config.deployments_dir, record.name)


def _seen_from_outside(record: "DeploymentRecord") -> "DeploymentRecord":
    if record.public_url is None:
        raise UsageError(
            f"“{record.name}” is open to this machine alone.",
            hint="Start it with --host ADDRESS to open it to others.",
            reference="not-public",
        )
    return msgspec.structs.replace(record, gateway_url=record.public_url)


def _target(record: "DeploymentRecord", home: "Home", *, show_key: bool) -> "Target":
    from planner.serve.connect import Target, filled

    models = {process.plan.role: process.plan.model for process in home.read_plan().processes}
    contexts = {process.role: process.context for process in record.processes}
    embedder, generator, reranker = (models.get(role) for role in (Role.EMBEDDING, Role.GENERATION, Role.RERANKER))
    return Target(
        record=record,
        embedder=embedder.id if embedder is not None else None,
        embedder_context=contexts.get(Role.EMBEDDING.value),
        query_prompt=filled(embedder.prompts.query) if embedder is not None else "",
        document_prompt=filled(embedder.prompts.document) if embedder is not None else "",
        generator=generator.id if generator is not None else None,
        generator_context=contexts.get(Role.GENERATION.value),
        reranker=reranker.id if reranker is not None else None,
        key=home.read_key(home.gateway_key) if show_key else None,
    )
