"""Names of GPUs as providers write them: what they mean, and what stays unknown."""

import pytest

from planner.catalog.loader import Catalog
from planner.catalog.location import data_dir
from planner.catalog.prices import load_snapshot
from planner.core.costs.offer_names import gpu_name, market_slug, snapped_gib, wanted_gpus
from planner.errors import UsageError

SPECS = Catalog(models=(), folder=data_dir()).devices

# Raw names and memory of the recorded answers and of the dated table, with what they are (a size None: not said).
NAMES: list[tuple[str, float | None, str]] = [
    ("RTX 4090", 24564, "rtx-4090"),
    ("RTX_4090", 24564, "rtx-4090"),
    ("NVIDIA GeForce RTX 4090", 24 * 1024, "rtx-4090"),
    ("RTX 4090 (High freq.)", 24 * 1024, "rtx-4090"),
    ("RTX 4090", 49140, "rtx-4090"),
    ("RTX 4090 (48 GB mod)", 48 * 1024, "rtx-4090"),
    ("RTX4090", 24 * 1024, "rtx-4090"),
    ("4090", None, "rtx-4090"),
    ("RTX 3090", 24576, "rtx-3090"),
    ("RTX 3090 Ti", 24564, "rtx-3090-ti"),
    ("RTX 5090", 32607, "rtx-5090"),
    ("NVIDIA GeForce RTX 5090", 32 * 1024, "rtx-5090"),
    ("RTX 5090 D", 32607, "rtx-5090-d"),
    ("RTX 4060", 8188, "rtx-4060"),
    ("RTX 4060 Ti", 8188, "rtx-4060-ti"),
    ("RTX 4060 Ti", 16380, "rtx-4060-ti"),
    ("RTX 3060", 12288, "rtx-3060"),
    ("RTX 3060", 8192, "rtx-3060"),
    ("RTX 3060 Ti", 8192, "rtx-3060-ti"),
    ("RTX 3070", 8192, "rtx-3070"),
    ("NVIDIA GeForce RTX 3070", 8192, "rtx-3070"),
    ("RTX 3070 Ti", 8192, "rtx-3070-ti"),
    ("RTX 3080", 10240, "rtx-3080"),
    ("RTX 3080 Ti", 12288, "rtx-3080-ti"),
    ("RTX 4070", 12282, "rtx-4070"),
    ("RTX 4070S", 12282, "rtx-4070-super"),
    ("RTX 4070 Super", 12282, "rtx-4070-super"),
    ("RTX 4070 Ti", 12282, "rtx-4070-ti"),
    ("RTX 4070S Ti", 16376, "rtx-4070-ti-super"),
    ("RTX 4070 Ti Super", 16384, "rtx-4070-ti-super"),
    ("RTX 4080", 16376, "rtx-4080"),
    ("RTX 4080 (32 GB mod)", 32 * 1024, "rtx-4080"),
    ("RTX 4080S", 16376, "rtx-4080-super"),
    ("4080 Super", None, "rtx-4080-super"),
    ("RTX 5060 Ti", 16311, "rtx-5060-ti"),
    ("RTX 5070", 12288, "rtx-5070"),
    ("RTX 5070 Ti", 16303, "rtx-5070-ti"),
    ("RTX 5080", 16303, "rtx-5080"),
    ("RTX 2060", 6144, "rtx-2060"),
    ("RTX 2080 Ti", 11264, "rtx-2080-ti"),
    ("GTX 1050 Ti", 4096, "gtx-1050-ti"),
    ("GTX 1080", 8192, "gtx-1080"),
    ("GTX 1080 Ti", 11264, "gtx-1080-ti"),
    ("GTX 1660", 6144, "gtx-1660"),
    ("GTX 1660 Super", 6144, "gtx-1660-super"),
    ("Titan RTX", 24576, "titan-rtx"),
    ("RTX A4000", 16376, "rtx-a4000"),
    ("NVIDIA RTX A4000", None, "rtx-a4000"),
    ("RTX A5000", 24564, "rtx-a5000"),
    ("RTX A6000", 49140, "rtx-a6000"),
    ("NVIDIA A6000", 48 * 1024, "rtx-a6000"),
    ("RTX 6000 Ada", 48 * 1024, "rtx-6000-ada"),
    ("RTX 6000Ada", 49140, "rtx-6000-ada"),
    ("RTX 5000Ada", 32760, "rtx-5000-ada"),
    ("NVIDIA RTX 4000 Ada", 20 * 1024, "rtx-4000-ada"),
    ("NVIDIA Quadro RTX 6000", 24 * 1024, "rtx-6000"),
    ("Q RTX 8000", 49152, "rtx-8000"),
    ("Quadro RTX 5000", 16 * 1024, "rtx-5000"),
    ("RTX PRO 6000", 97887, "rtx-pro-6000"),
    ("RTX PRO 6000 WS", 97887, "rtx-pro-6000"),
    ("RTX PRO 6000 WE", 96 * 1024, "rtx-pro-6000"),
    ("NVIDIA RTX 6000 Pro", 96 * 1024, "rtx-pro-6000"),
    ("RTXPRO6000", 96 * 1024, "rtx-pro-6000"),
    ("RTX PRO 6000 S", 97887, "rtx-pro-6000-server"),
    ("NVIDIA RTX Pro 6000 SE", 96 * 1024, "rtx-pro-6000-server"),
    ("RTX PRO 6000 MaxQ", 97887, "rtx-pro-6000-max-q"),
    ("A100 SXM4", 40960, "a100-sxm-40gb"),
    ("A100 SXM4", 81920, "a100-sxm-80gb"),
    ("A100-80GB-SXM", None, "a100-sxm-80gb"),
    ("NVIDIA A100-SXM4-80GB", None, "a100-sxm-80gb"),
    ("A100_SXM_80GB", 80 * 1024, "a100-sxm-80gb"),
    ("A100 PCIE", 40960, "a100-pcie-40gb"),
    ("A100 PCIE", 81920, "a100-pcie-80gb"),
    ("NVIDIA A100 80GB PCIe", 80 * 1024, "a100-pcie-80gb"),
    ("NVIDIA A100", 40 * 1024, "a100-40gb"),
    ("NVIDIA A100 NVLink", 80 * 1024, "a100-80gb"),
    ("Nvidia Tesla A100 80GB GPU attached to Spot Preemptible VMs running in Mumbai", 80 * 1024, "a100-80gb"),
    ("H100 PCIE", 81559, "h100-pcie"),
    ("H100_PCIE", 80 * 1024, "h100-pcie"),
    ("NVIDIA H100 PCIe NVLink", 80 * 1024, "h100-pcie"),
    ("H100 SXM", 81559, "h100-sxm"),
    ("NVIDIA HGX H100", 80 * 1024, "h100-sxm"),
    ("NVIDIA H100 SXM5", 80 * 1024, "h100-sxm"),
    ("NVIDIA H100 80GB HBM3", 80 * 1024, "h100-sxm"),
    ("NVIDIA H100 80GB HBM3", None, "h100-sxm"),
    ("H100 NVL", 95830, "h100-nvl"),
    ("H100NVL", 94 * 1024, "h100-nvl"),
    ("H200NVL", 141 * 1024, "h200-nvl"),
    ("H100", 81559, "h100"),
    ("Nvidia H100 80GB Plus GPU running in Americas", 80 * 1024, "h100"),
    ("H200", 143771, "h200"),
    ("H200", 140 * 1024, "h200"),
    ("NVIDIA H200 SXM5", 141 * 1024, "h200-sxm"),
    ("H200 NVL", 143771, "h200-nvl"),
    ("B200", 183359, "b200"),
    ("NVIDIA B200", 192 * 1024, "b200"),
    ("Spot Preemptible A4 Nvidia B200 (1 gpu slice) running in Americas", 180 * 1024, "b200"),
    ("NVIDIA HGX B300", 288 * 1024, "b300"),
    ("GB300 SXM6", 288 * 1024, "gb300"),
    ("NVIDIA GH200", 96 * 1024, "gh200"),
    ("GB10", 122880, "gb10"),
    ("L4", 24 * 1024, "l4"),
    ("Nvidia L4 GPU running in Mumbai", 24 * 1024, "l4"),
    ("NVIDIA L40", 48 * 1024, "l40"),
    ("L40S", 46068, "l40s"),
    ("NVIDIA A10", 24 * 1024, "a10"),
    ("A10G", 24 * 1024, "a10g"),
    ("NVIDIA A40", 46068, "a40"),
    ("NVIDIA A16", 16 * 1024, "a16"),
    ("NVIDIA A30", 24 * 1024, "a30"),
    ("Tesla T4", 15360, "t4"),
    ("Tesla P40", 24 * 1024, "p40"),
    ("Tesla V100 SXM2", 16 * 1024, "v100-sxm-16gb"),
    ("Tesla V100", 32 * 1024, "v100-32gb"),
    ("AMD MI300X", 192 * 1024, "mi300x"),
    ("Instinct MI300X", 196592, "mi300x"),
    ("MI355X", 288 * 1024, "mi355x"),
]  # fmt: skip


@pytest.mark.parametrize(("raw", "memory_mib", "slug"), NAMES, ids=str)
def test_a_name_means_its_gpu(raw: str, memory_mib: float | None, slug: str) -> None:
    assert gpu_name(raw, None if memory_mib is None else memory_mib / 1024, SPECS).slug == slug


def test_more_than_eighty_names_are_looked_at() -> None:
    assert len({raw for raw, _, _ in NAMES}) >= 80


def test_every_name_of_the_dated_table_is_known() -> None:
    dated = load_snapshot()
    assert dated is not None
    names = {(quote.gpu_raw, quote.vram_each_gib) for quote in dated.offers}
    assert len(names) > 150
    assert [raw for raw, gib in names if gpu_name(raw, gib, SPECS).slug is None] == []


@pytest.mark.parametrize("raw", ["Frobnicator 9", "", "GPU", "RTX 99999", "NVIDIA A100 80GB PCIe MIG 1g.10gb", "☃"])
def test_an_unknown_name_is_never_guessed(raw: str) -> None:
    assert gpu_name(raw, 24.0, SPECS).slug is None


def test_the_memory_of_the_row_tells_the_device_apart() -> None:
    assert gpu_name("RTX 4060 Ti", 16380 / 1024, SPECS).device == "geforce-rtx-4060-ti-16gb"
    assert gpu_name("RTX 4060 Ti", 8188 / 1024, SPECS).device == "geforce-rtx-4060-ti-8gb"
    assert gpu_name("RTX 3060", 8.0, SPECS).device == "geforce-rtx-3060-8gb"


def test_where_the_form_factor_is_left_open_the_slowest_is_taken_and_it_is_said() -> None:
    found = gpu_name("NVIDIA H100", 80.0, SPECS)
    assert (found.slug, found.device, found.form_open) == ("h100", "h100-pcie-80gb", True)
    assert not gpu_name("NVIDIA H100 SXM5", 80.0, SPECS).form_open


def test_memory_is_that_of_the_label_unless_the_card_is_a_modified_one() -> None:
    assert snapped_gib(24564 / 1024, 24.0) == 24.0
    assert snapped_gib(46068 / 1024, 48.0) == 48.0
    assert snapped_gib(49140 / 1024, 24.0) == 48.0  # an RTX 4090 with twice its memory
    assert snapped_gib(95830 / 1024, None) == 94.0
    assert snapped_gib(36.0, None) == 36.0
    assert snapped_gib(None, 24.0) == 24.0


def test_short_names_are_those_people_use() -> None:
    assert market_slug("geforce-rtx-3060-12gb") == "rtx-3060"
    assert market_slug("rtx-6000-ada-generation") == "rtx-6000-ada"
    assert market_slug("quadro-rtx-6000") == "rtx-6000"
    assert market_slug("rtx-pro-6000-blackwell-server") == "rtx-pro-6000-server"


def asked(text: str, raw: str, gib: float, *offered: str) -> bool:
    found = gpu_name(raw, gib, SPECS)
    return wanted_gpus(text, SPECS, offered={raw, *offered})(raw, found.device)


def test_a_gpu_that_is_asked_for_is_found_in_every_form_but_not_its_namesakes() -> None:
    assert asked("H100", "H100_PCIE", 80)
    assert asked("H100", "H100 NVL", 94)
    assert asked("h100-nvl", "H100 NVL", 94)
    assert not asked("H100 PCIe", "H100 NVL", 94)
    assert asked("A100 40GB", "A100 SXM4", 40)
    assert not asked("A100 40GB", "A100 SXM4", 80)
    assert not asked("RTX 4060", "RTX 4060 Ti", 8)
    assert asked("rtx 4090", "RTX_4090", 24)
    assert asked("RTX 4070 Ti Super", "RTX 4070S Ti", 16)
    assert not asked("RTX 4070 Super", "RTX 4070S Ti", 16)


def test_a_gpu_no_table_has_can_be_asked_for_where_it_is_offered() -> None:
    assert asked("Frobnicator 9", "NVIDIA Frobnicator 9", 24)
    with pytest.raises(UsageError, match="No device named") as raised:
        asked("Frobnicator 10", "NVIDIA Frobnicator 9", 24)
    assert raised.value.reference == "unknown-gpu"
