"""The constants of the speed formulas as one frozen value.

Every default is what is assumed before any measurement; the fit (`python benchmarks/fit_speed.py`) starts from the
defaults and is pulled towards them where rows are few. Its result is `catalog/speed.json`. Names of classes of
devices are `vendor/backend` (`nvidia/cuda`), see `device_class` and `prompt_class`.
"""

import re
from typing import Annotated

import msgspec

from planner.core.machines.hardware import Device, DeviceKind, Vendor
from planner.core.machines.tensor_cores import capability
from planner.core.speed.interval import Interval

Positive = Annotated[float, msgspec.Meta(gt=0, le=1e6)]


class Generation(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Constants of the time per generated token.

    `bandwidth_share`: reached of the peak memory bandwidth. `arithmetic_share`: reached of the FP32 peak while one
    row is multiplied, by vendor; `before_volta` times that on NVIDIA cards whose integer and floating-point units
    share their issue slots. `layer_us`: launches and synchronisation of a layer in µs, by device class;
    `moe_layers` times that in a layer of experts.
    """

    bandwidth_share: Positive = 0.9
    arithmetic_share: dict[str, Positive] = {}
    arithmetic_share_default: Positive = 0.3
    before_volta: Positive = 0.5
    layer_us: dict[str, Positive] = {}
    layer_us_default: Positive = 60.0
    moe_layers: Positive = 2.0
    flops_per_byte: Positive = 35.0
    """FP32 operations per byte of bandwidth of a device whose peak is unknown: the middle of the table's devices."""


class Prompt(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Constants of the time per prompt token.

    `share`: reached of the class's peak, by prompt class, for blocks of 32 weights (Q4_0, Q8_0); `k_share` and
    `float_share` times that for K- and IQ-types and for unquantised weights. On NVIDIA's tensor cores the share goes
    with (watts per TFLOPS ÷ `power_reference`)^`power_exponent`: half-way between a bound by the cores and one by the
    power limit at 0.5. `attention_…`: how efficient attention is beside the matrices. `expert_batch`: tokens per
    expert at which its matrices reach half their speed. `encoder_share`: an encoder's matrices beside a decoder's.
    """

    share: dict[str, Positive] = {}
    share_default: Positive = 0.4
    k_share: Positive = 0.9
    float_share: Positive = 1.0
    power_exponent: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.5
    power_reference: Positive = 1.4
    attention_flash: Positive = 0.7
    attention_plain: Positive = 0.2
    expert_batch: Positive = 30.0
    encoder_share: Positive = 0.6
    embed_batch_us: Positive = 500.0
    """Host work around each micro-batch of texts to embed: building its graph, copying and pooling, µs."""
    split_gain: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.25
    """Layers split over n GPUs process prompts n^this times as fast: micro-batches follow one another."""


class HostSpeed(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Constants of a CPU: bandwidth in GB/s, arithmetic in GFLOP/s a core by instruction set."""

    bandwidth_share: Positive = 0.55
    read_share: Positive = 0.78
    """What reading with all cores reaches of the modules' peak."""
    gbps_default: Positive = 40.0
    core_gbps: Positive = 8.0
    core_gflops: dict[str, Positive] = {}
    core_gflops_default: Positive = 12.0
    """Without any vector instructions that are named in `core_gflops`."""
    k_share: Positive = 0.75
    iq_share: Positive = 0.35
    float_share: Positive = 0.55
    """Prompt speed of K-types, of the IQ-types below 4 bits and of unquantised weights, beside 32-weight blocks."""
    layer_us: Positive = 25.0
    link_gbps_default: Positive = 12.0
    """PCIe bandwidth for weights that a GPU reads from the host while it processes a prompt."""


FAST_GBPS = 1200.0
"""Beyond GDDR6X on 384 bits (1,008 GB/s): HBM2e, HBM3 and GDDR7, of which few devices have rows."""


class Tiers(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Measured over predicted, the middle 80 %: of a device with rows, of a relative of one, of any other.

    `fast` is that of any other with more than `FAST_GBPS`: small models leave so much bandwidth idle.
    """

    device: Interval = Interval(0.6, 1.7)
    family: Interval = Interval(0.6, 1.7)
    other: Interval = Interval(0.5, 2.0)
    fast: Interval = Interval(0.5, 2.0)


class Spreads(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Intervals by kind of prediction. From `embed` on set by hand: no row, or too few, could give them.

    `prompt_shared` is that of prompts on AMD parts that share the host's memory, which differ from build to build.
    `split` is for prompts over several GPUs, `split_generation` for tokens.
    """

    generation: Tiers = Tiers()
    generation_moe: Tiers = Tiers()
    prompt: Tiers = Tiers()
    prompt_moe: Tiers = Tiers(Interval(0.4, 2.5), Interval(0.4, 2.5), Interval(0.4, 2.5))
    prompt_shared: Interval = Interval(0.5, 2.0)
    embed: Interval = Interval(0.7, 1.4)
    encoder: Interval = Interval(0.4, 2.2)
    small_encoder: Interval = Interval(0.25, 2.0)
    host: Interval = Interval(0.55, 1.7)
    offload: Interval = Interval(0.6, 1.6)
    split: Interval = Interval(0.55, 1.8)
    split_generation: Interval = Interval(0.8, 1.25)
    slots: Interval = Interval(0.7, 1.4)
    no_peak: Interval = Interval(0.7, 1.4)


class Known(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the rows were measured on: `slug/backend` of devices, `family/backend` of their relatives."""

    devices: frozenset[str] = frozenset()
    families: frozenset[str] = frozenset()


class Deviation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Standard deviations of log(measured ÷ predicted): of the devices' means, and of rows around their device's."""

    between: Positive = 0.25
    within: Positive = 0.12


class Calibration(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """All constants of the speed formulas. The default knows no measurement at all: its intervals are wide."""

    generation: Generation = Generation()
    prompt: Prompt = Prompt()
    host: HostSpeed = HostSpeed()
    spreads: Spreads = Spreads()
    known_generation: Known = Known()
    known_prompt: Known = Known()
    generation_deviation: Deviation = Deviation()
    prompt_deviation: Deviation = Deviation()
    host_deviation: Deviation = Deviation(0.4, 0.12)


GENERIC = Calibration()
"""What is assumed before any measurement."""


def device_class(device: Device) -> str:
    """Vendor and backend: `nvidia/cuda`."""
    return f"{device.vendor.value}/{device.backend.value}"


def device_key(device: Device | None) -> str:
    """The device and its backend, `cpu` for the host: what a row or a local measurement is about."""
    return "cpu" if device is None else f"{device.slug}/{device.backend.value}"


def family_key(device: Device) -> str:
    """The architecture and its backend: devices of one family differ in size, not in kind.

    NVIDIA's and AMD's are numbered; Apple's and Intel's are in the name of the data sheet. What is not known is a
    family of its own.
    """
    family = device.compute_capability or device.gfx_target
    if family is None:
        found = re.match(r"apple-(m\d+)|arc-(?:pro-)?([ab])\d", device.slug)
        family = device.slug if found is None else found.group(1) or found.group(2)
    return f"{device.vendor.value} {family}/{device.backend.value}"


def prompt_class(device: Device) -> tuple[str, float | None]:
    """The class whose share applies to a device's prompts, and the peak it is a share of in TFLOPS.

    NVIDIA: tensor cores from Volta on; before them 8-bit dot products (6.1) or plain FP32. AMD and Intel: the vector
    rate of FP16; matrix units of the Instinct MI300 are a class of their own, and so are parts that share the host's
    memory. Apple: FP32, to which everything is proportional.
    """
    vendor, half, single = device.vendor, device.fp16_tflops, device.fp32_tflops
    if vendor is Vendor.NVIDIA:
        version = capability(device)
        if version is not None and version < 7:
            return ("nvidia/dot-product" if version >= 6.1 else "nvidia/fp32"), single or half
        return device_class(device), half or single
    if vendor is Vendor.AMD:
        if device.gfx_target in {"gfx942", "gfx950"}:
            return f"amd-matrix/{device.gfx_target}", half
        if device.kind is DeviceKind.UNIFIED:
            return f"amd-shared/{device.backend.value}", half or single
    if vendor is Vendor.APPLE:
        return device_class(device), single or half
    return device_class(device), half or single
