"""The offers there are: what providers said lately, and dated rows where nobody did."""

from collections.abc import Collection, Iterable, Mapping, Sequence

import msgspec

from planner.core.costs.offers import Offer, Quote, Staleness, compared, single_offers
from planner.core.machines.hardware import DeviceSpec


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """Where the prices of a source come from and how old they are (seconds; None where there are none).

    `status`: `fresh` (less than an hour old), `partial` (some of it is), `stale` (at most a day old), `snapshot`
    (dated rows that ship with the catalog), `none`. `note` says what went wrong, if anything.
    """

    name: str
    status: str
    age_s: int | None
    note: str = ""


class Market(msgspec.Struct, frozen=True, kw_only=True):
    """Everything known, unfiltered. `as_of` is the newest observation, None without any."""

    offers: tuple[Offer, ...]
    origins: tuple[Origin, ...]
    as_of: str | None
    snapshot_note: str = ""

    @property
    def oldest(self) -> str | None:
        """The oldest observation."""
        return min((offer.quote.observed_at for offer in self.offers), default=None)


def combined(
    recent: Sequence[tuple[Quote, Staleness]],
    dated: Iterable[Quote],
    specs: Sequence[DeviceSpec],
    *,
    complete: Collection[str],
) -> tuple[Offer, ...]:
    """Recent quotes, and dated ones of what they leave open.

    A provider of which everything is known lately (`complete`) has no dated rows: what it no longer lists is not for
    rent. Of one that answered in part, the dated rows of GPUs that the answer has are left out.
    """
    seen = single_offers(recent, specs)
    covered = {(offer.quote.provider, *offer.same_gpu) for offer in seen}
    open_rows = [(quote, _DATED) for quote in dated if quote.provider not in complete]
    kept = [
        offer for offer in single_offers(open_rows, specs) if (offer.quote.provider, *offer.same_gpu) not in covered
    ]
    return compared([*seen, *kept])


_DATED: Staleness = "snapshot"


def origins_of(
    offers: Iterable[Offer],
    sources: Iterable[Origin],
    *,
    brings: Mapping[str, Collection[str]],
    ages_s: Mapping[str, int],
) -> tuple[Origin, ...]:
    """A line per source that was looked at, then one per provider that only dated rows know.

    `brings` names the providers behind a source, `ages_s` the age of a provider's newest dated row.
    """
    dated = {offer.quote.provider for offer in offers if offer.staleness == "snapshot"}
    lines = []
    behind: set[str] = set()
    for source in sources:
        names = set(brings.get(source.name, ()))
        behind |= names
        if source.status == "none" and names & dated:
            age = min((ages_s[name] for name in names & dated if name in ages_s), default=None)
            lines.append(msgspec.structs.replace(source, status="snapshot", age_s=age))
        else:
            lines.append(source)
    lines += [Origin(name=name, status="snapshot", age_s=ages_s.get(name)) for name in sorted(dated - behind)]
    return tuple(lines)
