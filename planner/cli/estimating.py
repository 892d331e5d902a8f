"""From a request of `planner estimate` to its answer: which model, which machine, which settings."""

from pathlib import Path

import msgspec

from planner.catalog.rules import contradictions
from planner.cli.session import Session
from planner.core.estimates.estimator import estimate
from planner.core.estimates.request import EstimateRequest
from planner.core.machines.hardware import Backend, Hardware
from planner.core.machines.overrides import Overrides, described_hardware, device_from_json, virtual_hardware
from planner.core.memory.estimate import Estimate
from planner.core.memory.placement import Machine, machine_of
from planner.core.memory.workload import Settings
from planner.core.models.model import Model, Variant
from planner.core.models.plausible import check_file_bytes, check_parameters
from planner.core.models.weights import WeightTable
from planner.errors import BadDataError, UsageError
from planner.units import format_gib

_MACHINES = 1024
"""Machines that are remembered; requests of a file seldom name more."""


class Subject(msgspec.Struct, frozen=True):
    """What is estimated: `table` is set when the bytes of every layer were read from a header."""

    model: Model
    variant: Variant
    table: WeightTable | None = None


class Estimator:
    """Answers requests, remembering models and machines: of many requests few name new ones.

    `host_only`: without a device named anywhere the question is about the host's CPU, whatever cards it has.
    """

    def __init__(self, session: Session, *, host_only: bool = False) -> None:
        self._session = session
        self._host_only = host_only
        self._architectures: frozenset[str] | None = None
        self._models: dict[str, tuple[Model, Variant | None]] = {}
        self._machines: dict[tuple[object, ...], tuple[Hardware, Machine]] = {}

    def answer(self, request: EstimateRequest) -> Estimate:
        """The estimate asked for."""
        subject = self.subject(request)
        hardware, machine = self.machine(request)
        return self.estimate(subject, request.settings(subject.model), hardware, machine, n_gpus=request.n_gpus)

    def estimate(
        self, subject: Subject, settings: Settings, hardware: Hardware, machine: Machine, *, n_gpus: int = 1
    ) -> Estimate:
        """The estimate of one model on one machine; `n_gpus` > 1 spreads it over all of them."""
        found = estimate(
            subject.model,
            subject.variant,
            settings,
            hardware,
            machine,
            table=subject.table,
            all_gpus=n_gpus > 1,
            calibration=self._session.calibration_for(hardware),
        )
        more = (*self._about_architecture(subject.model), *_about_memory(hardware, machine))
        return msgspec.structs.replace(found, warnings=(*found.warnings, *more)) if more else found

    def _about_architecture(self, model: Model) -> tuple[str, ...]:
        """A warning where no model of the catalog is built like this one, so that nothing of it was checked."""
        if self._architectures is None:
            known = self._session.catalog.models
            self._architectures = frozenset(m.architecture.name for m in known if m.architecture is not None)
        if model.architecture is None or model.architecture.name in self._architectures:
            return ()
        return (
            f"the architecture “{model.architecture.name[:80]}” is not one that was checked: its cache and buffers "
            "are counted like Llama's",
        )

    def subject(self, request: EstimateRequest) -> Subject:
        """The model and quant a request names. Raises UsageError or BadDataError where there is none."""
        if request.gguf is not None:
            return _from_file(request.gguf)
        if request.spec is not None:
            _check_spec(request.spec)
            return _sized(Subject(request.spec, request.variant(request.spec, None)), request)
        assert request.model is not None, "parse_request and the command see to it"
        if request.model not in self._models:
            self._models[request.model] = self._session.catalog.parse_model_ref(request.model)
        model, named = self._models[request.model]
        return _sized(Subject(model, request.variant(model, named)), request)

    def machine(self, request: EstimateRequest) -> tuple[Hardware, Machine]:
        """The machine a request is about: its own gpu or device, else the command's, else this host's CPU."""
        described = None if request.device is None else msgspec.json.encode(request.device)
        key = (request.gpu, described, request.ram_bytes, request.n_gpus, request.backend)
        if key not in self._machines:
            if len(self._machines) >= _MACHINES:
                self._machines.clear()
            hardware = self._named(request) if described is None else self._described(request, described)
            self._machines[key] = hardware, machine_of(hardware, live=False)
        return self._machines[key]

    def _described(self, request: EstimateRequest, raw: bytes) -> Hardware:
        device = device_from_json(raw, self._session.catalog.devices)
        hardware = described_hardware(device, request.ram_bytes or self._session.overrides.ram_bytes)
        return _multiplied(hardware, request)

    def _named(self, request: EstimateRequest) -> Hardware:
        session, devices = self._session, self._session.catalog.devices
        if request.gpu is not None:
            overrides = Overrides(gpu=request.gpu, ram_bytes=request.ram_bytes or session.overrides.ram_bytes)
            return _multiplied(virtual_hardware(overrides, devices), request)
        hardware = session.hardware
        if self._host_only and not session.simulated:
            hardware = msgspec.structs.replace(hardware, devices=())
        if request.ram_bytes:
            hardware = virtual_hardware(Overrides(ram_bytes=request.ram_bytes), devices, base=hardware)
        return _multiplied(hardware, request)


def _check_spec(model: Model) -> None:
    """Raise BadDataError for a model whose numbers contradict each other, as a catalog file's would be refused."""
    wrong = next(contradictions(model), None)
    if wrong is not None:
        raise BadDataError(
            f"The spec of this request cannot be: {wrong}.",
            hint="Its fields are those of a model in catalog/models (docs/json.md).",
            reference="bad-spec",
        )
    check_parameters(model)


def _sized(subject: Subject, request: EstimateRequest) -> Subject:
    if request.file_bytes is not None:
        check_file_bytes(subject.model.architecture, subject.variant)
    return subject


def _about_memory(hardware: Hardware, machine: Machine) -> tuple[str, ...]:
    """A warning where a GPU shares a memory of which nobody said how large it is."""
    source, total = hardware.host.source.get("memory_total_bytes", ""), hardware.host.memory_total_bytes
    if not machine.unified or total is None or not source.startswith("assumed"):
        return ()
    return (f"memory of {format_gib(total)} is {source}; give what there is with ram_bytes (--ram)",)


def _from_file(name: str) -> Subject:
    from planner.gguf.facts import facts
    from planner.gguf.files import read_path
    from planner.gguf.model import model_from_facts, weight_table

    path = Path(name)
    header = read_path(path).header
    if header is None:
        raise UsageError(f"{name} is an engine without a model.", reference="no-model")
    found = facts(header)
    model, variant = model_from_facts(found, name=path.name)
    return Subject(model, variant, weight_table(found))


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
