"""What publishers write as a licence, as SPDX id and as an answer to: may it be used commercially?

The words are the Hub's (`license:` tags, `general.license` of a GGUF). What is not here is unknown, not allowed.
"""

import re

from planner.core.models.model import Commercial, Licence

_YES = ("Apache-2.0", "MIT", "BSD-2-Clause", "BSD-3-Clause", "CC0-1.0", "CC-BY-4.0", "Unlicense", "ISC")
_CONDITIONS = ("CC-BY-SA-4.0", "GPL-3.0-only", "AGPL-3.0-only", "LGPL-3.0-only")
_NO = ("CC-BY-NC-4.0", "CC-BY-NC-SA-4.0", "CC-BY-NC-ND-4.0", "CC-BY-NC-3.0", "CC-BY-NC-2.0")
_OWN_TERMS = {
    "gemma": "LicenseRef-Gemma-Terms",
    "llama2": "LicenseRef-Llama-2-Community",
    "llama3": "LicenseRef-Llama-3-Community",
    "llama3.1": "LicenseRef-Llama-3.1-Community",
    "llama3.2": "LicenseRef-Llama-3.2-Community",
    "llama3.3": "LicenseRef-Llama-3.3-Community",
}
_SHORT = {"gpl-3.0": "GPL-3.0-only", "agpl-3.0": "AGPL-3.0-only", "lgpl-3.0": "LGPL-3.0-only"}
_KNOWN = {
    **{spdx.lower(): Licence(spdx, Commercial.YES) for spdx in _YES},
    **{spdx.lower(): Licence(spdx, Commercial.CONDITIONAL) for spdx in _CONDITIONS},
    **{spdx.lower(): Licence(spdx, Commercial.NO) for spdx in _NO},
    **{word: Licence(spdx, Commercial.CONDITIONAL) for word, spdx in _OWN_TERMS.items()},
    **{spdx.lower(): Licence(spdx, Commercial.CONDITIONAL) for spdx in _OWN_TERMS.values()},
}
UNKNOWN = Licence("LicenseRef-unknown", Commercial.UNKNOWN)


def licence_of(text: str | None) -> Licence:
    """The licence a word stands for; `LicenseRef-…` with unknown terms for a word that says nothing."""
    word = (text or "").strip().lower()
    known = _KNOWN.get(_SHORT.get(word, word).lower())
    if known is not None:
        return known
    name = re.sub(r"[^A-Za-z0-9.-]+", "-", (text or "").strip())[:60].strip("-.")
    if not name or name.lower() in {"other", "unknown"}:
        return UNKNOWN
    return Licence(name if name.startswith("LicenseRef-") else f"LicenseRef-{name}", Commercial.UNKNOWN)


def tagged_licence(tags: tuple[str, ...]) -> str | None:
    """The licence that the tags of a page on the Hub name (`license:mit`)."""
    return next((tag.partition(":")[2] for tag in tags if tag.startswith("license:")), None)
