"""A model's page for scripts: the document of docs/json.md."""

import msgspec

from planner.core.fits.device_grid import DeviceRow
from planner.core.fits.fitting import Fit, rate_of
from planner.core.memory.estimate import HOST
from planner.core.models.model import Model
from planner.core.pages.alternatives import Alternative
from planner.core.pages.difference import Difference
from planner.core.pages.model_page import Here, Page, QuantRow
from planner.core.pages.model_words import summary
from planner.core.pages.views import artifact_view, estimate_view, hardware_view, model_view, rate_view
from planner.core.scores.standing import other_scores


def document(found: Page) -> dict[str, object]:
    """The whole page. `here` is null unless a machine was asked about."""
    model = found.model
    return {
        "schema": 1,
        "model": {
            **model_view(model),
            "summary": summary(model),
            "architecture": None if model.architecture is None else msgspec.to_builtins(model.architecture),
            "notes": list(model.notes),
            "sources": dict(model.sources),
        },
        "variant": None if found.variant is None or not found.quants else found.variant.quant,
        "context": found.context,
        "quants": [_quant(row) for row in found.quants],
        "devices": [_device(model, row) for row in found.devices],
        "standings": [msgspec.to_builtins(item) for item in found.standings],
        "unranked": [msgspec.to_builtins(item) for item in found.unranked],
        "other_scores": [msgspec.to_builtins(item) for item in other_scores(model)],
        "alternatives": [_alternative(item) for item in found.alternatives],
        "quick_start": [{"command": step.command, "does": step.does} for step in found.quick_start],
        "here": None if found.here is None else _here(model, found.here),
    }


def _quant(row: QuantRow) -> dict[str, object]:
    return {
        "quant": row.variant.quant,
        "predicted": row.predicted,
        "file_bytes": row.file_bytes,
        "file_bytes_source": "computed" if row.variant.file_bytes is None else row.variant.file_bytes_source,
        "bits_per_weight": row.bits_per_weight,
        "quality_loss": row.loss,
        "quality_loss_basis": row.loss_basis,
        "memory": None if row.fit is None else memory_view(row.fit),
        "artifacts": [artifact_view(row.variant, artifact) for artifact in row.variant.artifacts],
    }


def memory_view(fit: Fit) -> dict[str, object]:
    """Bytes by component, and how much of them a GPU and the host give."""
    memory = fit.estimate.memory
    host = sum(row.total_bytes for row in memory.devices if row.device == HOST)
    return {
        "weights_bytes": memory.weights_bytes,
        "kv_cache_bytes": memory.kv_cache_bytes,
        "compute_bytes": memory.compute_bytes,
        "overhead_bytes": memory.overhead_bytes,
        "total_bytes": memory.total_bytes,
        "gpu_bytes": memory.total_bytes - host,
        "host_bytes": host,
    }


def _device(model: Model, row: DeviceRow) -> dict[str, object]:
    gpu = next(iter(row.hardware.devices), None)
    return {
        "name": row.device.label,
        "slug": row.device.slug,
        "memory_bytes": None if gpu is None else gpu.memory_total_bytes,
        "ram_bytes": row.hardware.host.memory_total_bytes,
        "best_quant": None if row.best is None else row.best.variant.quant,
        "quants": [_on_device(model, fit) for fit in row.fits if fit is not None],
    }


def _on_device(model: Model, fit: Fit) -> dict[str, object]:
    placement = fit.estimate.placement
    return {
        "quant": fit.variant.quant,
        "verdict": placement.verdict.value,
        "n_gpu_layers": placement.n_gpu_layers,
        "n_layers": placement.n_layers,
        "memory_bytes": fit.estimate.memory.total_bytes,
        "rate": rate_view(rate_of(model, fit.estimate)),
        "pp": rate_view(fit.estimate.throughput.pp),
    }


def _alternative(item: Alternative) -> dict[str, object]:
    model = item.side.model
    return {
        "kinds": [kind.value for kind in item.kinds],
        "model": model.id,
        "variant": None if item.side.fit is None else item.side.fit.variant.quant,
        "deployable": model.deployable,
        "licence": {"spdx": model.licence.spdx, "commercial": model.licence.commercial.value},
        "difference": difference_view(item.difference),
    }


def difference_view(found: Difference) -> dict[str, object]:
    """What one model has more than another, null where it is not known of both."""
    return {
        "memory_bytes": found.memory_bytes,
        "speed_ratio": found.speed_ratio,
        "pool": found.pool,
        "mtr_points": found.mtr_points,
        "quality_points": found.quality_points,
    }


def _here(model: Model, here: Here) -> dict[str, object]:
    return {
        "hardware": hardware_view(here.hardware),
        "quants": [
            {
                "quant": row.fit.variant.quant,
                "usable_context": row.usable_context,
                "rate": rate_view(rate_of(model, row.fit.estimate)),
                "estimate": estimate_view(row.fit.estimate),
            }
            for row in here.rows
        ],
    }
