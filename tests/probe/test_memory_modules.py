"""Memory modules from firmware tables: real-looking ones add up, hostile ones cost nothing."""

import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.probe.surroundings import Surroundings
from planner.probe.system.memory_modules import (
    MAX_MODULES,
    MemoryFacts,
    MemoryModule,
    add_up,
    parse_table,
    parse_udev,
    read_memory_modules,
)
from planner.units import GIB

Tree = Callable[[Mapping[str, str]], Surroundings]
DDR4, DDR5, LPDDR5, FLASH = 0x1A, 0x22, 0x23, 0x09
END = bytes([127, 4, 0xFF, 0xFE, 0, 0])


def structure(
    locator: str = "DIMM 0",
    bank: str = "P0 CHANNEL A",
    *,
    size: int = 16 << 10,
    kind: int = DDR4,
    rated: int = 3200,
    configured: int = 3200,
    width: int = 64,
    length: int = 0x5C,
    long_speeds: tuple[int, int] = (0, 0),
) -> bytes:
    """A structure 17. `size` in MiB, as the extended field has it when it does not fit."""
    body = bytearray(0x5C)
    struct.pack_into("<BBH", body, 0, 17, length, 0x1100)
    struct.pack_into("<HH", body, 0x08, width + 8, width)
    struct.pack_into("<HBBBBB", body, 0x0C, min(0x7FFF, size), 0x09, 0, 1, 2, kind)
    struct.pack_into("<H", body, 0x15, rated)
    struct.pack_into("<I", body, 0x1C, size)
    struct.pack_into("<H", body, 0x20, configured)
    struct.pack_into("<II", body, 0x54, *long_speeds)
    return bytes(body[:length]) + locator.encode() + b"\0" + bank.encode() + b"\0\0"


def slot(locator: str = "", bank: str = "", **fields: object) -> MemoryModule:
    return replace(MemoryModule(16 * GIB, "DDR4", "DIMM", 3200, locator, bank, 64), **fields)  # type: ignore[arg-type]


def with_table(here: Surroundings, table: bytes) -> Surroundings:
    path = here.path("/sys/firmware/dmi/tables/DMI")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(table)
    return here


def test_two_modules_of_a_desktop(tree: Tree) -> None:
    bios = bytes([0, 24]) + bytes(22) + b"AMI\0F37\0\0"
    table = (
        bios + structure() + structure("DIMM 1", "P0 CHANNEL A", size=0) + structure("DIMM 0", "P0 CHANNEL B") + END
    )
    facts = read_memory_modules(with_table(tree({}), table))
    assert (facts.speed_mts, facts.channels, facts.bandwidth_gbps) == (3200, 2, 51.2)
    source = dict(facts.source)
    assert source["memory_speed_mts"] == "2 DDR4 modules, as the firmware says"
    assert source["memory_channels"] == "channel names of the modules"
    assert "128 bits" in source["memory_bandwidth_gbps"]


def test_the_configured_speed_counts_not_the_rated_one() -> None:
    (module,) = parse_table(structure(rated=6000, configured=4800, kind=DDR5) + END)
    assert (module.speed_mts, module.kind, module.form, module.size_bytes) == (4800, "DDR5", "DIMM", 16 * GIB)
    (module,) = parse_table(structure(rated=3200, configured=0) + END)
    assert module.speed_mts == 3200


def test_speeds_and_sizes_beyond_a_word_are_in_the_long_fields() -> None:
    table = structure(size=64 << 10, rated=0xFFFF, configured=0xFFFF, long_speeds=(9000, 8800)) + END
    (module,) = parse_table(table)
    assert (module.size_bytes, module.speed_mts) == (64 * GIB, 8800)


def test_an_old_short_structure_has_its_rated_speed_or_none() -> None:
    assert [m.speed_mts for m in parse_table(structure(length=0x17) + structure(length=0x15) + END)] == [3200, None]


def test_flash_chips_and_empty_slots_are_no_memory() -> None:
    assert list(parse_table(structure(kind=FLASH) + structure(size=0) + END)) == []


@pytest.mark.parametrize(
    ("slots", "channels"),
    [
        (["ChannelA-DIMM0", "ChannelB-DIMM0"], 2),
        (["ChannelA-DIMM0", "ChannelA-DIMM1"], 1),
        (["Controller0-ChannelA-DIMM0", "Controller1-ChannelA-DIMM0"], 2),
        (["DIMM_A1", "DIMM_A2", "DIMM_B1", "DIMM_B2"], 2),
        (["DIMMA2", "DIMMB2"], 2),
        (["P1-DIMMA1", "P1-DIMMB1", "P2-DIMMA1", "P2-DIMMB1"], 4),
        (["CPU0_DIMM_A0", "CPU0_DIMM_B0", "CPU0_DIMM_C0", "CPU0_DIMM_D0"], 4),
        (["DIMM_P0_A0", "DIMM_P0_B0", "DIMM_P1_A0"], 3),
        (["NODE 0 CHANNEL 0 DIMM 0", "NODE 0 CHANNEL 1 DIMM 0", "NODE 1 CHANNEL 0 DIMM 0"], 3),
        (["Bottom-Slot 1(left)"], 1),
        (["DIMM1", "DIMM2"], 2),
    ],
)
def test_channels_are_counted_by_the_names_of_the_slots(slots: Sequence[str], channels: int) -> None:
    facts = add_up([slot(name) for name in slots])
    assert (facts.channels, facts.bandwidth_gbps) == (channels, round(channels * 8 * 3.2, 1))


def test_channels_may_be_named_by_the_bank() -> None:
    banks = [f"P0_Node0_Channel{number}_Dimm0" for number in range(8)]
    assert add_up([slot("DIMM", bank) for bank in banks]).channels == 8


@pytest.mark.parametrize(
    "slots",
    [
        ["DIMM1", "DIMM2", "DIMM3", "DIMM4"],
        ["A1", "A2", "B1", "B2"],  # the letter is the processor on some servers
        ["ChannelA-DIMM0", "somewhere"],
    ],
)
def test_channels_that_are_not_sure_leave_the_bandwidth_unknown_and_keep_the_speed(slots: Sequence[str]) -> None:
    facts = add_up([slot(name) for name in slots])
    assert (facts.speed_mts, facts.channels, facts.bandwidth_gbps) == (3200, None, None)
    assert [field for field, _ in facts.source] == ["memory_speed_mts"]


def test_the_slowest_module_sets_the_speed() -> None:
    assert add_up([slot("DIMM_A1"), slot("DIMM_B1", speed_mts=2400)]).bandwidth_gbps == 38.4


def test_soldered_memory_is_counted_by_its_own_width() -> None:
    names = [f"Controller{c}-Channel{n}" for c in (0, 1) for n in "ABCD"]
    chips = [slot(name, kind="LPDDR5", speed_mts=6400, width_bits=16) for name in names]
    facts = add_up(chips)
    assert (facts.channels, facts.bandwidth_gbps) == (2, 102.4)
    unnamed = [replace(chip, locator="Motherboard") for chip in chips]
    assert add_up(unnamed).bandwidth_gbps is None
    assert add_up([replace(chip, width_bits=8) for chip in chips]).bandwidth_gbps is None


def test_stacked_memory_and_unknown_speeds_are_not_added_up() -> None:
    assert add_up([slot("DIMM_A1", kind="HBM2")]).bandwidth_gbps is None
    assert add_up([slot("DIMM_A1"), slot("DIMM_B1", speed_mts=None)]) == MemoryFacts()
    assert add_up([]) == MemoryFacts()


@pytest.mark.parametrize(
    "files",
    [
        {"/sys/class/dmi/id/sys_vendor": "QEMU\n"},
        {
            "/sys/class/dmi/id/sys_vendor": "Microsoft Corporation",
            "/sys/class/dmi/id/product_name": "Virtual Machine",
        },
        {"/sys/class/dmi/id/sys_vendor": "Amazon EC2"},
        {"/proc/cpuinfo": "processor\t: 0\nflags\t\t: fpu hypervisor avx2\n"},
    ],
)
def test_the_table_of_a_virtual_machine_describes_nothing(tree: Tree, files: Mapping[str, str]) -> None:
    assert read_memory_modules(with_table(tree(files), structure() + END)) == MemoryFacts()


def test_a_table_that_must_not_be_read_is_silent(tree: Tree) -> None:
    assert read_memory_modules(tree({})) == MemoryFacts()
    here = tree({})
    here.path("/sys/firmware/dmi/tables/DMI").mkdir(parents=True)
    assert read_memory_modules(here) == MemoryFacts()


UDEV = """I:1234
E:MEMORY_ARRAY_NUM_DEVICES=4
E:MEMORY_DEVICE_0_PRESENT=0
E:MEMORY_DEVICE_0_LOCATOR=DIMM_A1
E:MEMORY_DEVICE_1_DATA_WIDTH=64
E:MEMORY_DEVICE_1_SIZE=17179869184
E:MEMORY_DEVICE_1_FORM_FACTOR=DIMM
E:MEMORY_DEVICE_1_LOCATOR=DIMM_A2
E:MEMORY_DEVICE_1_BANK_LOCATOR=BANK 1
E:MEMORY_DEVICE_1_TYPE=<OUT OF SPEC>
E:MEMORY_DEVICE_1_SPEED_MTS=4800
E:MEMORY_DEVICE_1_CONFIGURED_SPEED_MTS=5600
E:MEMORY_DEVICE_3_SIZE=17179869184
E:MEMORY_DEVICE_3_LOCATOR=DIMM_B2
E:MEMORY_DEVICE_3_TYPE=DDR5
E:MEMORY_DEVICE_3_SPEED_MTS=4800
E:MEMORY_DEVICE_3_CONFIGURED_SPEED_MTS=5600
E:MEMORY_DEVICE_4_SIZE=16777216
E:MEMORY_DEVICE_4_TYPE=Flash
"""


def test_what_udev_kept_of_the_table_is_readable_by_everybody(tree: Tree) -> None:
    facts = read_memory_modules(tree({"/run/udev/data/+dmi:id": UDEV}))
    assert (facts.speed_mts, facts.channels, facts.bandwidth_gbps) == (5600, 2, 89.6)


def test_windows_hands_out_the_table_itself(tree: Tree) -> None:
    here = replace(tree({}), platform="win32")
    facts = read_memory_modules(here, firmware=lambda: structure("DIMM_A1") + END)
    assert (facts.channels, facts.bandwidth_gbps) == (1, 25.6)
    system = bytes([1, 27]) + bytes(25) + b"VMware, Inc.\0VMware7,1\0\0"
    assert read_memory_modules(here, firmware=lambda: system + structure("DIMM_A1") + END) == MemoryFacts()


@pytest.mark.parametrize(
    "table",
    [
        b"\x11",
        bytes([17, 0, 0, 0]) * 64,
        bytes([17, 255, 0, 0, 1, 2, 3]),
        bytes([17, 0x15, 0, 0]) + bytes(17),
        structure()[:-1],
        bytes([1, 4, 0, 0]) + b"x" * (2 << 20),
    ],
)
def test_a_table_that_lies_ends_the_reading(table: bytes) -> None:
    assert list(parse_table(table)) == []


def test_no_table_makes_endless_modules() -> None:
    assert len(list(parse_table(structure(length=0x22) * (MAX_MODULES + 50)))) == MAX_MODULES


@given(st.binary(max_size=400))
def test_no_bytes_break_the_parser(noise: bytes) -> None:
    add_up(list(parse_table(noise)))
    add_up(list(parse_table(structure() + noise)))
    add_up(list(parse_table(bytes([17, 0x5C]) + noise + bytes(2))))


@given(st.text(max_size=200))
def test_no_text_breaks_the_reader_of_udev(noise: str) -> None:
    add_up(list(parse_udev(f"E:MEMORY_DEVICE_0_{noise}\n{noise}")))
    add_up(
        list(
            parse_udev(
                f"E:MEMORY_DEVICE_0_SIZE={noise}\nE:MEMORY_DEVICE_0_TYPE=DDR4\nE:MEMORY_DEVICE_0_SPEED_MTS={noise}"
            )
        )
    )
