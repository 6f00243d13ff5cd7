"""The languages whose words Postgres can stem, and a guess at which of them a text is in."""

import re
from collections import Counter
from typing import Final, Literal, get_args

Language = Literal["simple", "dutch", "english", "french", "german", "italian", "portuguese", "spanish"]
LANGUAGES: Final[tuple[Language, ...]] = get_args(Language)
"""Names of Postgres's text search configurations; `simple` takes words of any language as they are."""

_SAMPLE = 20_000  # characters
_WORDS = re.compile(r"[^\W\d_]+")
# Frequent words that few of the other languages have.
_TYPICAL: dict[Language, str] = {
    "dutch": "het een van niet zijn voor met wordt deze bij naar ook maar worden onze",
    "english": "the and of to that with for this are from your our which have will",
    "french": "les des est dans pour une qui sur pas avec vous nous sont cette aux",
    "german": "der die und das nicht mit ist den von ein für auf werden wir sich",
    "italian": "il che di per sono della con gli nel una più anche questo alla degli",
    "portuguese": "os não uma para com são mais dos das pelo nossa também você ao isso",
    "spanish": "los las una para con más del por está como nuestro también pero sus este",
}
_LANGUAGE_OF: dict[str, list[Language]] = {}
for _language, _words in _TYPICAL.items():
    for _word in _words.split():
        _LANGUAGE_OF.setdefault(_word, []).append(_language)


def guess_language(text: str) -> Language:
    """`simple` unless one language's words are frequent, and clearly more so than any other's."""
    words = _WORDS.findall(text[:_SAMPLE].lower())
    counts = Counter(language for word in words for language in _LANGUAGE_OF.get(word, ()))
    ((best, most), (_, second)) = (*counts.most_common(2), ("simple", 0), ("simple", 0))[:2]
    return best if most >= max(3, 0.04 * len(words)) and most >= 1.5 * second else "simple"
