"""The language of mails: Jinja2, sandboxed, and of it only what a mail needs.

Merge fields, `if`, `for` over a list, and a few filters. Calls, arithmetic and all else are refused when a template is
saved, so that no template can take long, grow without bound, or reach anything. A field that a lead lacks is an error
and never an empty place or "None": `{{ lead.name | default("friend") }}` says what to write instead.
"""

import re
from collections.abc import Iterator
from typing import Any

from jinja2 import StrictUndefined, Template, TemplateError, nodes
from jinja2.exceptions import TemplateSyntaxError, UndefinedError
from jinja2.sandbox import ImmutableSandboxedEnvironment
from markupsafe import Markup

FILTERS = frozenset({
    "capitalize", "d", "default", "e", "escape", "first", "int", "join", "last", "length", "lower", "round", "title",
    "trim", "truncate", "upper", "urlencode",
})  # fmt: skip
TESTS = frozenset({"defined", "undefined", "in", "none", "number", "string"})
ROOTS = frozenset({"lead", "campaign", "content", "sender", "unsubscribe_url"})
MAX_LOOPS = 1  # inside one another
_ALLOWED = (
    nodes.Template, nodes.Output, nodes.TemplateData, nodes.Name, nodes.Const, nodes.Getattr, nodes.Getitem,
    nodes.Filter, nodes.Test, nodes.If, nodes.For, nodes.CondExpr, nodes.Compare, nodes.Operand, nodes.And, nodes.Or,
    nodes.Not, nodes.List, nodes.Tuple,
)  # fmt: skip
_PUNCTUATION = re.compile(r"([!-/:-@\[-`{-~])")


class TemplateFault(ValueError):
    """What is wrong with a template, for whoever wrote it."""

    def __init__(self, message: str, line: int | None = None) -> None:
        super().__init__(message if line is None else f"line {line}: {message}")


class MergeFault(ValueError):
    """A mail cannot be written for this lead, as for want of a field."""


class _Environment(ImmutableSandboxedEnvironment):
    """Of what a mail is about only fields can be reached: an attribute is a key of a dictionary, and nothing else."""

    def getattr(self, obj: Any, attribute: str) -> Any:
        return self.getitem(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        if isinstance(obj, dict) and argument in obj:
            return obj[argument]
        if isinstance(obj, list) and isinstance(argument, int) and -len(obj) <= argument < len(obj):
            return obj[argument]
        if isinstance(obj, StrictUndefined):
            return obj
        return self.undefined(f"it has no {argument}", name=str(argument))


def _written(value: Any) -> Any:
    """How a value is printed; raises MergeFault for what would come out as Python."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None or isinstance(value, list | dict | tuple):
        raise MergeFault("a merge field is no text: print a list with `| join(', ')`")
    return value


def _as_markdown(value: Any) -> Any:
    """A value in Markdown is text: it can neither mark itself up nor begin a new block."""
    value = _written(value)
    if isinstance(value, StrictUndefined):
        return value
    return _PUNCTUATION.sub(r"\\\1", " ".join(str(value).split()))


def _environment(finalize: Any, *, autoescape: bool) -> _Environment:
    made = _Environment(
        undefined=StrictUndefined, autoescape=autoescape, finalize=finalize, cache_size=200, keep_trailing_newline=True
    )
    made.filters = {name: made.filters[name] for name in FILTERS}
    made.tests = {name: made.tests[name] for name in TESTS}
    made.globals = {}
    return made


TEXT = _environment(_written, autoescape=False)
MARKDOWN = _environment(_as_markdown, autoescape=False)
HTML = _environment(_written, autoescape=True)


def compiled(environment: _Environment, source: str) -> Template:
    """Raises TemplateFault."""
    check(source)
    return environment.from_string(source)


def render(template: Template, context: dict[str, Any]) -> str:
    """Raises MergeFault."""
    try:
        return template.render(context)
    except UndefinedError as error:
        raise MergeFault(f"a merge field is missing: {error.message}") from None
    except MergeFault:
        raise
    except (TemplateError, TypeError, ValueError, ArithmeticError) as error:
        raise MergeFault(f"a merge field does not fit: {error}") from None


def markup(text: str) -> Markup:
    """For text that is HTML already."""
    return Markup(text)  # noqa: S704 - of rendered Markdown, in which HTML is escaped


def check(source: str) -> nodes.Template:
    """Raises TemplateFault for what is no template, or uses what mails have no use for."""
    try:
        tree = TEXT.parse(source)
    except TemplateSyntaxError as error:
        raise TemplateFault(error.message or "cannot be read", error.lineno) from None
    except (RecursionError, ValueError, OverflowError):
        raise TemplateFault("cannot be read") from None
    try:
        _check(tree, 0, ROOTS)
    except RecursionError:
        raise TemplateFault("is nested too deeply") from None
    return tree


def required(source: str) -> set[tuple[str, ...]]:
    """The fields of a lead, as ("attributes", "city"), that the template prints whatever else they have.

    What stands under an `if`, in a `for` or before a `default` may be missing.
    """
    return set(_required(check(source)))


def _check(node: nodes.Node, loops: int, names: frozenset[str]) -> None:
    if not isinstance(node, _ALLOWED):
        raise TemplateFault(f"{type(node).__name__.lower()} is not part of this language", node.lineno)
    if isinstance(node, nodes.Filter) and node.name not in FILTERS:
        raise TemplateFault(f"there is no filter {node.name}; there are {', '.join(sorted(FILTERS))}", node.lineno)
    if isinstance(node, nodes.Test) and node.name not in TESTS:
        raise TemplateFault(f"there is no test {node.name}", node.lineno)
    if isinstance(node, nodes.Name) and node.ctx == "load" and node.name not in names:
        raise TemplateFault(f"there is no {node.name}; there are {', '.join(sorted(ROOTS))}", node.lineno)
    if isinstance(node, nodes.For):
        if loops >= MAX_LOOPS or node.recursive or not isinstance(node.target, nodes.Name):
            raise TemplateFault("a loop takes one name, and has no loop inside", node.lineno)
        if node.target.name in ROOTS:
            raise TemplateFault(f"{node.target.name} has a meaning already", node.lineno)
        loops, names = loops + 1, names | {node.target.name}
    for child in node.iter_child_nodes():
        _check(child, loops, names)


def _required(node: nodes.Node) -> Iterator[tuple[str, ...]]:
    if isinstance(node, nodes.If | nodes.For | nodes.CondExpr):
        return
    if isinstance(node, nodes.Filter) and node.name in {"default", "d"}:
        return
    if isinstance(node, nodes.Getattr | nodes.Getitem) and (path := _path(node)) is not None:
        if path[0] == "lead" and len(path) > 1:
            yield path[1:]
        return
    for child in node.iter_child_nodes():
        yield from _required(child)


def _path(node: nodes.Node) -> tuple[str, ...] | None:
    if isinstance(node, nodes.Name):
        return (node.name,)
    if isinstance(node, nodes.Getattr) and (before := _path(node.node)) is not None:
        return (*before, node.attr)
    if isinstance(node, nodes.Getitem) and isinstance(node.arg, nodes.Const) and isinstance(node.arg.value, str):
        before = _path(node.node)
        return None if before is None else (*before, node.arg.value)
    return None
