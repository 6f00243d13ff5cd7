"""Whether a text's numbers are computed ones: every number in it must be one of the facts, as it stands or rounded.

A number counts when it is a fact's, written with any thousands separator, as a percentage where it is a ratio, with a
word such as million, or rounded to no fewer than two digits. Digits of any script are read. Names and days that stand
in the facts may be quoted, whatever digits they have. Of number words only English ones are known.
"""

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import ROUND_HALF_EVEN, ROUND_HALF_UP, Decimal
from typing import Any, Final, NamedTuple

# Facts whose value is a share, so that it may be said in percent; every other one that is no whole number may too.
_SHARES: Final = frozenset(
    {"ctr", "cvr", "roas", "roi", "rate", "relative", "difference", "low", "high", "p", "always_valid_p", "adjusted_p"}
    | {"alpha", "effect", "confidence", "probability_best", "weights"}
)
# Facts that have a direction, which words may say instead of a sign: "fell by 12 %".
_DIRECTED: Final = frozenset({"relative", "absolute", "difference", "z", "score"})
_NAMES: Final = frozenset({"name", "title", "brand", "key", "a", "b", "winner", "channels"})
_MONEY = re.compile(r"-?\d+\.\d{6}")
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")

_NUMBER = re.compile(
    r"""(?P<sign>(?<![\w.,)%])[-+\u2212\u2013])?
        (?P<digits>\d{1,3}(?P<mark>[.,'\u2019 ])\d{3}(?:(?P=mark)\d{3})*(?:[.,]\d+)?(?!\d|e[-+]?\d)
          | \d{1,2}(?:,\d{2})+,\d{3}(?:\.\d+)?(?!\d)
          | (?:\d+(?:[.,]\d+)?|\.\d+)(?:[eE][-+]?\d+)?)
        (?:\s?(?P<percent>%|per\s?cent|percentage\spoints?|prozent\w*|procent\w*|pour\scent|por\sciento|per\scento|pp\b)
          |[\s-]?(?P<scale>(?:k|thousand|tsd|tausend|mille|mil|m|mn|mio|millions?|millionen|millones|bn|mrd|billions?
                            |milliard\w*)\b))?""",
    re.VERBOSE | re.IGNORECASE,
)
_FINEST, _LARGEST = 10, 16  # decimals and digits before them that are rounded; together no more than a Decimal has
_SCALES: Final = {"k": 3, "th": 3, "ts": 3, "ta": 3, "m": 6, "mn": 6, "mio": 6, "b": 9, "mrd": 9, "milliard": 9}
_WORDS: Final = {
    word: Decimal(value)
    for value, words in {
        "0": "zero", "0.5": "half halves halved", "2": "two twice double doubled doubles", "4": "four quadrupled",
        "3": "three thrice triple tripled triples", "5": "five", "6": "six", "7": "seven", "8": "eight", "9": "nine",
        "10": "ten tenfold", "11": "eleven", "12": "twelve dozen dozens", "13": "thirteen", "14": "fourteen",
        "15": "fifteen", "16": "sixteen", "17": "seventeen", "18": "eighteen", "19": "nineteen", "20": "twenty",
        "30": "thirty", "40": "forty", "50": "fifty", "60": "sixty", "70": "seventy", "80": "eighty", "90": "ninety",
        "100": "hundred hundreds", "1000": "thousand thousands", "1000000": "million millions",
        "1000000000": "billion billions",
    }.items()
    for word in words.split()
}  # fmt: skip
_WORD = re.compile(rf"\b(?:{'|'.join(_WORDS)})\b", re.IGNORECASE)


class Value(NamedTuple):
    number: Decimal
    share: bool
    directed: bool


@dataclass(frozen=True)
class Computed:
    """What a text may quote of some facts."""

    values: set[Value] = field(default_factory=set)
    names: set[str] = field(default_factory=set)
    days: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> "Computed":
        computed = cls()
        computed._collect("", facts)
        return computed

    def _collect(self, key: str, fact: Any) -> None:
        if isinstance(fact, Mapping):
            for name, value in fact.items():
                if name != "id":
                    self._collect(name, value)
        elif isinstance(fact, list | tuple):
            for value in fact:
                self._collect(key, value)
        elif isinstance(fact, str):
            self._collect_text(key, fact)
        elif isinstance(fact, int | float) and not isinstance(fact, bool):
            number = Decimal(repr(fact))
            share = key in _SHARES or number != number.to_integral_value()
            self.values.add(Value(number, share, key in _DIRECTED))

    def _collect_text(self, key: str, text: str) -> None:
        if key in _NAMES and any(character.isdigit() for character in text):
            self.names.add(" ".join(plain(text).split()))
        if _MONEY.fullmatch(text):
            self.values.add(Value(Decimal(text), share=False, directed=key in _DIRECTED))
        elif key not in _NAMES and _DAY.match(text):
            self.days.add(text[:10])


def uncomputed(texts: Sequence[str], computed: Computed, *, english: bool = True) -> list[str]:
    """The numbers in these texts that are none of the computed ones, each as it is written there, once."""
    found = dict.fromkeys(one for text in texts for one in _uncomputed(text, computed, english=english))
    return list(found)


def plain(text: str) -> str:
    """Digits of every script as ASCII ones, spaces of every width as spaces, and nothing invisible."""
    visible = "".join(c for c in unicodedata.normalize("NFKC", text) if unicodedata.category(c) != "Cf")
    return "".join(str(unicodedata.decimal(c)) if c.isdecimal() else c for c in visible)


def _uncomputed(text: str, computed: Computed, *, english: bool) -> Iterator[str]:
    rest = _without_quotes(" ".join(plain(text).split()), computed)
    taken: list[tuple[int, int]] = []
    for match in _NUMBER.finditer(rest):
        taken.append(match.span())
        if not _is_computed(match, computed):
            yield match[0].strip()
    for match in _WORD.finditer(rest) if english else ():
        if not any(start <= match.start() < end for start, end in taken):  # the million of a number
            number = _WORDS[match[0].lower()]
            if not any(_matches(value, number, 0, percent=False, exponent=0) for value in computed.values):
                yield match[0]


def _without_quotes(text: str, computed: Computed) -> str:
    """Without the names and days of the facts. A name that is all digits must be said to be one."""
    for name in sorted(computed.names, key=len, reverse=True):
        quoted = re.escape(name)
        if any(character.isalpha() for character in name):
            pattern = rf"(?<!\w){quoted}(?!\w)"
        else:
            pattern = rf"(?:variant|channel)\s{quoted}(?![\w%]|[.,]\d)|[\"'\u201c\u2018]{quoted}[\"'\u201d\u2019]"
        text = re.sub(pattern, "_", text, flags=re.IGNORECASE)
    return _DAY.sub(lambda day: "_" if day[0] in computed.days else day[0], text)


def _is_computed(match: re.Match[str], computed: Computed) -> bool:
    sign = {"+": 1, None: 0}.get(match["sign"], -1)
    percent, exponent = match["percent"] is not None, _exponent(match["scale"])
    readings = _readings(match["digits"], match["mark"])
    return any(_matches(value, written, sign, percent, exponent) for written in readings for value in computed.values)


def _readings(digits: str, mark: str | None) -> Iterator[Decimal]:
    """A mark before three digits may be one of thousands or of decimals."""
    if mark is None and digits.count(",") < 2:
        yield Decimal(digits.replace(",", "."))
        return
    whole, decimals = digits, ""
    if mark is None:  # as in 12,34,567.89
        whole, _, decimals = digits.partition(".")
    elif (last := max(digits.rfind("."), digits.rfind(","))) >= 0 and digits[last] != mark:
        whole, decimals = digits[:last], digits[last + 1 :]
    together = re.sub(r"\D", "", whole)
    yield Decimal(f"{together}.{decimals}" if decimals else together)
    if not decimals and mark in {".", ","} and digits.count(mark) == 1:
        yield Decimal(digits.replace(mark, "."))


def _exponent(scale: str | None) -> int:
    if scale is None:
        return 0
    word = scale.lower()
    if word in {"mil", "mille"}:
        return 3
    return next(_SCALES[start] for start in sorted(_SCALES, key=len, reverse=True) if word.startswith(start))


def _matches(value: Value, written: Decimal, sign: int, percent: bool, exponent: int) -> bool:
    number = value.number
    if percent:
        if not value.share:
            return False
        number *= 100
    if sign * number < 0 or (sign == 0 and number < 0 and not value.directed):
        return False
    number = abs(number).scaleb(-exponent)
    if number == written:
        return True
    decimals = -min(int(written.as_tuple().exponent), 0)
    if not written or len(written.as_tuple().digits) < 2 or decimals > _FINEST or number.adjusted() > _LARGEST:
        return False
    places = Decimal(1).scaleb(-decimals)
    return written in {number.quantize(places, rounding) for rounding in (ROUND_HALF_UP, ROUND_HALF_EVEN)}
