"""A line of `planner estimate --jsonl`: one question with everything it may name, and its settings."""

import json
from typing import Any, get_args

import msgspec

from planner.core.estimates.estimator import default_context
from planner.core.machines.hardware import Backend
from planner.core.memory.workload import KvType, Settings
from planner.core.models.model import Commercial, Model, Pooling, Role, Variant
from planner.core.models.quants import bits_per_weight
from planner.core.models.variants import default_variant
from planner.core.values import decode_value, with_choices
from planner.errors import BadDataError, UsageError

_LIMITS = {
    "context": 2**28, "depth": 2**28, "n_prompt": 2**28, "batch": 2**20, "ubatch": 2**20, "parallel": 256,
    "n_gpus": 64, "n_gpu_layers": 10_000, "n_cpu_moe": 10_000, "file_bytes": 2**50, "ram_bytes": 2**50,
}  # fmt: skip
"""Far beyond every model and machine; the same bounds as the command's options."""
_KV_TYPES = get_args(KvType)
_CHOICES = {
    "backend": tuple(Backend), "kv_type": _KV_TYPES, "kv_type_k": _KV_TYPES, "kv_type_v": _KV_TYPES,
    "role": tuple(Role), "pooling": tuple(Pooling), "commercial": tuple(Commercial),
}  # fmt: skip
_HINT = "docs/json.md lists the fields of a request."


class EstimateRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The fields of a request (docs/json.md). One of `model`, `spec`, `gguf` names the model.

    `spec` is a catalog model object, `gguf` a path; `device` a device as `planner hardware --json` prints it.
    """

    id: str | int | None = None
    model: str | None = None
    spec: Model | None = None
    gguf: str | None = None
    quant: str | None = None
    file_bytes: int | None = None
    gpu: str | None = None
    device: dict[str, Any] | None = None
    ram_bytes: int | None = None
    n_gpus: int = 1
    backend: Backend | None = None
    context: int | None = None
    depth: int = 0
    n_prompt: int | None = None
    batch: int | None = None
    ubatch: int = 512
    parallel: int = 1
    kv_type: KvType = "f16"
    kv_type_k: KvType | None = None
    kv_type_v: KvType | None = None
    flash_attention: bool = True
    n_gpu_layers: int | None = None
    n_cpu_moe: int | None = None
    kv_unified: bool = False
    kv_offload: bool = True
    embedding: bool | None = None

    def settings(self, model: Model) -> Settings:
        """The engine settings asked for; what is not said follows the model.

        Raises BadDataError for a depth beyond the context.
        """
        # Asked for the speed at a depth, the context is at least that deep.
        wanted = self.depth + (512 if self.n_prompt is None else self.n_prompt)
        context = max(default_context(model), wanted) if self.context is None else self.context
        if self.depth > context:
            raise BadDataError(
                f"“depth” is {self.depth}: so many tokens do not go into a context of {context}.",
                hint="Give a longer context, or none: then it is long enough.",
                reference="bad-request",
            )
        prompt = self.n_prompt
        if prompt is None:
            slot = context if self.kv_unified else context // max(1, self.parallel)
            prompt = min(512, max(1, slot - self.depth))
        embedding = model.role is not Role.GENERATION if self.embedding is None else self.embedding
        # In embedding mode the server makes batch and micro-batch one.
        batch = self.batch or (self.ubatch if embedding else 2048)
        batch = min(batch, self.ubatch) if embedding else batch
        return Settings(
            context=context,
            batch=batch,
            ubatch=self.ubatch,
            parallel=self.parallel,
            kv_type_k=self.kv_type_k or self.kv_type,
            kv_type_v=self.kv_type_v or self.kv_type,
            flash_attention=self.flash_attention,
            n_gpu_layers=self.n_gpu_layers,
            n_cpu_moe=self.n_cpu_moe,
            kv_unified=self.kv_unified,
            kv_offload=self.kv_offload,
            embedding=embedding,
            depth=self.depth,
            n_prompt=prompt,
        )

    def variant(self, model: Model, named: Variant | None) -> Variant:
        """The variant meant: that of `quant` if the catalog has it, else one made of `quant` and `file_bytes`.

        Raises UsageError when neither says how large the file is.
        """
        chosen = named
        if self.quant is not None:
            chosen = model.variant(self.quant)
            if chosen is None and self.file_bytes is None and bits_per_weight(self.quant) is None:
                raise UsageError(
                    f"“{self.quant}” is not a quant type whose size is known.",
                    hint="Give file_bytes, or a type such as Q4_K_M, Q8_0 or F16.",
                    reference="unknown-quant",
                )
            if chosen is None:
                chosen = Variant(quant=self.quant, artifacts=(), file_bytes_source="computed")
        if chosen is None:
            chosen = default_variant(model) if self.file_bytes is None else Variant(quant="unknown", artifacts=())
        if self.file_bytes is not None:
            chosen = msgspec.structs.replace(
                chosen,
                file_bytes=self.file_bytes,
                file_bytes_source="exact",
                tensor_bytes=None,
                token_embedding_bytes=None,
            )
        return chosen


def parse_request(line: bytes | str) -> EstimateRequest:
    """A request from one line of JSON. Raises BadDataError naming the field."""
    try:
        # msgspec takes the last of two equal keys.
        json.loads(line, object_pairs_hook=_unique)
        request = msgspec.json.decode(line, type=EstimateRequest, dec_hook=decode_value)
    except (msgspec.DecodeError, RecursionError, ValueError) as error:
        reason = with_choices(str(error), _CHOICES)
        raise BadDataError(f"This request cannot be read: {reason}.", hint=_HINT, reference="bad-request") from error
    if sum(value is not None for value in (request.model, request.spec, request.gguf)) != 1:
        raise BadDataError("A request names exactly one of model, spec or gguf.", hint=_HINT, reference="bad-request")
    if request.gpu is not None and request.device is not None:
        raise BadDataError("A request names a gpu or a device, not both.", hint=_HINT, reference="bad-request")
    for name in ("file_bytes", "ram_bytes", "n_gpus", "n_prompt", "context", "batch", "ubatch", "parallel"):
        value = getattr(request, name)
        if value is not None and value < 1:
            raise BadDataError(f"“{name}” must be at least 1, got {value}.", hint=_HINT, reference="bad-request")
    for name in ("depth", "n_gpu_layers", "n_cpu_moe"):
        if (getattr(request, name) or 0) < 0:
            raise BadDataError(f"“{name}” cannot be negative.", hint=_HINT, reference="bad-request")
    for name, limit in _LIMITS.items():
        value = getattr(request, name)
        if value is not None and value > limit:
            raise BadDataError(f"“{name}” is at most {limit}, got {value}.", hint=_HINT, reference="bad-request")
    return request


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of a request. Raises ValueError for a key that is there twice."""
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"“{next(key for key in keys if keys.count(key) > 1)[:80]}” is there twice")
    return found
