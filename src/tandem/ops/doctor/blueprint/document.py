"""A Blueprint file as data: services, databases and groups wherever the file may list them."""

import math
import re
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

Node = dict[str, Any]

ROOT_FIELDS = frozenset({"services", "databases", "envVarGroups", "projects", "ungrouped", "previews", "version"})


class BlueprintError(ValueError):
    """The text is no Blueprint at all: no YAML, a key twice, or no mapping."""


@dataclass(frozen=True)
class Blueprint:
    """`text` is kept for what stands in comments."""

    text: str
    root: Node
    services: list[Node] = field(default_factory=list)
    databases: list[Node] = field(default_factory=list)
    groups: list[Node] = field(default_factory=list)

    def service(self, name: object) -> Node | None:
        return next((one for one in self.services if one.get("name") == name), None)

    def database(self, name: object) -> Node | None:
        return next((one for one in self.databases if one.get("name") == name), None)

    def environment(self, service: Node) -> dict[str, Node]:
        """The entries of a service by key, its groups' included; its own go first, as at Render."""
        found: dict[str, Node] = {}
        for entry in entries(service):
            if "fromGroup" in entry:
                group = next((g for g in self.groups if g.get("name") == entry["fromGroup"]), {})
                for one in entries(group):
                    found.setdefault(str(one.get("key")), one)
        found.update({str(e["key"]): e for e in entries(service) if "key" in e})
        return found

    def value(self, service: Node, *names: str) -> str | None:
        """The literal value of the first of these variables that has one."""
        environment = self.environment(service)
        values = (environment[name]["value"] for name in names if "value" in environment.get(name, {}))
        return next((str(value) for value in values), None)

    def number(self, service: Node, name: str, default: int) -> int:
        """The value of a variable as a whole number, rounded up."""
        text = self.value(service, name) or ""
        return math.ceil(float(text)) if re.fullmatch(r"\d{1,9}(?:\.\d{1,9})?", text, re.ASCII) else default


def count(value: Any, default: int = 1) -> int:
    """A number of instances, as far as it is one."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else default


def entries(owner: Mapping[str, Any]) -> Iterator[Node]:
    """The environment variables of a service or group, as far as they are readable."""
    listed = owner.get("envVars")
    yield from (entry for entry in listed if isinstance(entry, dict)) if isinstance(listed, list) else ()


def read_blueprint(text: str) -> Blueprint:
    """Raises BlueprintError."""
    try:
        root = yaml.load(text, Loader=_Strict)  # noqa: S506 - a SafeLoader
    except yaml.YAMLError as error:
        raise BlueprintError(" ".join(str(error).split())) from None
    return blueprint_of(root, text)


def blueprint_of(root: Any, text: str = "") -> Blueprint:
    """Raises BlueprintError for what is no Blueprint."""
    if not isinstance(root, dict):
        raise BlueprintError("the file is no mapping with `services`")
    parts: dict[str, list[Node]] = {"services": [], "databases": [], "envVarGroups": []}
    for holder in _holders(root):
        for name, part in parts.items():
            listed = holder.get(name) or []
            if not isinstance(listed, list) or not all(isinstance(one, dict) for one in listed):
                raise BlueprintError(f"{name} is a list of mappings")
            part.extend(listed)
    return Blueprint(text, root, parts["services"], parts["databases"], parts["envVarGroups"])


def _holders(root: Node) -> Iterator[Node]:
    yield root
    if isinstance(root.get("ungrouped"), dict):
        yield root["ungrouped"]
    for project in root.get("projects") or []:
        environments = project.get("environments") if isinstance(project, dict) else None
        yield from (one for one in environments or [] if isinstance(one, dict))


class _Strict(yaml.SafeLoader):
    """YAML lets a later key replace an earlier one in silence; here that is an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"]
        twice = {key for key in keys if keys.count(key) > 1}
        if twice:
            raise yaml.constructor.ConstructorError(
                None, None, f"{', '.join(map(str, sorted(twice)))} stands here twice", node.start_mark
            )
        return super().construct_mapping(node, deep)
