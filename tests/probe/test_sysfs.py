"""What the probes of all vendors have in common: cards in sysfs, PCI ids, rows, device nodes."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from planner.core.machines.hardware import DeviceKind, DeviceSpec, Vendor
from planner.probe.access import Access, in_container, node_access
from planner.probe.amd.gpus import probe_amd
from planner.probe.intel import probe_intel
from planner.probe.pci.cards import AMD, PciCard, card_name, graphics_cards, pci_address
from planner.probe.pci.match import Match, match_card
from planner.probe.surroundings import Finding, Surroundings
from planner.units import GIB
from tests.probe import sysfs_trees as trees
from tests.probe.sysfs_trees import gpu

Tree = Callable[[Mapping[str, str]], Surroundings]
Specs = tuple[DeviceSpec, ...]


def row(slug: str, gib: float | None, gbps: float | None, *ids: str, **more: object) -> DeviceSpec:
    basis: dict[str, object] = {
        "slug": slug, "name": f"Radeon RX {slug.upper()}", "vendor": Vendor.AMD, "kind": DeviceKind.DISCRETE,
        "memory_gib": gib,
        "memory_bandwidth_gbps": gbps, "fp32_tflops": 10.0, "fp16_tflops": 20.0, "source": {"*": "made up"},
        "pci_ids": ids,
    }  # fmt: skip
    return msgspec.convert(basis | more, DeviceSpec)


ROWS = (
    row("x9", 24, 900, "1002:1111", "1002:1111:c8"),
    row("x8", 20, 800, "1002:1111", "1002:1111:cc"),
    row("x7", 16, 600, "1002:1111"),
    row("x7m", 16, 500, "1002:1111"),
    row("y2", 16, 510, "1002:2222", fp16_tflops=30.0),
    row("y1", 8, 500, "1002:2222"),
    row("z", 8, 300, "1002:3333:01"),
)


def look_up(device: int, revision: int | None = None, **known: object) -> Match:
    card = PciCard(Path("/"), AMD, device, revision, None, None)
    return match_card(card, ROWS, **known)  # type: ignore[arg-type]


# --- rows ----------------------------------------------------------------------------------------------------------


def slug(match: Match) -> str | None:
    return None if match.spec is None else match.spec.slug


def test_a_revision_decides_before_everything_else() -> None:
    assert slug(look_up(0x1111, 0xC8)) == "x9"
    assert slug(look_up(0x1111, 0xCC, names=["Radeon RX X9"])) == "x8"


def test_a_revision_of_another_size_is_not_believed() -> None:
    assert slug(look_up(0x1111, 0xC8, memory_bytes=20 * GIB)) == "x8"
    # A size that no row has says nothing against it: a modified card.
    assert slug(look_up(0x1111, 0xC8, memory_bytes=48 * GIB)) == "x9"


@pytest.mark.parametrize(("gib", "wanted"), [(24, "x9"), (22.5, "x9"), (20, "x8"), (16, None), (12, None)])
def test_memory_decides_between_rows_within_the_tolerance(gib: float, wanted: str | None) -> None:
    assert slug(look_up(0x1111, 0x00, memory_bytes=round(gib * GIB))) == wanted


def test_a_name_decides_what_memory_leaves_open() -> None:
    assert slug(look_up(0x1111, memory_bytes=16 * GIB, names=["Navi [Radeon RX X9/Radeon RX X7M]"])) == "x7m"
    assert slug(look_up(0x1111, memory_bytes=16 * GIB, names=["Something else", "Radeon RX X7"])) == "x7"


def test_rows_that_tie_and_differ_are_unknown_and_named() -> None:
    match = look_up(0x1111, memory_bytes=16 * GIB)
    assert (match.spec, match.name) == (None, None)
    assert match.candidates == "Radeon RX X7 or Radeon RX X7M"


def test_of_rows_that_tie_and_agree_the_lesser_is_taken() -> None:
    match = look_up(0x2222)
    assert slug(match) == "y1"
    assert match.name == "Radeon RX Y1 or Radeon RX Y2"


def test_a_row_with_one_revision_serves_others_where_no_row_is_nearer() -> None:
    assert slug(look_up(0x3333, 0x02)) == "z"
    assert slug(look_up(0x4444)) is None


def test_a_card_in_no_row_is_known_by_its_name() -> None:
    assert slug(look_up(0x4444, names=["Nothing", "Radeon RX X9/Radeon RX X8"], memory_bytes=20 * GIB)) == "x8"


def test_an_amd_card_of_known_revision_and_size_always_has_a_bandwidth(specs: Specs) -> None:
    rows = tuple(spec for spec in specs if spec.vendor is Vendor.AMD and spec.memory_gib is not None)
    unclear = []
    for spec in rows:
        for text in spec.pci_ids:
            vendor, device, *revision = (int(part, 16) for part in text.split(":"))
            if revision:
                card = PciCard(Path("/"), vendor, device, revision[0], None, None)
                match = match_card(card, rows, memory_bytes=round((spec.memory_gib or 0) * GIB))
                assert spec in match.rows
                unclear += [text] if match.spec is None else []
    assert unclear == []


# --- cards ---------------------------------------------------------------------------------------------------------


def test_the_pci_list_serves_where_there_is_no_drm(specs: Specs, tree: Tree) -> None:
    files = {
        "/sys/bus/pci/devices/0000:03:00.0/vendor": "0x1002",
        "/sys/bus/pci/devices/0000:03:00.0/device": "0x74a1",
        "/sys/bus/pci/devices/0000:03:00.0/class": "0x038000",
        "/sys/bus/pci/devices/0000:04:00.0/vendor": "0x1002",
        "/sys/bus/pci/devices/0000:04:00.0/device": "0x1480",
        "/sys/bus/pci/devices/0000:04:00.0/class": "0x060000",
        "/sys/bus/pci/devices/0000:05:00.0/vendor": "0x1002",
        "/sys/bus/pci/devices/0000:05:00.0/device": "0x74a1",
        "/sys/bus/pci/devices/0000:05:00.0/class": "0x120000",
    }
    devices = probe_amd(tree(files), specs).devices
    assert [(d.pci_id, d.usable) for d in devices] == [("0000:03:00.0", False), ("0000:05:00.0", False)]


def test_intels_accelerators_for_neural_networks_are_no_graphics(specs: Specs, tree: Tree) -> None:
    files = gpu(0x8086, 0x7D1D, driver="intel_vpu", kind=0x120000)
    files = {name: text for name, text in files.items() if "drm" not in name}
    assert probe_intel(tree(files), specs, host_memory_bytes=GIB) == Finding()


def test_one_card_seen_in_both_lists_is_one(tree: Tree) -> None:
    (card,) = graphics_cards(tree(trees.RX_7900_XTX), AMD)
    assert (card.address, card.driver, card.render_node) == ("0000:03:00.0", "amdgpu", "renderD128")
    assert (card.vendor, card.device, card.revision) == (AMD, 0x744C, 0xC8)
    assert card.drm is not None


def test_a_card_of_an_older_recording_has_its_driver_and_node_too(tree: Tree) -> None:
    (card,) = graphics_cards(
        tree(
            {
                "/sys/class/drm/card1/device/vendor": "0x1002",
                "/sys/class/drm/card1/device/device": "0x744c",
                "/sys/class/drm/card1/device/driver": "-> ../../../../bus/pci/drivers/amdgpu",
                "/sys/class/drm/renderD129/device": "-> ../card1/device",
            }
        ),
        AMD,
    )
    assert (card.address, card.driver, card.render_node) == (None, "amdgpu", "renderD129")


def test_no_cards_no_words(specs: Specs, tree: Tree) -> None:
    here = tree(trees.NOTHING)
    assert probe_amd(here, specs) == Finding()
    assert probe_intel(here, specs, host_memory_bytes=GIB) == Finding()


def test_the_drivers_name_comes_before_the_databases(tree: Tree) -> None:
    ids = {"/usr/share/libdrm/amdgpu.ids": "1.0.0\n744C,\tC8,\tAMD Radeon RX 7900 XTX\n744C,\tCC,\tother\n"}
    here = tree(trees.RX_7900_XTX | trees.DATABASE | ids)
    (card,) = graphics_cards(here, AMD)
    assert card_name(here, card) == "AMD Radeon RX 7900 XTX"
    assert card_name(here, replace(card, revision=1)) == "Radeon RX 7900 XT/7900 XTX/7900 GRE/7900M"
    (card.folder / "product_name").write_text("Radeon PRO W7900\n")
    assert card_name(here, card) == "Radeon PRO W7900"


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("00000000:01:00.0", "0000:01:00.0"),
        ("0000:0A:00.1", "0000:0a:00.1"),
        ("00010000:01:00.0", "10000:01:00.0"),
        ("card0", None),
        ("", None),
    ],
)
def test_addresses_have_one_form(text: str, address: str | None) -> None:
    assert pci_address(text) == address


# --- device nodes --------------------------------------------------------------------------------------------------


def test_nothing_is_known_of_nodes_in_a_tree_without_them(tree: Tree) -> None:
    assert node_access(tree({}), "renderD128") == Access()


def test_a_folder_of_nodes_without_the_cards_is_no_access(tree: Tree) -> None:
    access = node_access(tree({"/dev/dri/renderD128": ""}), "renderD129")
    assert access == Access(render="/dev/dri/renderD129 is missing (the driver has not made it)")


@pytest.mark.parametrize("mark", ["/.dockerenv", "/run/.containerenv", "/run/systemd/container"])
def test_containers_are_told_by_their_marks(tree: Tree, mark: str) -> None:
    assert in_container(tree({mark: ""}))


def test_a_pod_is_a_container_and_a_machine_is_none(tree: Tree) -> None:
    here = tree({"/etc/hostname": "box"})
    assert not in_container(here)
    assert in_container(replace(here, environ={"KUBERNETES_SERVICE_HOST": "10.0.0.1"}))
