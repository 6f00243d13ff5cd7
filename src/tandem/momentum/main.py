"""Momentum's application: `uvicorn tandem.momentum.main:app`."""

from tandem.core.imports import lean_imports

with lean_imports():
    from fastapi import FastAPI

    from tandem.accounts.access import signed_in
    from tandem.accounts.handlers import exception_handlers
    from tandem.accounts.routers import routers as account_routers
    from tandem.core.app import create_app
    from tandem.core.jobs.in_web import worker_in_web
    from tandem.core.settings import load_settings
    from tandem.momentum.labels.routes import router as labels
    from tandem.momentum.preferences.routes import router as preferences
    from tandem.momentum.projects.routes import router as projects
    from tandem.momentum.settings import MomentumSettings
    from tandem.momentum.statistics.routes import router as statistics
    from tandem.momentum.sync.routes import router as sync
    from tandem.momentum.tasks.routes import router as tasks
    from tandem.momentum.transfer.routes import IMPORT_BYTES
    from tandem.momentum.transfer.routes import router as transfer

AREAS = ("tasks", "projects", "labels", "settings", "data")
SCOPES = [f"{area}:{right}" for area in AREAS for right in ("read", "write")]
EVENTS = {
    ("POST", "/api/auth/sign-up/email"): "signed_up",
    ("POST", "/api/tasks"): "task_created",
    ("POST", "/api/tasks/{task_id}/complete"): "task_completed",
    ("POST", "/api/projects"): "project_created",
}
DESCRIPTION = """
A todo API for front ends, phones and AI agents. Sign up at `POST /api/auth/sign-up/email`, then send the token as
`Authorization: Bearer …`, or make an API token with fewer rights at `POST /api/tokens`.

Errors are `application/problem+json` with a stable `code`. Lists page by number or by cursor. `ETag` and `If-Match`
guard against lost updates. `GET /api/sync` gives everything that changed since you last asked.
"""


def build(settings: MomentumSettings) -> FastAPI:
    return create_app(
        settings,
        title="Momentum",
        description=DESCRIPTION,
        routers=[
            tasks,
            projects,
            labels,
            preferences,
            statistics,
            sync,
            transfer,
            *account_routers(settings, SCOPES),
        ],
        body_limits={"/api/import": IMPORT_BYTES},
        gate=signed_in,
        exception_handlers=exception_handlers(),
        events=EVENTS,
        running=[worker_in_web("tandem.momentum.worker:JOBS")] if settings.run_worker else [],
    )


def __getattr__(name: str) -> FastAPI:
    """`app` is built when a server first asks for it, so that importing this module reads no environment."""
    if name == "app":
        app = globals()["app"] = build(load_settings(MomentumSettings))  # kept: uvicorn asks twice
        return app
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
