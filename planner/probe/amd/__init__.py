"""AMD cards and APUs, through sysfs, KFD and rocm-smi."""
