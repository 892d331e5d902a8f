"""Limits of control groups: v1, v2, hybrid, nested, in containers, and without any."""

from collections.abc import Callable, Mapping

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from planner.probe.surroundings import Surroundings
from planner.probe.system.cgroup import Limits, read_limits

MIB = 2**20
NONE_V1 = "9223372036854771712\n"
V2_MOUNT = "31 23 0:28 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw\n"
V1_MOUNTS = (
    "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
    "35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
)
Tree = Callable[[Mapping[str, str]], Surroundings]


def test_no_groups_no_limits(tree: Tree) -> None:
    assert read_limits(tree({})) == Limits()


def test_v2_takes_the_tightest_limit_on_the_way_up(tree: Tree) -> None:
    limits = read_limits(
        tree(
            {
                "/proc/self/cgroup": "0::/user.slice/app.scope\n",
                "/proc/self/mountinfo": V2_MOUNT,
                "/sys/fs/cgroup/user.slice/memory.max": f"{512 * MIB}\n",
                "/sys/fs/cgroup/user.slice/memory.current": f"{300 * MIB}\n",
                "/sys/fs/cgroup/user.slice/memory.stat": f"anon 1\ninactive_file {100 * MIB}\nactive_file 7\n",
                "/sys/fs/cgroup/user.slice/app.scope/memory.max": "max\n",
                "/sys/fs/cgroup/user.slice/app.scope/cpu.max": "150000 100000\n",
                "/sys/fs/cgroup/user.slice/cpu.max": "max 100000\n",
            }
        )
    )
    assert limits.memory_bytes == 512 * MIB
    # Pages that can be dropped at once are not in use.
    assert limits.memory_free_bytes == 312 * MIB
    assert limits.memory_source == "cgroup v2 memory.max"
    assert limits.cpu_cores == 1.5
    assert limits.whole_cores == 2


def test_the_least_free_memory_may_be_at_another_level_than_the_least_limit(tree: Tree) -> None:
    limits = read_limits(
        tree(
            {
                "/proc/self/cgroup": "0::/a/b\n",
                "/proc/self/mountinfo": V2_MOUNT,
                "/sys/fs/cgroup/a/memory.max": f"{1000 * MIB}",
                "/sys/fs/cgroup/a/memory.current": f"{990 * MIB}",
                "/sys/fs/cgroup/a/b/memory.max": f"{500 * MIB}",
                "/sys/fs/cgroup/a/b/memory.current": f"{100 * MIB}",
            }
        )
    )
    assert (limits.memory_bytes, limits.memory_free_bytes) == (500 * MIB, 10 * MIB)


def test_used_beyond_the_limit_is_no_free_memory_not_less(tree: Tree) -> None:
    limits = read_limits(
        tree(
            {
                "/proc/self/cgroup": "0::/\n",
                "/proc/self/mountinfo": V2_MOUNT,
                "/sys/fs/cgroup/memory.max": f"{96 * MIB}",
                "/sys/fs/cgroup/memory.current": f"{100 * MIB}",
            }
        )
    )
    assert limits.memory_free_bytes == 0


def test_v1_knows_its_word_for_no_limit(tree: Tree) -> None:
    limits = read_limits(
        tree(
            {
                "/proc/self/cgroup": "4:memory:/outer/inner\n1:cpu,cpuacct:/outer\n",
                "/proc/self/mountinfo": V1_MOUNTS,
                "/sys/fs/cgroup/memory/memory.limit_in_bytes": NONE_V1,
                "/sys/fs/cgroup/memory/outer/memory.limit_in_bytes": f"{96 * MIB}\n",
                "/sys/fs/cgroup/memory/outer/memory.usage_in_bytes": f"{40 * MIB}\n",
                "/sys/fs/cgroup/memory/outer/memory.stat": f"cache 1\ntotal_inactive_file {8 * MIB}\n",
                "/sys/fs/cgroup/memory/outer/inner/memory.limit_in_bytes": NONE_V1,
                "/sys/fs/cgroup/cpu,cpuacct/outer/cpu.cfs_quota_us": "250000\n",
                "/sys/fs/cgroup/cpu,cpuacct/outer/cpu.cfs_period_us": "100000\n",
                "/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "-1\n",
                "/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
            }
        )
    )
    assert (limits.memory_bytes, limits.memory_free_bytes) == (96 * MIB, 64 * MIB)
    assert limits.whole_cores == 3
    assert limits.memory_source == "cgroup v1 memory.limit_in_bytes"


def test_hybrid_systems_have_the_memory_controller_in_v1(tree: Tree) -> None:
    limits = read_limits(
        tree(
            {
                "/proc/self/cgroup": "4:memory:/job\n0::/job\n",
                "/proc/self/mountinfo": V1_MOUNTS + "41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n",
                "/sys/fs/cgroup/memory/job/memory.limit_in_bytes": f"{64 * MIB}\n",
                "/sys/fs/cgroup/unified/job/cgroup.procs": "1\n",
            }
        )
    )
    assert limits.memory_bytes == 64 * MIB
    assert limits.cpu_cores is None


@pytest.mark.parametrize(
    ("group", "mount_root"),
    [
        ("/", "/"),  # a cgroup namespace
        ("/docker/abc", "/docker/abc"),  # the container's own subtree is mounted
        ("/docker/abc", "/"),  # the host's path, while only the container's files are visible
        ("/../other", "/"),  # outside this namespace
    ],
)
def test_in_a_container_the_mount_point_is_the_group(tree: Tree, group: str, mount_root: str) -> None:
    limits = read_limits(
        tree(
            {
                "/proc/self/cgroup": f"0::{group}\n",
                "/proc/self/mountinfo": f"31 23 0:28 {mount_root} /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n",
                "/sys/fs/cgroup/memory.max": f"{256 * MIB}\n",
            }
        )
    )
    assert limits.memory_bytes == 256 * MIB


@pytest.mark.parametrize(
    "files",
    [
        {"/proc/self/cgroup": "0::/x\n", "/sys/fs/cgroup/x/memory.max": f"{MIB}"},
        {"/proc/self/cgroup": "3:memory:/x\n", "/sys/fs/cgroup/memory/x/memory.limit_in_bytes": f"{MIB}"},
    ],
)
def test_without_mountinfo_the_usual_places_are_looked_at(tree: Tree, files: dict[str, str]) -> None:
    assert read_limits(tree(files)).memory_bytes == MIB


def test_mount_points_with_blanks_are_unescaped(tree: Tree) -> None:
    limits = read_limits(
        tree(
            {
                "/proc/self/cgroup": "0::/\n",
                "/proc/self/mountinfo": "31 23 0:28 / /my\\040groups rw - cgroup2 cgroup2 rw\n",
                "/my groups/memory.max": f"{MIB}",
            }
        )
    )
    assert limits.memory_bytes == MIB


def test_the_soft_limit_of_v2_counts_by_its_own_name(tree: Tree) -> None:
    limits = read_limits(
        tree(
            {
                "/proc/self/cgroup": "0::/user.slice/run.scope\n",
                "/proc/self/mountinfo": V2_MOUNT,
                "/sys/fs/cgroup/user.slice/run.scope/memory.max": f"{900 * MIB}\n",
                "/sys/fs/cgroup/user.slice/run.scope/memory.high": f"{700 * MIB}\n",
                "/sys/fs/cgroup/user.slice/run.scope/memory.current": f"{100 * MIB}\n",
                "/sys/fs/cgroup/user.slice/run.scope/memory.swap.max": "0\n",
                "/sys/fs/cgroup/user.slice/memory.high": "max\n",
            }
        )
    )
    assert (limits.memory_bytes, limits.memory_free_bytes) == (700 * MIB, 600 * MIB)
    assert limits.memory_source == "cgroup v2 memory.high"


def test_a_free_v2_system_has_no_limits(tree: Tree) -> None:
    group = "/sys/fs/cgroup/user.slice/user-1000.slice/session-2.scope"
    words = {"memory.max": "max\n", "memory.high": "max\n", "memory.current": "1\n", "cpu.max": "max 100000\n"}
    files = {
        "/proc/self/cgroup": "0::/user.slice/user-1000.slice/session-2.scope\n",
        "/proc/self/mountinfo": V2_MOUNT,
        "/sys/fs/cgroup/memory.stat": "inactive_file 1\n",
    }
    assert read_limits(tree(files | {f"{group}/{name}": text for name, text in words.items()})) == Limits()


def test_a_free_v1_system_has_no_limits(tree: Tree) -> None:
    files = {
        "/proc/self/cgroup": "4:memory:/\n1:cpu,cpuacct:/\n0::/\n",
        "/proc/self/mountinfo": V1_MOUNTS,
        "/sys/fs/cgroup/memory/memory.limit_in_bytes": NONE_V1,
        "/sys/fs/cgroup/memory/memory.stat": f"cache 1\nhierarchical_memory_limit {NONE_V1}",
        "/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "-1\n",
        "/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
    }
    assert read_limits(tree(files)) == Limits()


def test_v1_tells_of_limits_above_what_a_container_sees(tree: Tree) -> None:
    files = {
        "/proc/self/cgroup": "4:memory:/docker/abc\n",
        "/proc/self/mountinfo": "35 31 0:32 /docker/abc /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n",
        "/sys/fs/cgroup/memory/memory.limit_in_bytes": NONE_V1,
        "/sys/fs/cgroup/memory/memory.usage_in_bytes": f"{28 * MIB}",
        "/sys/fs/cgroup/memory/memory.stat": f"hierarchical_memory_limit {128 * MIB}\nx {'9' * 5000}\n",
    }
    limits = read_limits(tree(files))
    assert (limits.memory_bytes, limits.memory_free_bytes) == (128 * MIB, 100 * MIB)
    assert limits.memory_source == "cgroup v1 hierarchical_memory_limit"


@pytest.mark.parametrize("text", ["", "x", "-1", "0", "1e9", "99999999999999999999", NONE_V1])
def test_a_limit_that_makes_no_sense_is_none(tree: Tree, text: str) -> None:
    limits = read_limits(
        tree(
            {
                "/proc/self/cgroup": "0::/\n",
                "/proc/self/mountinfo": V2_MOUNT,
                "/sys/fs/cgroup/memory.max": text,
                "/sys/fs/cgroup/cpu.max": text,
            }
        )
    )
    assert limits == Limits()


@example(cgroup="\0", mountinfo="")
@given(cgroup=st.text(max_size=60), mountinfo=st.text(max_size=120))
def test_no_content_of_proc_breaks_it(tmp_path_factory: pytest.TempPathFactory, cgroup: str, mountinfo: str) -> None:
    root = tmp_path_factory.mktemp("root")
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(f"0::/{cgroup}\n{cgroup}", errors="replace")
    (root / "proc/self/mountinfo").write_text(f"1 2 3 {mountinfo} / - cgroup2 c rw\n{mountinfo}", errors="replace")
    assert isinstance(read_limits(Surroundings(root=root, environ={})), Limits)
