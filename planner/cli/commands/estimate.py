"""`planner estimate`: memory by component and throughput of one model, or of many as JSON Lines."""

from collections.abc import Iterable
from typing import Any, BinaryIO

import click
import msgspec

from planner.cli.diagnostics import error_body
from planner.cli.estimate_page import estimate_page, table_page, table_view
from planner.cli.estimating import Estimator, Subject
from planner.cli.output import write_json, write_json_line, write_lines
from planner.cli.planning import KV_TYPES
from planner.cli.session import Session, common_options, hardware_options
from planner.core.estimates.context_table import context_table
from planner.core.estimates.estimator import weights_of
from planner.core.estimates.giving_way import Bent, Way, give_way
from planner.core.estimates.request import EstimateRequest, parse_request
from planner.core.fits.fitting import shown_variants
from planner.core.memory.memory import ProcessMemory
from planner.core.memory.placement import Machine
from planner.core.pages.explain import explain_memory
from planner.core.pages.views import estimate_view
from planner.errors import PlannerError, UsageError

_MAX_LINE_BYTES = 4 * 2**20
_FIXED_BY = {Way.CONTEXT: "context", Way.KV_TYPE: "kv_type", Way.LAYERS: "gpu_layers"}


@click.command(short_help="Memory by component and speed of a model.")
@hardware_options
@click.argument("model", required=False, metavar="MODEL[:QUANT]|FILE.gguf")
@click.option(
    "--context", type=click.IntRange(1, 2**28), metavar="TOKENS", help="Total context; default: 8192 at most."
)
@click.option(
    "--depth", type=click.IntRange(0, 2**28), default=0, show_default=True, help="Tokens already in the cache."
)
@click.option(
    "--parallel", type=click.IntRange(1, 256), default=1, show_default=True, help="Slots sharing the context."
)
@click.option("--kv-unified", is_flag=True, help="One pool of cells for all slots.")
@click.option("--batch", type=click.IntRange(1, 2**20), default=2048, show_default=True)
@click.option("--ubatch", type=click.IntRange(1, 2**20), default=512, show_default=True)
@click.option("--kv-type", type=click.Choice(KV_TYPES), help="Type of the KV cache; default: f16.")
@click.option("--kv-offload/--no-kv-offload", default=True, show_default=True, help="Keep the KV cache on the host.")
@click.option("--flash-attention/--no-flash-attention", default=True, show_default=True)
@click.option("--gpu-layers", type=click.IntRange(0, 10_000), help="Layers on the GPU; default: as many as fit.")
@click.option(
    "--cpu-moe", type=click.IntRange(0, 10_000), metavar="LAYERS", help="Layers whose experts stay on the host."
)
@click.option(
    "--give-way",
    metavar="WAYS",
    default="layers",
    show_default=True,
    help="What gives way where it does not fit, first things first: context, kv-type, quant, layers.",
)
@click.option("--explain", is_flag=True, help="Print the arithmetic of the memory.")
@click.option("--table", "as_table", is_flag=True, help="Memory over contexts and quants, and the longest context.")
@click.option("--jsonl", type=click.File("rb"), help="Requests, one JSON object a line; - is stdin (docs/json.md).")
@common_options
def estimate(session: Session, *, model: str | None, jsonl: BinaryIO | None, **options: Any) -> int | None:
    r"""Estimate how much memory a model takes, where its layers go and how fast it runs.

    \b
    Examples:
      planner estimate Qwen3-8B:Q4_K_M --gpu "RTX 3060 12 GB" --context 16384
      planner estimate Qwen3-8B --vram 8 --explain
      planner estimate Qwen3-8B --vram 8 --table
      planner estimate Qwen3-8B:Q8_0 --vram 8 --give-way kv-type,context,layers
      planner estimate ./model.gguf --vram 8
      planner estimate --jsonl requests.jsonl
    """
    if jsonl is not None:
        if model is not None:
            raise UsageError("A model and --jsonl cannot be combined.", hint="Put the model into the requests.")
        _answer_lines(session, jsonl)
        return None
    if model is None:
        raise UsageError("Which model?", hint="planner estimate MODEL[:QUANT], or --jsonl FILE for many.")
    request = _request(model, options)
    if options["as_table"]:
        _print_table(session, request)
    else:
        _print_answer(session, request, _ways(options, named=model), explain=options["explain"])
    return None


def _request(model: str, options: dict[str, Any]) -> EstimateRequest:
    is_file = model.lower().endswith((".gguf", ".llamafile"))
    return EstimateRequest(
        model=None if is_file else model,
        gguf=model if is_file else None,
        context=options["context"],
        depth=options["depth"],
        parallel=options["parallel"],
        batch=options["batch"],
        ubatch=options["ubatch"],
        kv_type=options["kv_type"] or "f16",
        kv_unified=options["kv_unified"],
        kv_offload=options["kv_offload"],
        flash_attention=options["flash_attention"],
        n_gpu_layers=options["gpu_layers"],
        n_cpu_moe=options["cpu_moe"],
    )


def _ways(options: dict[str, Any], *, named: str) -> tuple[Way, ...]:
    """What may give way, in order. Raises UsageError for an unknown word, or for what another option fixes."""
    ways = []
    for word in options["give_way"].split(","):
        try:
            way = Way(word.strip())
        except ValueError as error:
            raise UsageError(f"“{word}” cannot give way.", hint=f"Known: {', '.join(Way)}.") from error
        fixed = options.get(_FIXED_BY.get(way, "")) is not None
        if (fixed and way is not Way.LAYERS) or (way is Way.QUANT and (":" in named or named.endswith(".gguf"))):
            raise UsageError(
                f"The {way.value} is fixed by the command, so it cannot give way.",
                hint="Leave it out of --give-way, or do not fix it.",
            )
        ways.append(way)
    return tuple(ways)


def _print_answer(session: Session, request: EstimateRequest, ways: tuple[Way, ...], *, explain: bool) -> None:
    estimator = Estimator(session)
    subject = estimator.subject(request)
    hardware, machine = estimator.machine(request)
    bent = _bent(subject, request, machine, ways)
    if bent.steps:
        subject = Subject(subject.model, bent.variant, bent.table)
    answer = estimator.estimate(subject, bent.settings, hardware, machine)
    explanation: tuple[str, ...] = ()
    if explain:
        assert subject.model.architecture is not None, "an estimate needs one"
        process = ProcessMemory(subject.model.architecture, bent.table, bent.settings)
        explanation = explain_memory(process, answer.placement, answer.memory)
    if session.as_json:
        found = {"schema": 1, "model": subject.model.id, "variant": subject.variant.quant}
        more = {"explanation": list(explanation)} if explain else {}
        write_json({**found, "estimate": estimate_view(answer), "gave_way": list(bent.steps), **more})
        return
    write_lines(estimate_page(subject, bent.settings, hardware, answer, steps=bent.steps))
    if explain:
        write_lines(("", *explanation))


def _bent(subject: Subject, request: EstimateRequest, machine: Machine, ways: tuple[Way, ...]) -> Bent:
    model, settings = subject.model, request.settings(subject.model)
    table = subject.table or weights_of(model, subject.variant)
    if ways[0] is Way.LAYERS:
        return Bent(subject.variant, settings, table, ())
    return give_way(
        model, subject.variant, settings, machine, order=ways, variants=shown_variants(model), table=table
    )


def _print_table(session: Session, request: EstimateRequest) -> None:
    estimator = Estimator(session)
    subject = estimator.subject(request)
    hardware, machine = estimator.machine(request)
    model = subject.model
    named = request.gguf is not None or ":" in (request.model or "")
    variants = (subject.variant,) if named else shown_variants(model)
    contexts, rows = context_table(model, variants, request.settings(model), machine)
    if session.as_json:
        write_json({"schema": 1, "model": model.id, "table": table_view(contexts, rows)})
    else:
        write_lines(table_page(subject, hardware, contexts, rows))


def _answer_lines(session: Session, lines: Iterable[bytes]) -> None:
    """One answer per request, in order; a bad request is answered with its error and loses nothing."""
    estimator = Estimator(session, host_only=True)
    for line in lines:
        if not line.strip():
            continue
        identity: object = None
        try:
            if len(line) > _MAX_LINE_BYTES:
                raise UsageError(f"A request of {len(line)} bytes is too long.", reference="bad-request")
            identity = _identity(line)
            answer = estimator.answer(parse_request(line))
        except PlannerError as error:
            write_json_line({"id": identity, **error_body(error)})
        else:
            write_json_line({"id": identity, "estimate": estimate_view(answer)})


def _identity(line: bytes) -> object:
    """The id of a request, even of one that is wrong otherwise."""
    try:
        raw = msgspec.json.decode(line)
    except (msgspec.DecodeError, RecursionError, ValueError):
        return None
    return raw.get("id") if isinstance(raw, dict) else None
