"""NVIDIA cards and boards, through NVML in a process of its own."""
