"""What the options of a command say about the machine; apart from what is made of it, for every command has them."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Overrides:
    """What the user says about the machine. `vram` in bytes, one per card; the rest None where not said."""

    vram: tuple[int, ...] = ()
    gpu: str | None = None
    bandwidth_gbps: float | None = None
    ram_bytes: int | None = None
    cpu_cores: int | None = None

    @property
    def any(self) -> bool:
        """Whether anything is said at all."""
        return self != Overrides()
