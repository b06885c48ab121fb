"""A W&B server for one machine's tests: the few answers an unmodified client needs, on 127.0.0.1, in memory."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

ENTITY, PROJECT = "me", "large-batch-replications"


@dataclass
class StoredRun:
    name: str
    config: dict[str, Any] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)
    history: dict[int, dict[str, Any]] = field(default_factory=dict)
    attributes: dict[str, Any] = field(default_factory=dict)
    exit_code: int | None = None

    @property
    def state(self) -> str:
        return "running" if self.exit_code is None else "failed" if self.exit_code else "finished"


class FakeWandb(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.runs: dict[str, StoredRun] = {}
        self.asked: list[str] = []
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def stream(self, name: str, body: dict[str, Any]) -> None:
        """What the client's file stream appends: history lines at an offset, the whole summary, the exit code."""
        run = self.runs[name]
        for path, chunk in (body.get("files") or {}).items():
            # the hosted service, too, gives NaN and infinities back as strings
            lines = [json.loads(line, parse_constant=str) for line in chunk["content"] if path.startswith("wandb-")]
            if path == "wandb-history.jsonl":
                run.history |= {chunk["offset"] + i: line for i, line in enumerate(lines)}
            elif path == "wandb-summary.json":
                run.summary = lines[-1]
        if body.get("complete"):
            run.exit_code = body.get("exitcode", 0)

    def upsert(self, v: dict[str, Any]) -> dict[str, Any]:
        run = self.runs.setdefault(v["name"], StoredRun(v["name"]))
        run.config |= json.loads(v.get("config") or "{}")
        run.attributes |= {k: v[k] for k in ("groupName", "jobType", "tags", "displayName") if v.get(k)}
        return {"upsertBucket": {"bucket": self.node(run), "inserted": True}}

    def node(self, run: StoredRun) -> dict[str, Any]:
        stamp = "2026-01-01T00:00:00Z"
        return {
            "id": run.name, "name": run.name, "displayName": run.name, "state": run.state, "description": None,
            "notes": None, "config": json.dumps(run.config), "summaryMetrics": json.dumps(run.summary),
            "tags": run.attributes.get("tags", []), "group": run.attributes.get("groupName"),
            "jobType": run.attributes.get("jobType"), "sweepName": None, "sweep": None, "commit": None,
            "readOnly": False, "createdAt": stamp, "heartbeatAt": stamp, "updatedAt": stamp, "projectId": "1",
            "internalId": "1", "systemMetrics": "{}", "historyLineCount": len(run.history), "historyKeys": _keys(run),
            "user": {"name": ENTITY, "username": ENTITY}, "logLineCount": 0, "eventsLineCount": 0,
            "project": {"id": "1", "name": PROJECT, "entity": {"id": "1", "name": ENTITY}, "internalId": "1"},
        }  # fmt: skip

    def answer(self, query: str, v: dict[str, Any]) -> dict[str, Any]:
        operation = query.split("(")[0].split("{")[0].split()[-1]
        self.asked.append(operation)
        run = next((self.runs[v[k]] for k in ("name", "run", "runName") if v.get(k) in self.runs), None)
        match operation:
            case "Viewer" | "GetViewer" | "GetDefaultEntity":
                teams = {"edges": [{"node": {"name": ENTITY}}]}
                viewer = {"id": "1", "entity": ENTITY, "username": ENTITY, "name": ENTITY, "email": "me@localhost"}
                return {"viewer": viewer | {"flags": "{}", "admin": False, "deletedAt": None, "teams": teams}}
            case "RunResumeStatus":
                model = {"id": "1", "name": PROJECT, "entity": {"id": "1", "name": ENTITY}}
                return {"model": model | {"bucket": None}}
            case "UpsertBucket":
                return self.upsert(v)
            case "CreateRunFiles":
                files = [{"name": f, "uploadUrl": f"{self.url}/upload/{v['run']}/{f}"} for f in v["files"]]
                return {"createRunFiles": {"runID": v["run"], "uploadHeaders": [], "files": files}}
            case "Runs" | "GetRuns" | "LightRuns" | "GetLightRuns":
                wanted = json.loads(v.get("filters") or "{}")
                found = [r for r in self.runs.values() if _matches(r, wanted)]
                edges = [{"node": self.node(r), "cursor": r.name} for r in found]
                page = {"endCursor": None, "hasNextPage": False}
                project = {"internalId": "1", "readOnly": False, "runCount": len(found)}
                return {"project": project | {"runs": {"edges": edges, "pageInfo": page}}}
        if run is None:
            return {"project": None}
        bucket = self.node(run) | {"parquetHistory": {"parquetUrls": [], "liveData": self.page(run, v)}}
        bucket["history"] = [json.dumps(row) for row in self.page(run, v)]
        return {"project": {"internalId": "1", "run": bucket}}

    def page(self, run: StoredRun, v: dict[str, Any]) -> list[dict[str, Any]]:
        low, high = v.get("minStep") or 0, v.get("maxStep")
        rows = [run.history[i] for i in sorted(run.history)]
        return [r for r in rows if low <= r["_step"] and (high is None or r["_step"] < high)]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FakeWandb

    def log_message(self, *_: Any) -> None:
        pass

    def _handle(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        path, reply = urlsplit(self.path).path, {}
        with self.server.lock:
            if path.endswith("/graphql"):
                asked = json.loads(body)
                reply = {"data": self.server.answer(asked["query"], asked.get("variables") or {})}
            elif path.endswith("/file_stream"):
                self.server.stream(path.split("/")[-2], json.loads(body))
        out = json.dumps(reply).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(out)))
        self.end_headers()
        self.wfile.write(out)

    do_GET = do_POST = do_PUT = _handle


def _keys(run: StoredRun) -> dict[str, Any]:
    steps = [row["_step"] for row in run.history.values()]
    names = {name for row in run.history.values() for name in row}
    return {"lastStep": max(steps, default=-1), "sets": [],
            "keys": {n: {"typeCounts": [{"type": "number", "count": 1}]} for n in sorted(names)}}  # fmt: skip


def _matches(run: StoredRun, wanted: dict[str, Any]) -> bool:
    if "$and" in wanted:
        return all(_matches(run, part) for part in wanted["$and"])
    values = {key.removeprefix("config.").removesuffix(".value"): value for key, value in wanted.items()}
    return all(run.config.get(key, {}).get("value") == value for key, value in values.items())


@contextmanager
def serve() -> Iterator[FakeWandb]:
    server = FakeWandb()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
