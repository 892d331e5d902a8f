"""What a card's figures say about its units for matrices."""

from planner.core.machines.hardware import Backend, Device, Vendor


def capability(device: Device) -> float | None:
    """NVIDIA's compute capability as a number; None for other devices and what is not one."""
    return capability_number(device.compute_capability)


def capability_number(text: str | None) -> float | None:
    """A compute capability as a number; None where it is unknown or not one."""
    try:
        return None if text is None else float(text)
    except ValueError:
        return None


def has_tensor_cores(device: Device) -> bool:
    """Whether the peak of a prompt is that of NVIDIA's tensor cores."""
    half, single = device.fp16_tflops, device.fp32_tflops
    version = capability(device)
    return (
        device.vendor is Vendor.NVIDIA
        and device.backend in {Backend.CUDA, Backend.VULKAN}
        and (version is None or version >= 7)
        and half is not None
        and single is not None
        and half > 2.5 * single
    )
