"""The kernel's count of processes killed for lack of memory, in every place it may stand."""

from pathlib import Path

import pytest

from planner.serve.supervision.starvation import oom_kills

VMSTAT = "pgfault 9\noom_kill 7\nnr_x 1\n"


def tree(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


@pytest.mark.parametrize(
    ("files", "count"),
    [
        ({}, None),
        ({"proc/vmstat": VMSTAT}, 7),
        ({"proc/vmstat": "pgfault 9\n"}, None),
        (
            {
                "proc/self/cgroup": "0::/user.slice/a.scope\n",
                "sys/fs/cgroup/user.slice/a.scope/memory.events": "low 0\noom 2\noom_kill 3\noom_group_kill 0\n",
                "proc/vmstat": VMSTAT,
            },
            3,
        ),
        # A container sees its group at the top, under a name of the host's.
        ({"proc/self/cgroup": "0::/docker/abc\n", "sys/fs/cgroup/memory.events": "oom_kill 4\n"}, 4),
        (
            {
                "proc/self/cgroup": "4:memory:/job\n1:cpu:/job\n0::/\n",
                "sys/fs/cgroup/memory/job/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 5\n",
                "proc/vmstat": VMSTAT,
            },
            5,
        ),
        # The topmost group of version 2 has no count: the system's.
        ({"proc/self/cgroup": "0::/\n", "proc/vmstat": VMSTAT}, 7),
        ({"proc/self/cgroup": "0::/../../etc\n", "proc/vmstat": VMSTAT}, 7),
    ],
)
def test_the_count_of_the_own_group_comes_first(tmp_path: Path, files: dict[str, str], count: int | None) -> None:
    assert oom_kills(tree(tmp_path, files)) == count
