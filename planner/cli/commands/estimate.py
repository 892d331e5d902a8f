"""`planner estimate`: memory by component and throughput of one model, or of many as JSON Lines."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast

import click
import msgspec

from planner.cli.commands.recommend import machine_lines, memory_cells
from planner.cli.diagnostics import error_body
from planner.cli.output import table, write_json, write_json_line, write_lines
from planner.cli.planning import KV_TYPES
from planner.cli.session import Session, common_options, hardware_options
from planner.core.estimate import Estimate
from planner.core.estimator import estimate as estimate_process
from planner.core.hardware import Backend, Hardware
from planner.core.model import Model, Variant
from planner.core.overrides import Overrides, hardware_from_json, virtual_hardware
from planner.core.placement import machine_of
from planner.core.reasons import rate_text
from planner.core.request import EstimateRequest, parse_request
from planner.core.views import estimate_view
from planner.core.weights import WeightTable
from planner.errors import PlannerError, UsageError
from planner.units import format_gib

_MAX_LINE_BYTES = 4 * 2**20


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
@click.option("--batch", type=click.IntRange(1, 2**20), default=2048, show_default=True)
@click.option("--ubatch", type=click.IntRange(1, 2**20), default=512, show_default=True)
@click.option("--kv-type", type=click.Choice(KV_TYPES), default="f16", show_default=True)
@click.option("--flash-attention/--no-flash-attention", default=True, show_default=True)
@click.option("--gpu-layers", type=click.IntRange(0, 10_000), help="Layers on the GPU; default: as many as fit.")
@click.option("--jsonl", type=click.File("rb"), help="Requests, one JSON object a line; - is stdin (docs/json.md).")
@common_options
def estimate(session: Session, *, model: str | None, jsonl: BinaryIO | None, **options: Any) -> int | None:
    r"""Estimate how much memory a model takes, where its layers go and how fast it runs.

    \b
    Examples:
      planner estimate Qwen3-8B:Q4_K_M --gpu "RTX 3060 12 GB" --context 16384
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
    is_file = model.lower().endswith((".gguf", ".llamafile"))
    request = EstimateRequest(
        model=None if is_file else model,
        gguf=model if is_file else None,
        context=options["context"],
        depth=options["depth"],
        parallel=options["parallel"],
        batch=options["batch"],
        ubatch=options["ubatch"],
        kv_type=options["kv_type"],
        flash_attention=options["flash_attention"],
        n_gpu_layers=options["gpu_layers"],
    )
    found, chosen, hardware, answer = _answer(session, request)
    if session.as_json:
        write_json({"schema": 1, "model": found.id, "variant": chosen.quant, "estimate": estimate_view(answer)})
    else:
        write_lines(_page(found, chosen, request, hardware, answer))
    return None


def _answer_lines(session: Session, lines: Iterable[bytes]) -> None:
    """One answer per request, in order; a bad request is answered with its error and loses nothing."""
    for line in lines:
        if not line.strip():
            continue
        identity: object = None
        try:
            if len(line) > _MAX_LINE_BYTES:
                raise UsageError(f"A request of {len(line)} bytes is too long.", reference="bad-request")
            identity = _identity(line)
            answer = _answer(session, parse_request(line), host_only=True)[3]
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


def _answer(
    session: Session, request: EstimateRequest, *, host_only: bool = False
) -> tuple[Model, Variant, Hardware, Estimate]:
    """`host_only`: without a device named anywhere the question is about the host's CPU, whatever cards it has."""
    model, variant, weights = _subject(session, request)
    hardware = _machine(session, request, host_only=host_only)
    answer = estimate_process(
        model,
        variant,
        request.settings(model),
        hardware,
        machine_of(hardware, live=False),
        table=weights,
        all_gpus=request.n_gpus > 1,
        calibration=session.catalog.speed,
    )
    return model, variant, hardware, answer


def _subject(session: Session, request: EstimateRequest) -> tuple[Model, Variant, WeightTable | None]:
    if request.gguf is not None:
        from planner.gguf.facts import facts
        from planner.gguf.files import read_path
        from planner.gguf.model import model_from_facts, weight_table

        path = Path(request.gguf)
        header = read_path(path).header
        if header is None:
            raise UsageError(f"{request.gguf} is an engine without a model.", reference="no-model")
        found = facts(header)
        model, variant = model_from_facts(found, name=path.name)
        return model, variant, weight_table(found)
    if request.spec is not None:
        return request.spec, request.variant(request.spec, None), None
    assert request.model is not None, "parse_request and the command see to it"
    model, named = session.catalog.parse_model_ref(request.model)
    return model, request.variant(model, named), None


def _machine(session: Session, request: EstimateRequest, *, host_only: bool) -> Hardware:
    """The machine a request is about: its own gpu or device, else the command's, else this host's CPU."""
    if request.device is not None:
        raw = {"schema": 1, "host": _host_of(session, request), "devices": [request.device], "notes": []}
        hardware = hardware_from_json(msgspec.json.encode(raw))
    elif request.gpu is not None:
        overrides = Overrides(gpu=request.gpu, ram_bytes=request.ram_bytes or session.overrides.ram_bytes)
        hardware = virtual_hardware(overrides, session.catalog.devices)
    else:
        hardware = session.hardware
        if host_only and not session.simulated:
            hardware = msgspec.structs.replace(hardware, devices=())
        if request.ram_bytes:
            hardware = virtual_hardware(
                Overrides(ram_bytes=request.ram_bytes), session.catalog.devices, base=hardware
            )
    return _multiplied(hardware, request)


def _host_of(session: Session, request: EstimateRequest) -> dict[str, object]:
    base = virtual_hardware(Overrides(ram_bytes=request.ram_bytes or session.overrides.ram_bytes or 16 * 2**30), ())
    return cast("dict[str, object]", msgspec.to_builtins(base.host))


def _multiplied(hardware: Hardware, request: EstimateRequest) -> Hardware:
    devices = hardware.devices
    if request.backend is Backend.CPU:
        devices = ()
    elif request.backend is not None:
        for device in devices:
            if request.backend not in (device.backend, Backend.VULKAN):
                raise UsageError(
                    f"{device.name} is not driven by {request.backend.value}.",
                    hint=f"Its backends: {device.backend.value}, vulkan; or cpu to leave it alone.",
                    reference="wrong-backend",
                )
        devices = tuple(msgspec.structs.replace(device, backend=request.backend) for device in devices)
    if request.n_gpus > 1 and devices:
        first = devices[0]
        devices = tuple(
            msgspec.structs.replace(first, id=f"{first.backend.value}:{i}") for i in range(request.n_gpus)
        )
    return msgspec.structs.replace(hardware, devices=devices)


def _page(
    model: Model, variant: Variant, request: EstimateRequest, hardware: Hardware, answer: Estimate
) -> Iterator[str]:
    yield from machine_lines(hardware)
    settings = request.settings(model)
    yield ""
    slots = f", {settings.parallel} slots" if settings.parallel > 1 else ""
    yield f"{model.id} {variant.quant}, context {settings.context}{slots}, cache {settings.kv_type_k}"
    rows = [
        (row.device, *memory_cells(row), "?" if row.budget_bytes is None else format_gib(row.budget_bytes))
        for row in answer.memory.devices
    ]
    headings = ("device", "weights", "KV", "compute", "overhead", "total", "has")
    yield from table(headings, rows, right=frozenset(range(1, 7)))
    yield f"{answer.placement.verdict.value}: {answer.placement.reason}"
    for name, rate in (
        ("prompt processing", answer.throughput.pp),
        ("generation", answer.throughput.tg),
        ("embedding", answer.throughput.embed),
    ):
        if rate is not None:
            yield f"{name}: {rate_text(rate)} ({rate.basis})"
    for warning in answer.warnings:
        yield f"! {warning}"
