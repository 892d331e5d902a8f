"""The CSV files that gpuhunt publishes: list and spot prices of the large clouds, made about hourly.

`…/{provider}/version` is a text like `20260818-42`, the only date; `…/{provider}/{version}/catalog.zip` holds
`{provider}.csv`. `price` is USD per hour of the whole instance, `gpu_memory` GiB per GPU, `spot` True or False.
The bucket is public; the package itself is not needed.
"""

import datetime as dt
import io
import re
from collections.abc import Iterable, Iterator, Mapping

from planner.core.costs.offers import Quote
from planner.errors import RemoteError
from planner.prices.parsing import iso, price, real, text, unreadable, whole
from planner.prices.provider import Answer, Asking, Part, Wanted

URL = "https://dstack-gpu-pricing.s3.eu-west-1.amazonaws.com/v3"
CLOUDS = ("aws", "azure", "gcp", "oci", "nebius", "verda", "lambdalabs", "cloudrift")
"""Those that have no module of their own here; six of them with spot prices."""
_OUR_NAMES = {"lambdalabs": "lambda"}
_VERSION = re.compile(r"(\d{4})(\d{2})(\d{2})-\d{1,6}", re.ASCII)
_LARGEST_CSV_BYTES = 64 * 2**20


class CsvCatalog:
    """A part is a cloud; its version is asked for first, so that an unchanged file is not fetched again."""

    name = "gpuhunt"
    key_name = None
    workers = 4
    requests_a_minute = None
    instead_of = None

    def __init__(self, url: str = URL) -> None:
        self._url = url.rstrip("/")

    def parts(self, wanted: Wanted) -> tuple[str, ...]:
        """Every cloud; none where only a tier is wanted that they do not have."""
        return CLOUDS if not wanted.tiers or {"on-demand", "spot"} & set(wanted.tiers) else ()

    def fetch(
        self, part: str, client: Asking, *, now: float, before: Part | None, key: str | None, requests: int
    ) -> Part:
        """One cloud's newest file."""
        version = client.get(f"{self._url}/{part}/version").body.decode("ascii", "replace").strip()
        day = _VERSION.fullmatch(version)
        if day is None:
            raise unreadable("gpuhunt's catalog", f"a version of {part}")
        if before is not None and before.validators.get("version") == version:
            return Part(fetched_at=now, quotes=before.quotes, validators=before.validators)
        address = f"{self._url}/{part}/{version}/catalog.zip"
        answer = client.get(address)
        observed_at = _made(answer, "-".join(day.groups()), now)
        rows = _gpu_rows(_unpacked(answer.body, part), part)
        quotes = tuple(_quotes(rows, _OUR_NAMES.get(part, part), observed_at=observed_at, address=address))
        if not quotes:
            raise unreadable("gpuhunt's catalog", f"a GPU of {part}")
        return Part(fetched_at=now, quotes=quotes, validators={"version": version})


def _made(answer: Answer, day: str, now: float) -> str:
    """When the file was written, as its server says; else the day of its version."""
    from email.utils import parsedate_to_datetime  # noqa: PLC0415  # 7 ms that answers from the cache need not pay

    try:
        made = parsedate_to_datetime(answer.headers.get("last-modified", "")).astimezone(dt.UTC).timestamp()
    except (ValueError, TypeError, OverflowError):
        return day
    return iso(min(made, now))


def _unpacked(body: bytes, part: str) -> str:
    """The CSV inside the archive; it is read no further than any such file is long."""
    import zipfile  # noqa: PLC0415  # 10 ms that answers from the cache need not pay

    try:
        with zipfile.ZipFile(io.BytesIO(body)) as archive, archive.open(f"{part}.csv") as file:
            content = file.read(_LARGEST_CSV_BYTES + 1)
    except Exception as error:
        # BadZipFile, zlib.error, KeyError, NotImplementedError, RuntimeError: whatever is wrong with the archive.
        raise unreadable("gpuhunt's catalog", f"a readable file of {part}") from error
    if len(content) > _LARGEST_CSV_BYTES:
        raise RemoteError(f"The file of {part} in gpuhunt's catalog is too large to be one.", reference="bad-answer")
    return content.decode("utf-8", "replace")


def _gpu_rows(content: str, part: str) -> Iterator[dict[str, str]]:
    """The rows that name a GPU; most of a large cloud's name none, and are not looked at further."""
    import csv  # noqa: PLC0415  # 4 ms that answers from the cache need not pay

    lines = csv.reader(io.StringIO(content))
    try:
        head = next(lines, [])
        place = head.index("gpu_name") if "gpu_name" in head else len(content)
        for line in lines:
            if len(line) > place and line[place]:
                yield dict(zip(head, line, strict=False))
    except csv.Error as error:
        raise unreadable("gpuhunt's catalog", f"a readable file of {part}") from error


def _quotes(rows: Iterable[Mapping[str, str]], provider: str, *, observed_at: str, address: str) -> Iterator[Quote]:
    """The rows with a GPU, each region of its own."""
    seen: set[tuple[object, ...]] = set()
    for row in rows:
        name, count, cost = text(row.get("gpu_name")), whole(row.get("gpu_count")), price(row.get("price"))
        if (
            name is None
            or not count
            or cost is None
            or (row.get("gpu_vendor") or "nvidia") in {"google", "tenstorrent"}
        ):
            continue
        spot = (row.get("spot") or "").strip().lower() == "true"
        quote = Quote(
            provider=provider,
            tier="spot" if spot else "on-demand",
            interruptible=spot,
            gpu_raw=name,
            gpu_count=count,
            vram_each_gib=real(row.get("gpu_memory")),
            price_hour_usd=cost,
            observed_at=observed_at,
            source=address,
            instance=text(row.get("instance_name")),
            region=text(row.get("location")),
        )
        # Azure and Nebius list an instance once per disk or zone.
        key = (quote.instance, quote.region, quote.interruptible, quote.price_hour_usd)
        if key not in seen:
            seen.add(key)
            yield quote
