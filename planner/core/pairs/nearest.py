"""What to say when nothing fits: the plan that comes nearest, and what it lacks."""

import itertools
import math
from collections.abc import Iterable, Mapping

import msgspec

from planner.core.estimates.estimator import estimate
from planner.core.machines.hardware import Hardware
from planner.core.memory.placement import Machine
from planner.core.memory.workload import Workload
from planner.core.models.model import Model, Role
from planner.core.pairs.candidates import Candidate, Option, matches
from planner.core.pairs.picks import Finder
from planner.core.pairs.plans import Plan, main_of, speed_of
from planner.core.pairs.reasons import rate_text
from planner.errors import NoResultError
from planner.units import format_gb, format_gib

_CLOSE = 1.02
"""Bounds that are no further apart than this are closed in on one plan after the other."""
Options = Mapping[Role, Iterable[Option]]


def nothing_matches(role: Role, models: Iterable[Model], workload: Workload) -> NoResultError:
    """The error for wishes that no model of a role meets, whatever the machine."""
    having = [model for model in models if model.role is role and matches(model, workload)]
    wanted = workload.context
    if having and wanted is not None and role is Role.GENERATION:
        longest = max(having, key=lambda model: (model.context_length, model.id))
        if wanted > longest.context_length:
            return NoResultError(
                f"No generation model matches a context of {wanted} tokens: the longest of any is "
                f"{longest.context_length} ({longest.name}).",
                hint=f"Give --context {longest.context_length} or less.",
                reference="nothing-matches",
            )
    wishes = [
        *(["a licence for commercial use"] if workload.licence == "commercial" else []),
        *([f"the language {workload.language}"] if workload.language else []),
        *([f"a context of {wanted} tokens"] if wanted and role is Role.GENERATION else []),
    ]
    return NoResultError(
        f"No {role} model in the catalog matches {' and '.join(wishes) or 'these wishes'}.",
        hint=f"Loosen --licence, --language or --context; `planner models --role {role}` lists what there is.",
        reference="nothing-matches",
    )


def nothing_fits(
    options: Options, finder: Finder, machine: Machine, hardware: Hardware, workload: Workload
) -> NoResultError:
    """The error for a search that found nothing: too slow, too large to fetch, or too large to run."""
    limit = workload.max_download_bytes
    if limit is not None and (least := _least_download(options)) > limit:
        return NoResultError(
            f"Nothing is so small: the smallest files for these wishes take {format_gb(least)} together, "
            f"and --max-download allows {format_gb(limit)}.",
            hint=f"Allow {_enough(least)} or more.",
            reference="nothing-fits",
        )
    if workload.min_speed and (found := _fastest(finder, workload, machine)) is not None:
        rate = main_of(found).rate
        speed = "at a speed that is not known" if rate is None else f"at {rate_text(rate)}"
        within = "" if limit is None else f" with {format_gb(limit)} of files"
        return NoResultError(
            f"Nothing is expected to write {workload.min_speed:g} tok/s here{within}: the fastest plan "
            f"({_name(found)}) answers {speed}.",
            hint=f"A lower --min-speed{'' if limit is None else ', a larger --max-download'} or a device with more "
            "bandwidth (--gpu) would change that.",
            reference="nothing-fits",
        )
    if limit is not None and (found := _smallest_download(finder, workload, machine)) is not None:
        size = _files_bytes(found)
        return NoResultError(
            f"Nothing that --max-download allows ({format_gb(limit)}) runs here; {_name(found)} would, with "
            f"{format_gb(size)} of files.",
            hint=f"Allow {_enough(size)}.",
            reference="nothing-fits",
        )
    least, name = _least_memory(options, machine, hardware)
    missing = least - machine.total_bytes
    lacks = f"{format_gib(missing)} are missing" if missing > 0 else "no layout of it fits"
    return NoResultError(
        f"Nothing fits: the smallest plan ({name}) takes {format_gib(least)}, and {format_gib(machine.total_bytes)} "
        f"may be used here: {lacks}.",
        hint="A smaller --context or more memory (try --vram or --ram) would change that.",
        reference="nothing-fits",
    )


def no_room_beside(candidate: Candidate, plan: Plan) -> NoResultError:
    """The error for a model that was named and does not run beside the others."""
    return NoResultError(
        f"{candidate.model.name} does not fit beside {_name(plan)}.",
        hint="Name smaller models or quants for the others, a shorter --context, or leave it out.",
        reference="nothing-fits",
    )


def _fastest(finder: Finder, workload: Workload, machine: Machine) -> Plan | None:
    """The plan that writes most tokens per second (the middle of what is expected), whatever its score."""

    def first(least: float | None) -> Plan | None:
        wish = msgspec.structs.replace(workload, prefer="speed", min_speed=least)
        return next(finder.best(wish, machine), None)

    best = first(None)
    if best is None or speed_of(best) <= 0:
        return best
    ceiling = math.inf
    while ceiling > speed_of(best) * _CLOSE:
        least = speed_of(best) * 2 if ceiling == math.inf else math.sqrt(speed_of(best) * ceiling)
        faster = first(least)
        if faster is None:
            ceiling = least
        else:
            best = faster
    while (faster := first(math.nextafter(speed_of(best), math.inf))) is not None:
        best = faster
    return best


def _smallest_download(finder: Finder, workload: Workload, machine: Machine) -> Plan | None:
    """The plan that runs with the least bytes of files, none of which may be unknown."""

    def first(most: int) -> Plan | None:
        return next(finder.best(msgspec.structs.replace(workload, max_download_bytes=most), machine), None)

    best = first(1 << 60)
    floor = workload.max_download_bytes or 0
    while best is not None and _files_bytes(best) > floor * _CLOSE:
        most = (floor + _files_bytes(best)) // 2
        smaller = first(most)
        if smaller is None:
            floor = most
        else:
            best = smaller
    while best is not None and (smaller := first(_files_bytes(best) - 1)) is not None:
        best = smaller
    return best


def _files_bytes(plan: Plan) -> int:
    return sum(rated.candidate.variant.file_bytes or 0 for rated in plan)


def _enough(size_bytes: int) -> str:
    """A size that can be given as --max-download, never a byte too small: `119MB`, `1.46GB`."""
    megabytes = math.ceil(size_bytes / 10**6)
    return f"{megabytes}MB" if megabytes < 1000 else f"{math.ceil(megabytes / 10) / 100:.2f}GB"


def _name(plan: Plan) -> str:
    return " + ".join(f"{r.candidate.model.name} {r.candidate.variant.quant}" for r in plan)


def _least_download(options: Options) -> int:
    """The smallest files that fill the roles; those of unknown size do not count."""
    return sum(
        min((v.file_bytes for option in found for v in option.variants if v.file_bytes), default=0)
        for found in options.values()
    )


def _least_memory(options: Options, machine: Machine, hardware: Hardware) -> tuple[int, str]:
    """Bytes and names of the plan that takes least memory."""
    smallest = [_smallest(itertools.chain(*found), machine, hardware) for found in options.values()]
    return sum(size for size, _ in smallest), " + ".join(name for _, name in smallest)


def _smallest(candidates: Iterable[Candidate], machine: Machine, hardware: Hardware) -> tuple[int, str]:
    """Bytes and name of the candidate that takes least; files are looked at by size, until none can be smaller."""
    unlimited = Machine(gpus=(), host=msgspec.structs.replace(machine.host, budget_bytes=None), unified=False)
    best: tuple[int, str, str] | None = None
    for candidate in sorted(candidates, key=lambda c: (c.variant.file_bytes or 0, c.model.id, c.settings.context)):
        if best is not None and (candidate.variant.file_bytes or 0) // 2 > best[0]:
            break
        if candidate.process is None:
            continue
        memory = estimate(
            candidate.model, candidate.variant, candidate.settings, hardware, unlimited, process=candidate.process
        ).memory
        known = (memory.total_bytes, candidate.model.id, f"{candidate.model.name} {candidate.variant.quant}")
        best = known if best is None else min(best, known)
    return (0, "none of known size") if best is None else (best[0], best[2])
