"""Name and instruction sets of the processor, as Windows tells them. Empty on any other system."""

import sys

_FEATURES = {
    38: "sse4_2", 39: "avx", 40: "avx2", 41: "avx512f",
    19: "asimd", 43: "asimddp",
}  # fmt: skip
"""Numbers of `IsProcessorFeaturePresent` (winnt.h, PF_*). What has no number there is left out."""


def windows_features() -> tuple[str, ...]:
    """Instruction sets by their Linux names. Raises OSError."""
    if sys.platform == "win32":
        import ctypes  # noqa: PLC0415  # here alone

        present = ctypes.windll.kernel32.IsProcessorFeaturePresent
        return tuple(name for number, name in _FEATURES.items() if present(number))
    return ()


def windows_cpu_name() -> str:
    """The processor's own name. Raises OSError."""
    if sys.platform == "win32":
        import winreg  # noqa: PLC0415  # here alone

        key = r"HARDWARE\DESCRIPTION\System\CentralProcessor\0"
        with winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, key) as opened:
            return " ".join(str(winreg.QueryValueEx(opened, "ProcessorNameString")[0]).split())
    return ""
