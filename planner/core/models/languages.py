"""Languages by their ISO 639-1 codes, as catalog entries name them."""

import difflib

from planner.errors import UsageError

_TABLE = """
aa Afar|ab Abkhazian|ae Avestan|af Afrikaans|ak Akan|am Amharic|an Aragonese|ar Arabic|as Assamese|av Avaric|
ay Aymara|az Azerbaijani|ba Bashkir|be Belarusian|bg Bulgarian|bi Bislama|bm Bambara|bn Bengali|bo Tibetan|
br Breton|bs Bosnian|ca Catalan|ce Chechen|ch Chamorro|co Corsican|cr Cree|cs Czech|cu Church Slavic|cv Chuvash|
cy Welsh|da Danish|de German|dv Divehi|dz Dzongkha|ee Ewe|el Greek|en English|eo Esperanto|es Spanish|
et Estonian|eu Basque|fa Persian|ff Fulah|fi Finnish|fj Fijian|fo Faroese|fr French|fy Western Frisian|ga Irish|
gd Scottish Gaelic|gl Galician|gn Guarani|gu Gujarati|gv Manx|ha Hausa|he Hebrew|hi Hindi|ho Hiri Motu|
hr Croatian|ht Haitian|hu Hungarian|hy Armenian|hz Herero|ia Interlingua|id Indonesian|ie Interlingue|ig Igbo|
ii Sichuan Yi|ik Inupiaq|io Ido|is Icelandic|it Italian|iu Inuktitut|ja Japanese|jv Javanese|ka Georgian|
kg Kongo|ki Kikuyu|kj Kuanyama|kk Kazakh|kl Kalaallisut|km Khmer|kn Kannada|ko Korean|kr Kanuri|ks Kashmiri|
ku Kurdish|kv Komi|kw Cornish|ky Kirghiz|la Latin|lb Luxembourgish|lg Ganda|li Limburgish|ln Lingala|lo Lao|
lt Lithuanian|lu Luba-Katanga|lv Latvian|mg Malagasy|mh Marshallese|mi Maori|mk Macedonian|ml Malayalam|
mn Mongolian|mr Marathi|ms Malay|mt Maltese|my Burmese|na Nauru|nb Norwegian Bokmål|nd North Ndebele|ne Nepali|
ng Ndonga|nl Dutch|nn Norwegian Nynorsk|no Norwegian|nr South Ndebele|nv Navajo|ny Chichewa|oc Occitan|
oj Ojibwa|om Oromo|or Oriya|os Ossetian|pa Punjabi|pi Pali|pl Polish|ps Pashto|pt Portuguese|qu Quechua|
rm Romansh|rn Rundi|ro Romanian|ru Russian|rw Kinyarwanda|sa Sanskrit|sc Sardinian|sd Sindhi|se Northern Sami|
sg Sango|si Sinhala|sk Slovak|sl Slovenian|sm Samoan|sn Shona|so Somali|sq Albanian|sr Serbian|ss Swati|
st Southern Sotho|su Sundanese|sv Swedish|sw Swahili|ta Tamil|te Telugu|tg Tajik|th Thai|ti Tigrinya|tk Turkmen|
tl Tagalog|tn Tswana|to Tonga|tr Turkish|ts Tsonga|tt Tatar|tw Twi|ty Tahitian|ug Uighur|uk Ukrainian|ur Urdu|
uz Uzbek|ve Venda|vi Vietnamese|vo Volapük|wa Walloon|wo Wolof|xh Xhosa|yi Yiddish|yo Yoruba|za Zhuang|
zh Chinese|zu Zulu
"""

MULTILINGUAL = "multilingual"
"""What entries of models for a hundred languages say instead of listing them."""
MANY_LANGUAGES = 90
"""How many codes in a file's header are called that too: makers of a hundred name some that have no code."""


def language_names() -> dict[str, str]:
    """Code → English name."""
    pairs = (entry.strip().partition(" ") for entry in _TABLE.replace("\n", "").split("|"))
    return {code: name for code, _, name in pairs}


def parse_language(text: str) -> str:
    """The code that a code or an English name means, without case; “multilingual” stands for itself.

    Raises UsageError `unknown-language` with the nearest names.
    """
    names = language_names()
    known = {**{name.casefold(): code for code, name in names.items()}, MULTILINGUAL: MULTILINGUAL}
    wanted = text.strip().casefold()
    code = wanted if wanted in names else known.get(wanted)
    if code is not None:
        return code
    near = difflib.get_close_matches(wanted[:100], known, n=3, cutoff=0.6)
    near = near or (
        [name.casefold() for code, name in names.items() if code[0] == wanted[:1]] if len(wanted) == 2 else []
    )
    shown = [f"{known[name]} ({names[known[name]]})" if name != MULTILINGUAL else name for name in near[:4]]
    raise UsageError(
        f"There is no language “{text.strip()[:40]}”.",
        hint=f"Did you mean {' or '.join(shown)}?"
        if shown
        else "Give an ISO 639-1 code (de) or an English name (German).",
        reference="unknown-language",
    )
