"""From a path to its route by two dictionary look-ups instead of trying every route's pattern in turn.

FastAPI tries each route, and those of an included router twice: with fifty routes that is a tenth of a cheap request.
A path without parameters is found by itself, one with parameters among those that begin with the same two segments, in
the order they were added. A literal path wins over a pattern that would match it too, whatever the method.
"""

from collections import defaultdict
from collections.abc import Awaitable, Callable, Container
from typing import Any

from fastapi import APIRouter, Request
from fastapi.params import Form
from fastapi.routing import APIRoute
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from tandem.core.errors import MethodNotAllowed, Problem
from tandem.core.ratelimit import count_address
from tandem.core.requests import with_strict_json

Gate = Callable[[Request], Awaitable[None]]
"""Asked before a body is read; raises a Problem for a caller who may not send one."""


class Dispatcher:
    """Calls the route of a request. HEAD is answered by GET's route; a 405 names every method the path has.

    Bodies are read here, ahead of the route's dependencies; at the paths of `gated` only once `gate` has let them in.
    """

    def __init__(self, router: APIRouter, *, gate: Gate | None = None, gated: Container[str] = ()) -> None:
        self.router, self.gate, self.gated = router, gate, gated
        self._indexed = -1
        self._literal: dict[str, dict[str, Route]] = {}
        self._patterns: dict[str, list[Route]] = {}
        self._anywhere: list[Route] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope.get("root_path"):
            await self.router(scope, receive, send)
            return
        if len(self.router.routes) != self._indexed:
            self._index()
        route = self._find(scope)
        if route is None:  # a mount, or nothing
            await self.router(scope, receive, send)
            return
        scope["tandem.template"] = route.path
        scope["router"] = self.router
        if self.gate is not None and scope["path"] in self.gated:
            await _unread(self.gate, Request(scope))
        if (body := getattr(route, "body_field", None)) is not None and not isinstance(body.field_info, Form):
            receive = await _counted_json(scope, receive, required=body.field_info.is_required())
        await route.app(scope, receive, send)

    def _find(self, scope: Scope) -> Route | None:
        """The route, with its parameters put into the scope; raises MethodNotAllowed."""
        path: str = scope["path"]
        method: str = "GET" if scope["method"] == "HEAD" else scope["method"]
        allowed: set[str] = set()
        if (methods := self._literal.get(path)) is not None:
            if (literal := methods.get(method)) is not None:
                scope["endpoint"], scope["path_params"], scope["route"] = literal.endpoint, {}, literal
                return literal
            allowed.update(methods)
        for route in () if allowed else self._patterns.get(_stem(path), self._anywhere):
            if (found := route.path_regex.match(path)) is None:
                continue
            if method in (route.methods or ()):
                convertors = route.param_convertors
                params: dict[str, Any] = {k: convertors[k].convert(v) for k, v in found.groupdict().items()}
                scope["endpoint"], scope["path_params"], scope["route"] = route.endpoint, params, route
                return route
            allowed |= route.methods or set()
        if allowed:
            allowed |= {"HEAD"} if "GET" in allowed else set()
            raise MethodNotAllowed(headers={"Allow": ", ".join(sorted(allowed))})
        return None

    def _index(self) -> None:
        literal: dict[str, dict[str, Route]] = defaultdict(dict)
        patterns: dict[str, list[Route]] = defaultdict(list)
        anywhere: list[Route] = []
        for route in self.router.routes:
            if not isinstance(route, APIRoute | Route):
                continue
            if "{" not in route.path:
                for method in route.methods or ():
                    literal[route.path].setdefault(method, route)
            elif "{" in (stem := _stem(route.path)):
                anywhere.append(route)
            else:
                patterns[stem].append(route)
        self._literal, self._anywhere = dict(literal), anywhere
        self._patterns = {stem: [*routes, *anywhere] for stem, routes in patterns.items()}
        self._indexed = len(self.router.routes)


async def _unread(gate: Gate, request: Request) -> None:
    """Whoever the gate refuses is cut off: the body is not worth receiving."""
    try:
        await gate(request)
    except Problem as problem:
        problem.headers["Connection"] = "close"
        raise


async def _counted_json(scope: Scope, receive: Receive, *, required: bool) -> Receive:
    """A body refused here never reaches the limits of its route, so it counts against the client's address."""
    try:
        return await with_strict_json(scope, receive, required=required)
    except Problem:
        await count_address(Request(scope))
        raise


def _stem(path: str) -> str:
    """The first two segments: `/api/tasks` of `/api/tasks/{id}/move`."""
    return "/".join(path.split("/", 3)[:3])
