"""GPUs that only Vulkan tells of."""
