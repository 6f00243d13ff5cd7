"""The language that selects leads, from text to a tree. docs/leads.md has its grammar.

consent = granted and tags has "vip" and not (domain = "example.com" or attributes.visits < 3)
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Literal, NamedTuple, TypeAlias

MAX_LENGTH = 4000  # characters
MAX_TOKENS = 1000
MAX_COMPARISONS = 100
MAX_DEPTH = 20  # of parentheses and nots
MAX_AGO = timedelta(days=36500)

TEXTS = ("email", "domain", "name", "locale", "timezone", "consent_source")
TIMES = ("created_at", "updated_at", "consent_at")
FLAGS = ("suppressed", "mailable")
CONSENTS = ("none", "granted", "withdrawn")
FIELDS = (*TEXTS, *TIMES, *FLAGS, "consent", "tags")
ATTRIBUTE = re.compile(r"[a-z][a-z0-9_]{0,39}")
_WORDS = {"and", "or", "not", "in", "is", "empty", "contains", "starts", "ends", "with", "has", "any", "ago"}
_UNITS = {"hour": timedelta(hours=1), "day": timedelta(days=1), "week": timedelta(weeks=1)}
_TOKEN = re.compile(
    r"""(?P<space>[ \t\r\n]+)
    | (?P<time>[0-9]{4}-[0-9]{2}-[0-9]{2}(T[0-9:.]+(Z|[+-][0-9]{2}:[0-9]{2}))?(?![\w.:-]))
    | (?P<number>-?[0-9]{1,15}(\.[0-9]{1,10})?(?![\w.-]))
    | (?P<text>"(?:[^"\\]|\\["'\\])*"|'(?:[^'\\]|\\["'\\])*')
    | (?P<word>[A-Za-z_][\w-]*(\.[\w-]+)?)
    | (?P<sign><=|>=|!=|[=<>(),])""",
    re.VERBOSE | re.ASCII,
)
# What Postgres cannot store as text, or nobody means to look for.
_UNSTORABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")

Operator = Literal["=", "!=", "<", "<=", ">", ">=", "contains", "starts", "ends", "in", "has", "empty", "true"]
ORDERED = ("<", "<=", ">", ">=")


@dataclass(frozen=True)
class Ago:
    """So long before whenever it is asked."""

    time: timedelta


Value: TypeAlias = str | Decimal | bool | date | datetime | Ago


@dataclass(frozen=True)
class Comparison:
    """`field` is one of FIELDS, or `attributes.` with a name. No values for `empty` and `true`."""

    field: str
    operator: Operator
    values: tuple[Value, ...] = ()

    @property
    def attribute(self) -> str | None:
        return self.field.removeprefix("attributes.") if self.field.startswith("attributes.") else None


@dataclass(frozen=True)
class Not:
    part: "Node"


@dataclass(frozen=True)
class And:
    parts: tuple["Node", ...]


@dataclass(frozen=True)
class Or:
    parts: tuple["Node", ...]


Node: TypeAlias = Comparison | Not | And | Or


class FilterError(ValueError):
    """The filter cannot be read; `position` counts characters from 1."""

    def __init__(self, message: str, position: int) -> None:
        super().__init__(f"{message} (at character {position})")
        self.position = position


class Token(NamedTuple):
    kind: str  # time, number, text, word, sign or end
    text: str
    position: int

    def is_word(self, *words: str) -> bool:
        return self.kind == "word" and self.text.lower() in words

    def is_sign(self, *signs: str) -> bool:
        return self.kind == "sign" and self.text in signs


def parse_filter(text: str) -> Node:
    """Raises FilterError."""
    if len(text) > MAX_LENGTH:
        raise FilterError(f"A filter has at most {MAX_LENGTH} characters", MAX_LENGTH + 1)
    if found := _UNSTORABLE.search(text):
        raise FilterError("A filter has no control characters", found.start() + 1)
    return _Parser(list(_tokens(text))).parse()


def _tokens(text: str) -> Iterator[Token]:
    at = count = 0
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None:
            raise FilterError(f"Nothing in a filter is written like {text[at : at + 10]!r}", at + 1)
        if (kind := found.lastgroup or "") != "space":
            count += 1
            if count > MAX_TOKENS:
                raise FilterError("The filter is too long", at + 1)
            yield Token(kind, found[0], at + 1)
        at = found.end()
    yield Token("end", "", len(text) + 1)


class _Parser:
    """Recursive descent; each method reads what its name says and leaves the next token."""

    def __init__(self, tokens: list[Token]) -> None:
        self.tokens, self.at, self.depth, self.comparisons = tokens, 0, 0, 0

    @property
    def next(self) -> Token:
        return self.tokens[self.at]

    def take(self) -> Token:
        token = self.next
        self.at += token.kind != "end"
        return token

    def expect_sign(self, sign: str) -> None:
        if not self.next.is_sign(sign):
            raise self.wrong(f"Here a {sign} is missing")
        self.take()

    def expect_word(self, word: str) -> None:
        if not self.next.is_word(word):
            raise self.wrong(f"Here the word {word} is missing")
        self.take()

    def wrong(self, message: str, token: Token | None = None) -> FilterError:
        return FilterError(message, (token or self.next).position)

    def parse(self) -> Node:
        found = self.any()
        if self.next.kind != "end":
            raise self.wrong("Here `and`, `or` or the end is missing")
        return found

    def any(self) -> Node:
        parts = [self.all()]
        while self.next.is_word("or"):
            self.take()
            parts.append(self.all())
        return parts[0] if len(parts) == 1 else Or(tuple(parts))

    def all(self) -> Node:
        parts = [self.one()]
        while self.next.is_word("and"):
            self.take()
            parts.append(self.one())
        return parts[0] if len(parts) == 1 else And(tuple(parts))

    def one(self) -> Node:
        if not (self.next.is_word("not") or self.next.is_sign("(")):
            return self.comparison()
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise self.wrong(f"A filter is at most {MAX_DEPTH} levels deep")
        if self.take().kind == "word":
            found: Node = Not(self.one())
        else:
            found = self.any()
            self.expect_sign(")")
        self.depth -= 1
        return found

    def comparison(self) -> Node:
        self.comparisons += 1
        if self.comparisons > MAX_COMPARISONS:
            raise self.wrong(f"A filter has at most {MAX_COMPARISONS} comparisons")
        name = self.field()
        if name in FLAGS:
            return Comparison(name, "true")
        operator = self.take()
        if operator.is_sign("=", "!=", *ORDERED):
            return self.checked(Comparison(name, _operator(operator.text), (self.value(),)), operator)
        if operator.kind != "word":
            raise self.wrong("Here an operator is missing, as =", operator)
        return self.with_word(name, operator)

    def with_word(self, name: str, operator: Token) -> Node:
        match operator.text.lower():
            case "contains":
                found = Comparison(name, "contains", (self.value(),))
            case "starts" | "ends" as word:
                self.expect_word("with")
                found = Comparison(name, "starts" if word == "starts" else "ends", (self.value(),))
            case "in":
                found = Comparison(name, "in", self.values())
            case "not":
                self.expect_word("in")
                return Not(self.checked(Comparison(name, "in", self.values()), operator))
            case "has":
                several = self.next.is_word("any")
                self.at += several
                found = Comparison(name, "has", self.values() if several else (self.value(),))
            case "is":
                negated = self.next.is_word("not")
                self.at += negated
                self.expect_word("empty")
                empty = self.checked(Comparison(name, "empty"), operator)
                return Not(empty) if negated else empty
            case _:
                raise self.wrong(f"{operator.text[:40]!r} is no operator", operator)
        return self.checked(found, operator)

    def field(self) -> str:
        token = self.take()
        area, dot, key = token.text.partition(".")
        name = token.text.lower()
        if token.kind != "word" or name in _WORDS:
            raise self.wrong("Here a field is missing, as in: consent = granted", token)
        if dot and area.lower() == "attributes":
            if not ATTRIBUTE.fullmatch(key.lower()):
                raise self.wrong("The name of an attribute has a-z, 0-9 and _, and begins with a letter", token)
            return f"attributes.{key.lower()}"
        if name not in FIELDS:
            raise self.wrong(
                f"There is no field {token.text[:40]!r}: there are {', '.join(FIELDS)}, attributes.…", token
            )
        return name

    def values(self) -> tuple[Value, ...]:
        self.expect_sign("(")
        found = [self.value()]
        while self.next.is_sign(","):
            self.take()
            found.append(self.value())
        self.expect_sign(")")
        return tuple(found)

    def value(self) -> Value:
        token = self.take()
        match token.kind:
            case "text":
                return re.sub(r"\\(.)", r"\1", token.text[1:-1], flags=re.DOTALL)
            case "time":
                return self.moment(token)
            case "number" if self.next.is_word(*_UNITS, *(f"{unit}s" for unit in _UNITS)):
                return self.ago(token)
            case "number":
                return Decimal(token.text)
            case "word" if token.is_word("true", "false"):
                return token.text.lower() == "true"
            case "word" if token.text.lower() not in _WORDS and "." not in token.text:
                return token.text
        raise self.wrong('Here a value is missing, as "Berlin", 12, 2026-01-31 or true', token)

    def moment(self, token: Token) -> date | datetime:
        try:
            if "T" not in token.text:
                return date.fromisoformat(token.text)
            return datetime.fromisoformat(token.text).astimezone(UTC)
        except (ValueError, OverflowError):
            raise self.wrong(f"{token.text[:40]} is no day or time", token) from None

    def ago(self, token: Token) -> Ago:
        unit = _UNITS[self.take().text.lower().removesuffix("s")]
        self.expect_word("ago")
        count = Decimal(token.text)
        if count < 0 or count != int(count) or count * Decimal(unit.total_seconds()) > Decimal(MAX_AGO.total_seconds()):
            raise self.wrong("So long ago is a whole number, at most a hundred years", token)
        return Ago(int(count) * unit)

    def checked(self, found: Comparison, token: Token) -> Comparison:
        """Raises FilterError where the field, the operator and the values do not go together."""
        if problem := _mismatch(found):
            raise self.wrong(problem, token)
        return found


def _operator(sign: str) -> Operator:
    signs: dict[str, Operator] = {"=": "=", "!=": "!=", "<": "<", "<=": "<=", ">": ">", ">=": ">="}
    return signs[sign]


def _mismatch(found: Comparison) -> str | None:
    if found.operator == "empty":
        return None
    allowed: tuple[str, ...] = ("=", "!=", "in", "contains", "starts", "ends")
    types: tuple[type, ...] = (str,)
    if found.field in TIMES:
        whole_day = type(found.values[0]) is date
        allowed, types = ORDERED + (("=", "!=") if whole_day else ()), (date, Ago)
    elif found.field == "tags":
        allowed = ("has",)
    elif found.field == "consent":
        allowed = ("=", "!=", "in")
        if wrong := [value for value in found.values if value not in CONSENTS]:
            return f"consent is {', '.join(CONSENTS)}, not {str(wrong[0])[:40]!r}"
    elif found.attribute is not None:
        return _attribute_mismatch(found)
    if found.operator not in allowed:
        return f"{found.field} cannot be compared in this way"
    if not all(isinstance(value, types) for value in found.values):
        return f"{found.field} is compared with {'a day or a time' if found.field in TIMES else 'text'}"
    return None


def _attribute_mismatch(found: Comparison) -> str | None:
    if found.operator == "has":
        return "Only tags have something; compare an attribute with =, contains …"
    if any(isinstance(value, datetime) for value in found.values):
        return "An attribute is compared with a day, not with a time of day"
    if found.operator in ORDERED and isinstance(found.values[0], bool):
        return "true and false have no order"
    if found.operator in {"contains", "starts", "ends"} and not isinstance(found.values[0], str):
        return f"{found.operator} needs text"
    return None
