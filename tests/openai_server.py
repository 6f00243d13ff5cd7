"""An OpenAI-compatible server on the loopback that bills what it does, and misbehaves when told to.

    python -m tests.openai_server --port N --log FILE [--behave NAME]

It serves `/v1/chat/completions` and `/v1/responses`, streamed or not, with answers that fit the schema of the request.
How it behaves is said by `[[behave:NAME]]` in the prompt, else by the path (`/NAME/v1/…`), else by what was last posted
to `/control` ({"behave": NAME, "answer": {…}, "answers": [{…}, …]}), else by `--behave`. NAME is one of `BEHAVIOURS`, with
its argument after a colon, as in `status:429`.

Every request is one JSON line of FILE, written before the first byte of its answer, whatever becomes of it: id, model,
behaviour, tokens, micros (what it billed, 0 for an error status) and tag (`[[tag:X]]` in the prompt). `GET /billed` is
the sum of them, `GET /billed?tag=X` of some. A server started on the same FILE goes on where the last one was killed.
`silent` and `stall`, also among the random failures, last as long as the client's patience: LLM_TIMEOUT.
"""

import argparse
import itertools
import json
import os
import random
import re
import select
import socket
import threading
import time
from collections.abc import Iterator
from decimal import ROUND_CEILING, Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qs, unquote, urlsplit

from tests.openai_events import (
    Bill,
    Event,
    chat_chunk,
    chat_delta,
    chat_usage,
    error_body,
    is_text,
    message_item,
    pieces,
    response,
    response_refusal,
    response_searches,
    response_text,
    sample,
    schema_of,
    search_item,
    text_of,
)

BEHAVIOURS = {
    "ok": "answers",
    "greedy": "answers, and bills as much as the request can be made to cost",
    "cached": "answers, having read half the prompt from its cache",
    "slow": "begins to answer after so many seconds (3)",
    "drip": "waits so many seconds (0.1) between events",
    "silent": "takes the request and says nothing",
    "stall": "begins, then says nothing more",
    "cut": "begins, then closes the connection",
    "cut_at_once": "takes the request and closes the connection",
    "quiet_end": "ends the stream in the middle as if that were all",
    "late_cut": "answers whole, and closes the connection before the stream's last bytes",
    "no_usage": "answers without usage",
    "usage_everywhere": "says the usage so far in every chunk",
    "garbage": "sends an event that is not JSON",
    "wrong_shape": "sends an event that is JSON of another shape",
    "not_json": "answers with prose",
    "wrong_json": "answers with JSON that does not fit the schema",
    "refuse": "declines to answer",
    "error_in_stream": "begins, then sends an error",
    "failed": "begins, then fails with its usage (Responses only)",
    "status": "answers with this HTTP status (500)",
    "quota": "429, because the account has no money left",
    "random": "one of the failures, with this probability (0.3) and seed, else this: random:0.5:7:greedy",
}
FAILURES = ("status:429", "status:500", "status:503", "status:502", "silent", "stall", "cut", "cut_at_once",
            "quiet_end", "no_usage", "garbage", "not_json", "wrong_json", "error_in_stream")  # fmt: skip
# Dollars per million tokens, which is micro-dollars per token: input, cached input, output.
PRICES = {"gpt-4o-mini": ("0.15", "0.075", "0.6"), "gpt-4o": ("2.5", "1.25", "10")}
UNKNOWN_PRICE, SEARCH_FEE = ("1", "1", "4"), 2500
KINDS = {400: "invalid_request_error", 401: "authentication_error", 429: "rate_limit_error"}


class Gone(Exception):
    """The connection is to be closed as it is."""


class Ledger:
    """What was billed, in a file that survives the server."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_CREAT | os.O_APPEND | os.O_WRONLY)
        self._lock = threading.Lock()
        self.lines: list[dict[str, Any]] = [json.loads(line) for line in path.read_text().splitlines()]

    def add(self, **line: Any) -> int:
        with self._lock:
            number = len(self.lines) + 1
            self.lines.append({"id": number, **line})
            os.write(self._file, json.dumps(self.lines[-1]).encode() + b"\n")
            return number

    def total(self, tag: str | None = None) -> dict[str, Any]:
        lines = [line for line in self.lines if tag is None or line["tag"] == tag]
        billed = sum(line["micros"] > 0 for line in lines)
        return {"requests": len(lines), "billed": billed, "micros": sum(n["micros"] for n in lines), "lines": lines}

    def close(self) -> None:
        os.close(self._file)


class OpenAIServer(ThreadingHTTPServer):
    """In this process it runs inside a `with` block; `bodies` are the requests as they came."""

    daemon_threads = True

    def __init__(self, log: Path, port: int = 0, behave: str = "ok") -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.ledger = Ledger(log)
        self.control: dict[str, Any] = {"behave": behave, "answer": None}
        self.bodies: list[Event] = []
        self.rolls = itertools.count(len(self.ledger.lines))
        self.stopping = threading.Event()

    def url(self, behave: str = "") -> str:
        """The base URL, of a server that behaves so."""
        return f"http://127.0.0.1:{self.server_port}{'/' + behave if behave else ''}/v1"

    def __enter__(self) -> Self:
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopping.set()
        self.shutdown()
        self.server_close()
        self.ledger.close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that left is no news."""


def priced(model: str, bill: Bill) -> int:
    """Micro-dollars, rounded up."""
    full, cached, out = (Decimal(p) for p in PRICES.get(model, UNKNOWN_PRICE))
    tokens = full * (bill.input_tokens - bill.cached_tokens) + cached * bill.cached_tokens + out * bill.output_tokens
    return int(tokens.to_integral_value(ROUND_CEILING)) + bill.searches * SEARCH_FEE


def rolled(behave: str, number: int) -> str:
    """What `random:P:SEED:ELSE` comes to for the request of this number; any other behaviour as it is."""
    if not behave.startswith("random"):
        return behave
    given = behave.split(":")[1:]
    chance, seed, otherwise = given + ["0.3", "0", "ok"][len(given) :]
    dice = random.Random(f"{seed}/{number}")  # noqa: S311 - not a secret
    return dice.choice(FAILURES) if dice.random() < float(chance) else otherwise


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: OpenAIServer
    short = False  # the answer did not fit into the tokens allowed

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        if parts.path == "/billed":
            self._json(200, self.server.ledger.total(parse_qs(parts.query).get("tag", [None])[0]))
        else:
            self._json(200 if parts.path == "/health" else 404, {})

    def do_POST(self) -> None:
        self.body: Event = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path == "/control":
            self.server.control |= self.body
            return self._json(200, self.server.control)
        self.server.bodies.append(self.body)
        try:
            self._answer()
        except (Gone, OSError):
            self.close_connection = True
        return None

    def _answer(self) -> None:
        before, _, api = unquote(urlsplit(self.path).path).rpartition("/v1/")
        self.text, self.model = text_of(self.body), str(self.body.get("model"))
        asked = re.search(r"\[\[behave:([^\]]+)\]\]", self.text)
        behave = asked[1] if asked else before.strip("/") or self.server.control["behave"]
        self.behaviour, _, self.argument = rolled(behave, next(self.server.rolls)).partition(":")
        if status := self._error_status(api):
            return self._refuse_with(status)
        self.result, self.bill = self._result_and_bill()
        self.number = self._record(priced(self.model, self.bill), 200)
        if self.behaviour == "slow":
            self.server.stopping.wait(float(self.argument or 3))
        if self.behaviour == "silent":
            self._say_nothing()
        if self.behaviour == "cut_at_once":
            self._hang_up()
        events = self._chat() if api == "chat/completions" else self._responses()
        if self.body.get("stream"):
            return self._stream(events, named=api == "responses")
        return self._json(200, self._whole(api))

    def _error_status(self, api: str) -> int:
        if api not in {"chat/completions", "responses"} or self.behaviour not in BEHAVIOURS:
            return 404
        if not self.headers.get("Authorization", "").startswith("Bearer "):
            return 401
        if {"max_tokens", "max_completion_tokens"} <= self.body.keys():
            return 400
        told = {"status": int(self.argument or 500), "quota": 429} if self.behaviour in {"status", "quota"} else {}
        return told.get(self.behaviour, 0)

    def _refuse_with(self, status: int) -> None:
        self._record(0, status)
        quota = self.behaviour == "quota"
        kind = "insufficient_quota" if quota else KINDS.get(status, "server_error")
        says = f"status {status} for key {self.headers.get('Authorization', '')[7:]}"
        waits = {"Retry-After": "7"} if status in {429, 503} and not quota else {}
        self._json(status, error_body(says, kind, kind if quota else None), **waits)

    def _record(self, micros: int, status: int) -> int:
        tag = re.search(r"\[\[tag:([^\]]+)\]\]", self.text)
        tokens = vars(self.bill) if status == 200 else {}
        return self.server.ledger.add(
            at=time.time(),
            model=self.model,
            behaviour=self.behaviour,
            status=status,
            micros=micros,
            tag=tag[1] if tag else None,
            **tokens,
        )

    def _result_and_bill(self) -> tuple[str, Bill]:
        schema = schema_of(self.body)
        wrong = {"not_json": "I would rather talk about it.", "wrong_json": '{"something": "else"}'}
        queued = self.server.control.get("answers")  # for one request each, before `answer`
        answer = (queued.pop(0) if queued else self.server.control["answer"]) or (
            sample(schema) if schema else {"text": "hello"}
        )
        result = wrong.get(self.behaviour) or json.dumps(answer)
        most = self._most_tokens()
        searching = any(tool.get("type") == "file_search" for tool in self.body.get("tools") or ())
        size = len(self.text.encode()) + len(json.dumps(schema))
        if self.behaviour == "greedy":
            searches = self.body.get("max_tool_calls", 20) if searching else 0
            return result, Bill(size * (searches + 1), 0, most, searches)
        given, written = max(1, size // 4), -(-len(result.encode()) // 4)
        self.short = written > most
        cached = given // 2 if self.behaviour == "cached" else 0
        return result[: most * 4], Bill(given, cached, min(written, most), 1 if searching else 0)

    def _most_tokens(self) -> int:
        names = ("max_completion_tokens", "max_tokens", "max_output_tokens")
        return next((int(self.body[name]) for name in names if self.body.get(name)), 4096)

    def _chat(self) -> Iterator[Event]:
        def chunk(choices: list[Event], **rest: Any) -> Event:
            usage = {"usage": chat_usage(self.bill)} if self.behaviour == "usage_everywhere" else {}
            return chat_chunk(self.number, self.model, choices=choices, **usage, **rest)

        yield chunk(chat_delta({"role": "assistant", "content": ""}))
        if self.behaviour == "refuse":
            yield chunk(chat_delta({"refusal": "I cannot help with that."}))
        else:
            for piece in pieces(self.result):
                yield chunk(chat_delta({"content": piece}))
        yield chunk(chat_delta({}, "length" if self.short else "stop"))
        if (self.body.get("stream_options") or {}).get("include_usage") and self.behaviour != "no_usage":
            yield chunk([], **({} if self.behaviour == "usage_everywhere" else {"usage": chat_usage(self.bill)}))

    def _responses(self) -> Iterator[Event]:
        numbered = "results" in str(self.body.get("include"))
        items = [search_item(n, done=True, results=numbered) for n in range(self.bill.searches)]
        number, model = self.number, self.model
        yield {"type": "response.created", "response": response(number, model, "in_progress", [], None)}
        yield from response_searches(items)
        if self.behaviour == "refuse":
            yield from response_refusal(len(items))
        else:
            yield from response_text(len(items), self.result, cites=bool(items) and self.behaviour != "greedy")
        if self.behaviour == "failed":
            last = response(number, model, "failed", [], self.bill)
            yield {"type": "response.failed", "response": last | {"error": {"code": "server_error", "message": "boom"}}}
        elif self.short:
            last = response(number, model, "incomplete", [], self.bill)
            last["incomplete_details"] = {"reason": "max_output_tokens"}
            yield {"type": "response.incomplete", "response": last}
        else:
            bill = None if self.behaviour == "no_usage" else self.bill
            output = [*items, message_item(self.result, done=True)]
            yield {"type": "response.completed", "response": response(number, model, "completed", output, bill)}

    def _whole(self, api: str) -> Event:
        if api == "responses":
            return response(self.number, self.model, "completed", [message_item(self.result, done=True)], self.bill)
        message = {"role": "assistant", "content": self.result}
        whole = chat_chunk(self.number, self.model, choices=[{"index": 0, "message": message, "finish_reason": "stop"}])
        return whole | {"object": "chat.completion", "usage": chat_usage(self.bill)}

    def _stream(self, events: Iterator[Event], *, named: bool) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        texts = 0
        for count, event in enumerate(events):
            self._event({"sequence_number": count, **event} if named else event, named=named)
            texts += bool(is_text(event))
            if texts == 3:
                self._misbehave(named=named)
                texts += 1
            if self.behaviour == "drip":
                self.server.stopping.wait(float(self.argument or 0.1))
        if self.behaviour == "late_cut":
            self._hang_up()
        if not named:
            self._chunk(b"data: [DONE]\n\n")
        self._chunk(b"")

    def _misbehave(self, *, named: bool) -> None:
        """What happens in the middle of a stream."""
        if self.behaviour == "stall":
            self._say_nothing()
        elif self.behaviour == "cut":
            self._hang_up()
        elif self.behaviour == "quiet_end":
            self._chunk(b"")
            raise Gone
        elif self.behaviour == "garbage":
            self._chunk(b"data: {oops\n\n")
        elif self.behaviour == "wrong_shape":
            self._event({"type": "response.output_text.delta", "delta": 7, "choices": "none"}, named=named)
        elif self.behaviour == "error_in_stream":
            error = error_body("the engine is on fire", "server_error")
            self._event(error["error"] | {"type": "error", "sequence_number": 9} if named else error, named=named)

    def _event(self, event: Event, *, named: bool) -> None:
        name = f"event: {event['type']}\n" if named else ""
        self._chunk(f"{name}data: {json.dumps(event)}\n\n".encode())

    def _chunk(self, data: bytes) -> None:
        self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        self.wfile.flush()

    def _json(self, status: int, body: Event, **headers: str) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", "Content-Length": str(len(data)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def _hang_up(self) -> None:
        self.connection.shutdown(socket.SHUT_RDWR)
        raise Gone

    def _say_nothing(self) -> None:
        """Until the client leaves, or the server stops."""
        while not self.server.stopping.is_set():
            if select.select([self.connection], [], [], 0.05)[0]:
                break
        raise Gone


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.openai_server")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--log", type=Path, required=True)
    parser.add_argument("--behave", default="ok")
    given = parser.parse_args()
    OpenAIServer(given.log, given.port, given.behave).serve_forever()


if __name__ == "__main__":
    main()
