"""From the options of a command to a recommendation: shared by `recommend`, `up`, `launch` and the app."""

import contextlib
import functools
from collections.abc import Callable, Sequence
from typing import Any

import click

from planner.cli.numbers import FiniteRange
from planner.cli.session import Session
from planner.core.launch.launch_plan import LaunchPlan, launch_plan
from planner.core.machines.hardware import Hardware
from planner.core.memory.placement import machine_of
from planner.core.memory.readings import at_capacity, steady
from planner.core.memory.workload import Workload
from planner.core.models.model import Commercial, Model, Role
from planner.core.models.variants import default_variant, is_fetchable
from planner.core.pairs.candidates import Pin
from planner.core.pairs.pair import recommend
from planner.core.pairs.recommendation import Recommendation
from planner.errors import CatalogError, NoResultError, UsageError
from planner.units import parse_disk

_PLAIN = Workload()
KV_TYPES = ("f16", "bf16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0", "iq4_nl", "f32")


def workload_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """What the machine is wanted for; the command gets a `Workload` as `workload`."""

    @click.option(
        "--prefer", type=click.Choice(["quality", "speed", "balanced"]), default="balanced", show_default=True
    )
    @click.option("--context", type=click.IntRange(256, 2**24), metavar="TOKENS", help="Context of the generator.")
    @click.option("--min-speed", type=FiniteRange(min=0), metavar="TOK/S", help="Generated tokens per second.")
    @click.option("--licence", type=click.Choice(["any", "commercial"]), default="any", show_default=True)
    @click.option("--language", metavar="CODE", help="A language the models must know: en, de, German.")
    @click.option("--max-download", metavar="SIZE", help="All files of a plan together, in GB: 5, 800MB.")
    @click.option(
        "--docs",
        type=click.IntRange(1, 10**9),
        default=_PLAIN.docs,
        metavar="N",
        show_default=True,
        help="Documents to index: how much the embedder's speed matters.",
    )
    @click.option(
        "--doc-tokens",
        type=click.IntRange(1, 10**7),
        default=_PLAIN.doc_tokens,
        metavar="N",
        show_default=True,
        help="Tokens of a document; three pages are 1500.",
    )
    @click.option(
        "--chunk-tokens",
        type=click.IntRange(32, 8192),
        default=_PLAIN.chunk_tokens,
        metavar="N",
        show_default=True,
        help=f"Tokens of a chunk; an answer is given {_PLAIN.chunks} of them.",
    )
    @click.option("--reranker", is_flag=True, help="A reranker too, where one fits beside the pair.")
    @click.option("--kv-type", type=click.Choice(KV_TYPES), default="f16", show_default=True, help="KV cache type.")
    @click.option("--parallel", type=click.IntRange(1, 64), default=1, show_default=True, help="Concurrent answers.")
    @functools.wraps(function)
    def wrapper(*args: Any, language: str | None, max_download: str | None, **kwargs: Any) -> Any:
        from planner.core.models.languages import parse_language

        names = ("prefer", "context", "min_speed", "licence", "docs", "doc_tokens", "chunk_tokens", "reranker")
        workload = Workload(
            language=None if language is None else parse_language(language),
            max_download_bytes=None if max_download is None else parse_disk(max_download),
            **{name: kwargs.pop(name) for name in (*names, "kv_type", "parallel")},
        )
        return function(*args, workload=workload, **kwargs)

    return wrapper


def pins_for(session: Session, references: Sequence[str], *, starter: bool = False) -> tuple[Pin, ...]:
    """The models named on the command line, `MODEL` or `MODEL:QUANT`; or the starter pair.

    That comes in the quants the package index has: another may be faster here, but needs the Hub.
    Raises UsageError for unknown names, for two models of one role and for models that cannot be deployed.
    """
    if starter:
        pins = tuple(Pin(model, default_variant(model)) for model in session.catalog.models if model.starter)
        if {pin.model.role for pin in pins} != {Role.EMBEDDING, Role.GENERATION}:
            raise CatalogError(
                "The catalog has no starter pair, or its file could not be loaded.",
                hint="See the notes above; reinstalling planner restores the shipped catalog.",
                reference="no-starter",
            )
        return pins
    pins = tuple(Pin(*session.catalog.parse_model_ref(reference)) for reference in references)
    roles = [pin.model.role for pin in pins]
    for pin in pins:
        if roles.count(pin.model.role) > 1:
            raise UsageError(
                f"Two {pin.model.role} models were named; a plan has one of each role.",
                hint="Name an embedding model and a generation model.",
                reference="two-of-a-role",
            )
        if not pin.model.deployable:
            raise UsageError(
                f"{pin.model.id} cannot be run here: {pin.model.deploy_note.rstrip('.')}.",
                hint="planner models lists what can be run.",
                reference="not-deployable",
            )
        variants = (pin.variant,) if pin.variant else pin.model.variants
        if not any(is_fetchable(pin.model, variant) for variant in variants):
            raise UsageError(
                f"No file of {pin.model.id} is known that could be fetched, nor a repository of such files.",
                hint="Convert it yourself, then: planner catalog add FILE.gguf. Others: planner models.",
                reference="not-deployable",
            )
    return pins


def _check_pin(model: Model, workload: Workload) -> None:
    """Raises UsageError when a named model does not meet a wish that was given beside it."""
    licence = model.licence
    if workload.licence == "commercial" and licence.commercial is not Commercial.YES:
        raise UsageError(
            f"{model.id} has the licence {licence.spdx}, which is not known to allow commercial use as it is.",
            hint="Leave out --licence commercial, or name another model: planner models --licence commercial.",
            reference="contradiction",
        )
    wanted = workload.context
    if wanted is not None and model.role is Role.GENERATION and wanted > model.context_length:
        raise UsageError(
            f"{model.id} was trained on {model.context_length} tokens of context, and --context asks for {wanted}.",
            hint=f"Give --context {model.context_length} or less, or name another model.",
            reference="contradiction",
        )


def planned_hardware(session: Session, *, live: bool) -> Hardware:
    """The machine as plans see it: a described one as it is, this one with what is free now, or at its capacity."""
    if session.simulated:
        return session.hardware
    return steady(session.hardware) if live else at_capacity(session.hardware)


def plan(
    session: Session,
    workload: Workload,
    *,
    pins: Sequence[Pin] = (),
    live: bool = True,
    models: Sequence[Model] | None = None,
) -> tuple[Recommendation, ...]:
    """The recommendations for this session's machine: with the memory that is free now, or with all there is.

    `models` to choose from, where it is not the whole catalog. Raises NoResultError; its hint says so when the plan
    would fit if nothing else held memory.
    """
    for pin in pins:
        _check_pin(pin.model, workload)
    hardware = planned_hardware(session, live=live)
    live = live and not session.simulated
    models = session.catalog.models if models is None else models
    try:
        return recommend(models, hardware, workload, pins=pins, live=live, calibration=session.calibration)
    except NoResultError as error:
        if not live or error.reference != "nothing-fits":
            raise
        whole = at_capacity(session.hardware)
        with contextlib.suppress(NoResultError):
            recommend(models, whole, workload, pins=pins, live=False, calibration=session.calibration)
            raise NoResultError(
                f"{error.message} With all of its memory free this machine could run one.",
                hint="Close what holds memory (planner hardware shows it), or see the plans with --total.",
                reference=error.reference,
            ) from error
        raise


def make_launch_plan(session: Session, recommendation: Recommendation, *, name: str) -> LaunchPlan:
    """What to start for a recommendation on this session's machine."""
    machine = machine_of(planned_hardware(session, live=False), live=False)
    return launch_plan(recommendation, name=name, gpu_backend=machine.gpu_backend)
