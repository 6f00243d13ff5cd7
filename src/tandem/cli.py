"""The `tandem` command. Every verb is here; what it does is in `tandem.ops`, imported when the verb runs."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import typer
from typer.core import TyperGroup

from tandem.core.operator_error import OperatorError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.status import Status

    from tandem.ops.services import Service
    from tandem.ops.target import Progress
    from tandem.ops.up import Running

PENDING = 1  # the exit status of `migrate --check`, and of `--lint` when there is something to say


class ServiceName(StrEnum):
    """A literal copy of the names in `ops.services`, so that help and completion load no service (a test compares)."""

    MOMENTUM = "momentum"
    MARKET_AI = "market-ai"


class Verification(StrEnum):
    """Another literal copy: the names in `ops.deploy.verify`."""

    HEALTH = "health"
    LIVE = "live"
    ACCOUNTS = "accounts"


class Verbs(TyperGroup):
    """Errors that a person can mend are said in their own words, without a traceback."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except OperatorError as error:
            _console().print(f"[bold red]tandem:[/] {_escape(str(error))}", highlight=False, soft_wrap=True)
            raise typer.Exit(error.exit_status) from None


app = typer.Typer(
    cls=Verbs,
    name="tandem",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
Name = Annotated[ServiceName, typer.Argument(metavar="SERVICE", help="momentum or market-ai", show_default=False)]


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(f"tandem {version('tandem')}")
        raise typer.Exit


@app.callback()
def tandem(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Two backends on one frame."""


@app.command()
def up(
    services: Annotated[
        list[ServiceName] | None,
        typer.Argument(metavar="[SERVICE]...", help="Only these; default: all.", show_default=False),
    ] = None,
) -> None:
    """Start everything for development: Postgres, migrations, servers and workers. Ctrl-C stops it."""
    from tandem.ops import up as ops

    wanted = [_service(name) for name in dict.fromkeys(services or ServiceName)]
    console = _console()
    status = console.status("starting")
    status.start()
    try:
        with ops.running(wanted, _progress(console, status)) as (started, supervisor):
            status.stop()
            if not supervisor.stopping.asked.is_set():
                console.print(_welcome(started), highlight=False, soft_wrap=True)
            supervisor.watch()
            console.print("stopping …")
    finally:
        status.stop()
    console.print("stopped; the data stays")


@app.command()
def serve(
    service: Name,
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 for every interface.")] = "127.0.0.1",
    port: Annotated[int | None, typer.Option(help="Port to listen on.", show_default="PORT, else 8000 or 8001")] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Worker processes.", show_default="WEB_CONCURRENCY, else 1")
    ] = None,
    reload: Annotated[bool, typer.Option(help="Restart when the source changes (development).")] = False,
    with_worker: Annotated[
        bool, typer.Option("--with-worker", help="Run the worker in the same process, like RUN_WORKER=true.")
    ] = False,
) -> None:
    """Serve one service; SIGTERM lets requests in flight finish."""
    from tandem.core.imports import lean_imports

    with lean_imports():
        from tandem.ops.serve import serve as run

    run(
        _service(service), host=host, port=port, workers=workers, reload=reload, with_worker=with_worker,
        on_progress=_progress(),
    )  # fmt: skip


@app.command()
def worker(
    service: Name,
    once: Annotated[bool, typer.Option("--once", help="Fire every cron, work until nothing is due, and exit.")] = False,
    health_port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Serve /health and /metrics of the worker here.")
    ] = None,
    health_host: Annotated[str, typer.Option(help="Address of --health-port.")] = "127.0.0.1",
) -> None:
    """Run the jobs of a service. Several workers share the work; SIGTERM lets jobs that run finish."""
    from tandem.core.imports import lean_imports

    with lean_imports():
        from tandem.ops.worker import run

    run(
        _service(service), once=once, health_host=health_host, health_port=health_port, on_progress=_progress()
    )  # fmt: skip


jobs = typer.Typer(name="jobs", no_args_is_help=True, help="See, retry, cancel and purge the jobs of a service.")
app.add_typer(jobs)
JobId = Annotated[UUID, typer.Argument(metavar="ID", show_default=False)]
AsJson = Annotated[bool, typer.Option("--json", help="For programs.")]


@jobs.command("list")
def jobs_list(
    service: Name,
    status: Annotated[
        list[str] | None, typer.Option(help="queued, running, succeeded, failed, cancelled or held; may be repeated.")
    ] = None,
    job_type: Annotated[str | None, typer.Option("--type", help="Of this job type only.")] = None,
    owner: Annotated[str | None, typer.Option(help="Of this user or organisation only.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="The newest so many.")] = 50,
    as_json: AsJson = False,
) -> None:
    """The newest jobs, and how many wait."""
    from tandem.ops import jobs as ops

    def work(connection: Any) -> Any:
        return ops.listed(connection, statuses=status or [], job_type=job_type, owner=owner, limit=limit)

    found, depth = ops.run(_service(service), work, _progress())
    if as_json:
        typer.echo(ops.as_json(found))
    else:
        ops.print_list(_console(stderr=False), found, depth)


@jobs.command("show")
def jobs_show(service: Name, job_id: JobId, as_json: AsJson = False) -> None:
    """One job: its payload, result or error, finished steps and events."""
    from tandem.ops import jobs as ops

    found = ops.run(_service(service), lambda connection: ops.shown(connection, job_id), _progress())
    if as_json:
        typer.echo(ops.as_json(found))
    else:
        ops.print_one(_console(stderr=False), found)


@jobs.command("retry")
def jobs_retry(
    service: Name,
    job_ids: Annotated[list[UUID] | None, typer.Argument(metavar="[ID]...", show_default=False)] = None,
    all_failed: Annotated[bool, typer.Option("--all-failed", help="All that are failed or held.")] = False,
) -> None:
    """Queue failed, held or cancelled jobs once more; finished steps are not repeated."""
    from tandem.ops import jobs as ops

    if bool(job_ids) == all_failed:
        raise typer.BadParameter("name the jobs, or give --all-failed")

    def work(connection: Any) -> Any:
        return ops.retried(connection, job_ids or [], all_failed=all_failed)

    done = ops.run(_service(service), work, _progress())
    _console().print(f"{len(done)} queued again", highlight=False)


@jobs.command("cancel")
def jobs_cancel(service: Name, job_id: JobId) -> None:
    """Cancel a job that waits, or ask the worker that runs it to stop."""
    from tandem.ops import jobs as ops

    status = ops.run(_service(service), lambda connection: ops.cancelled(connection, job_id), _progress())
    _console().print("cancelled" if status == "cancelled" else "its worker has been asked to stop", highlight=False)


@jobs.command("purge")
def jobs_purge(
    service: Name,
    status: Annotated[list[str], typer.Option(help="succeeded, failed, cancelled or held; may be repeated.")],
    days: Annotated[float, typer.Option(min=0, help="Ended longer ago than this.")] = 30,
) -> None:
    """Delete jobs that ended, with their steps and events."""
    from tandem.ops import jobs as ops

    gone = ops.run(_service(service), lambda connection: ops.purged(connection, status, days), _progress())
    _console().print(f"{gone} deleted", highlight=False)


@app.command()
def migrate(
    service: Name,
    target: Annotated[str, typer.Option(help="A revision, `head`, `+1`, `-1` or `base`.")] = "head",
    check: Annotated[bool, typer.Option("--check", help="Change nothing; exit 1 when migrations are pending.")] = False,
    lint: Annotated[
        bool,
        typer.Option("--lint", help="Change nothing; exit 1 when a pending migration would stop a running version."),
    ] = False,
    every: Annotated[bool, typer.Option("--all", help="With --lint: the whole history, without a database.")] = False,
) -> None:
    """Bring a service's database to its newest schema. Safe to run from many instances at once."""
    if lint or every:
        _lint_migrations(_service(service), every=every)
        return
    from tandem.core.postgres_url import parse_database_url
    from tandem.ops import migrate as ops
    from tandem.ops.database import migration_target

    console, chosen = _console(), _service(service)
    with migration_target(chosen, _progress(console)) as at:
        if check:
            found = ops.status(chosen, at.url)
            console.print(f"current {found.current or 'none'}, head {found.head}", highlight=False)
            for revision in found.pending:
                console.print(f"pending {revision}", highlight=False)
            raise typer.Exit(PENDING if found.pending else 0)
        done = ops.migrate(chosen, at.url, target=target, on_progress=at.on_progress)
        where = parse_database_url(at.url).url.database
        console.print(f"database {where} of {chosen.title} is at {done.current or 'base'}", highlight=False)


def _lint_migrations(service: "Service", *, every: bool) -> None:
    from tandem.ops import migrate as ops
    from tandem.ops import migration_lint as linting
    from tandem.ops.database import migration_target

    console, current = _console(), None
    if not every:
        with migration_target(service, _progress(console)) as at:
            current = ops.status(service, at.url).current
    findings = linting.lint(service, current)
    for finding in findings:
        console.print(_escape(str(finding)), highlight=False, soft_wrap=True)
    which = "in its history" if every else "pending"
    console.print(f"{service.title}: {len(findings)} unsafe statements {which}", highlight=False)
    raise typer.Exit(PENDING if findings else 0)


class ServiceFirst(TyperGroup):
    """`tandem backup momentum` is `tandem backup create momentum`."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        return super().resolve_command(ctx, ["create", *args] if args[0] in set(ServiceName) else args)


backup = typer.Typer(
    name="backup",
    cls=ServiceFirst,
    no_args_is_help=True,
    help="Back up a service's database, list backups, and prove one: `tandem backup momentum`.",
)
app.add_typer(backup)
_WHERE: Any = {"metavar": "WHERE", "help": "A folder or s3://bucket/prefix.", "show_default": "BACKUP_DESTINATION"}
To = Annotated[str | None, typer.Option("--to", **_WHERE)]
From = Annotated[str | None, typer.Option("--from", **_WHERE)]
BackupId = Annotated[
    str | None, typer.Argument(metavar="[BACKUP]", help="Its id; the latest when left out.", show_default=False)
]


@backup.command("create")
def backup_create(
    service: Name,
    to: To = None,
    keep_all: Annotated[bool, typer.Option("--keep-all", help="Delete no older backup.")] = False,
    as_json: AsJson = False,
) -> None:
    """Back up a service's database, then delete the backups that are not kept any longer."""
    from tandem.ops.backup import commands

    console = _console()
    made = commands.make(_service(service), to, keep_all=keep_all, console=console, steps=_progress(console))
    if as_json:
        _echo_json(made.as_json())
    else:
        console.print(f"backed up {commands.in_words(made.manifest)}", highlight=False)
        for gone in made.pruned:
            console.print(f"[dim]· deleted {gone}[/]", highlight=False)


@backup.command("list")
def backup_list(
    service: Annotated[
        ServiceName | None, typer.Argument(metavar="[SERVICE]", help="all when left out", show_default=False)
    ] = None,
    at: From = None,
    as_json: AsJson = False,
) -> None:
    """The backups that are there, the latest first."""
    from tandem.ops.backup import commands

    found = commands.listed(_service(service or ServiceName.MOMENTUM), at=at, only=service is not None)
    if as_json:
        _echo_json([one.model_dump(mode="json") for one in found])
    else:
        commands.print_list(_console(stderr=False), found)


@backup.command("verify")
def backup_verify(
    service: Name, backup_id: BackupId = None, at: From = None,
    as_json: AsJson = False,
) -> None:  # fmt: skip
    """Restore a backup into a scratch database, compare every table with the backup's own record, and drop it."""
    from tandem.ops.backup import commands

    console = _console()
    proven = commands.prove(_service(service), backup_id, at=at, console=console, steps=_progress(console))
    if as_json:
        _echo_json({"backup": proven.id, "verified": True, "tables": len(proven.tables), "rows": proven.rows})
    else:
        console.print(f"[green]proven[/] {commands.in_words(proven)}", highlight=False)


@app.command()
def restore(
    service: Name,
    backup_id: BackupId = None,
    into: Annotated[
        str | None,
        typer.Option(metavar="DATABASE", help="Its name on the service's server, or a URL.", show_default="a new one"),
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="A database that is not empty is exchanged, and kept under another name.")
    ] = False,
    at: From = None,
    as_json: AsJson = False,
) -> None:
    """Restore a backup into a database, and compare it with the backup's own record."""
    from tandem.ops.backup import commands

    console = _console()
    done = commands.bring_back(
        _service(service), backup_id, into, at=at, replace=replace, console=console, steps=_progress(console)
    )
    if as_json:
        _echo_json(done.as_json())
        return
    console.print(f"[green]restored[/] {commands.in_words(done.manifest)}", highlight=False)
    console.print(f"into the database [bold]{done.restored.database}[/], at revision {done.manifest.revision}")
    if done.restored.replaced:
        console.print(f"what was there is now [bold]{done.restored.replaced}[/]: drop it when you are sure")


@app.command()
def settings(
    service: Annotated[
        ServiceName | None, typer.Argument(metavar="[SERVICE]", help="momentum; all when left out", show_default=False)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="The table of docs/settings.md.")] = False,
) -> None:
    """Every setting: its environment names, default, and what it is now. Secrets are masked."""
    from tandem.ops import settings_report as report
    from tandem.ops.services import SERVICES

    chosen = [_service(service)] if service else list(SERVICES.values())
    if as_json:
        import json

        typer.echo(json.dumps({one.name: [row.as_json() for row in report.rows(one)] for one in chosen}, indent=2))
    elif markdown:
        typer.echo("\n\n".join(report.markdown(one) for one in chosen))
    else:
        for one in chosen:
            _print_settings(one)


@app.command()
def doctor(
    what: Annotated[
        str | None,
        typer.Argument(
            metavar="[SERVICE|render]", help="momentum or market-ai, all when left out; `render` for a file"
        ),
    ] = None,
    files: Annotated[
        list[Path] | None, typer.Argument(metavar="[FILE]...", help="Blueprints for `render`; default: render.yaml")
    ] = None,
    live: Annotated[str | None, typer.Option(metavar="URL", help="Look at a deployed instance from outside.")] = None,
    origin: Annotated[str | None, typer.Option(help="With --live: your front end's origin, to be allowed.")] = None,
    read_only: Annotated[
        bool, typer.Option("--read-only", help="With --live: make no accounts, guess nothing.")
    ] = False,
    env_file: Annotated[
        Path | None, typer.Option(help="Take variables from this file, as from a platform's dashboard.")
    ] = None,
    instances: Annotated[int, typer.Option(min=1, max=100, help="How many there are, for the connections.")] = 1,
    as_json: AsJson = False,
) -> None:
    """Check everything that a deployment needs, with the fix of each fault. Exits with 1 on errors."""
    from tandem.ops.backup.catalog import last_of
    from tandem.ops.doctor.command import Asked, run

    asked = Asked(what, tuple(files or ()), live, origin, read_only, env_file, instances)
    raise typer.Exit(run(asked, as_json=as_json, last_backup=last_of))


@app.command()
def demo(service: Name) -> None:
    """Create or refresh a demo user with projects, labels and tasks. Not in production."""
    from tandem.ops.demo import refresh

    console = _console()
    made = refresh(_service(service), _progress(console))
    console.print(f"signed up [bold]{made.email}[/] with the password [bold]{made.password}[/]", highlight=False)
    console.print(f"{made.projects} projects, {made.labels} labels, {made.tasks} tasks", highlight=False)


deploy = typer.Typer(name="deploy", no_args_is_help=True, help="Bring a version to a platform, and see that it works.")
app.add_typer(deploy)


@deploy.command("render")
def deploy_render(
    service_id: Annotated[
        str | None, typer.Option("--service", help="srv-…", show_default="RENDER_SERVICE_ID, else of the hook")
    ] = None,
    commit: Annotated[str | None, typer.Option(help="This commit; default: the newest of the branch.")] = None,
    hook: Annotated[bool, typer.Option("--hook", help="Trigger by RENDER_DEPLOY_HOOK_URL, not the API.")] = False,
    clear_cache: Annotated[bool, typer.Option("--clear-cache", help="Build from nothing.")] = False,
    url: Annotated[str | None, typer.Option(help="What to verify; default: the service's own address.")] = None,
    expect_version: Annotated[str | None, typer.Option(help="/health must say this version.")] = None,
    verify: Annotated[
        Verification,
        typer.Option(help="/health alone, the doctor's live checks that change nothing, or all with two accounts."),
    ] = Verification.LIVE,
    roll_back: Annotated[bool, typer.Option(help="Go back when it is live and does not work.")] = True,
    freeze: Annotated[bool, typer.Option("--freeze", help="Turn auto-deploy off after a rollback.")] = False,
    timeout: Annotated[float, typer.Option(min=1, help="Seconds until it has to be live.")] = 1200,
    verify_timeout: Annotated[float, typer.Option(min=0, help="Seconds until every check has to pass.")] = 180,
    poll: Annotated[float, typer.Option(min=0.05, hidden=True)] = 5,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")] = False,
) -> None:
    """Deploy on Render, follow it, verify it, and roll back when it does not work. Needs RENDER_API_KEY."""
    from tandem.ops.deploy.command import run
    from tandem.ops.deploy.flow import Order, Patience
    from tandem.ops.deploy.verify import CHECKS

    console = _console()
    order = Order(commit=commit, clear_cache=clear_cache, url=url, roll_back=roll_back, freeze=freeze)
    done = run(
        order, service_id=service_id, by_hook=hook, version=expect_version, dry_run=dry_run, verify=CHECKS[verify],
        patience=Patience(deploy=timeout, verify=verify_timeout, poll=poll), progress=_progress(console),
    )  # fmt: skip
    console.print(_escape(done), highlight=False, soft_wrap=True)


@app.command()
def monitor(
    urls: Annotated[
        list[str] | None, typer.Argument(metavar="[URL]...", help="What to ask; default: API_URL.", show_default=False)
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="One check and an exit status, for cron.")] = False,
    interval: Annotated[float, typer.Option(min=1, help="Seconds from one check to the next.")] = 60,
    after: Annotated[int, typer.Option(min=1, help="Failures in a row before somebody is told.")] = 3,
    remind: Annotated[
        float, typer.Option(min=0, help="Seconds until the next alert while it is down; 0: never.")
    ] = 3600,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds an answer may take.")] = 10,
    state: Annotated[
        Path | None, typer.Option(help="File to remember in.", show_default="with --once MONITOR_STATE, else .tandem/")
    ] = None,
    test: Annotated[bool, typer.Option("--test", help="Send a test message to every channel, and exit.")] = False,
) -> None:
    """Watch deployed services; tell Slack, a webhook or an e-mail address when one is down and when it is back."""
    from tandem.ops.monitor import command
    from tandem.ops.monitor.state import Policy, States

    say = _progress()
    if test:
        raise typer.Exit(0 if command.try_channels(say) else 1)
    wanted, policy = command.addresses(urls or []), Policy(after, remind)
    states = States.read(command.state_file(state, once=once))
    if once:
        raise typer.Exit(0 if command.run_once(wanted, policy=policy, timeout=timeout, states=states, say=say) else 1)
    command.run(wanted, interval=interval, policy=policy, timeout=timeout, states=states, say=say)


def _service(name: ServiceName) -> "Service":
    from tandem.ops.services import SERVICES

    return SERVICES[name.value]


def _echo_json(value: Any) -> None:
    import json

    typer.echo(json.dumps(value, indent=2))


def _console(*, stderr: bool = True) -> "Console":
    from rich.console import Console

    return Console(stderr=stderr)


def _progress(console: "Console | None" = None, status: "Status | None" = None) -> "Progress":
    """Each step on a line of its own, and beside the spinner while one turns. No step, no console."""

    def step(text: str) -> None:
        nonlocal console
        console = console or _console()
        if status is not None:
            status.update(_escape(text))
        console.print(f"[dim]· {_escape(text)}[/]", highlight=False)

    return step


def _welcome(services: "list[Running]") -> str:
    lines = []
    for one in services:
        mails = f", mails it sends: {one.mailbox}" if one.mailbox else ""
        lines.append(f"\n[bold green]{one.service.title}[/] is at [bold]{one.url}[/]  (docs: {one.url}/docs{mails})\n")
    body = _escape('{"name":"Ada","email":"ada@example.com","password":"correct horse battery"}')
    lines.append("Sign up, and use the token of the answer as `Authorization: Bearer …`:")
    sign_up = f"/api/auth/sign-up/email -H 'Content-Type: application/json' -d '{body}'"
    lines += [f"  curl -X POST {one.url}{sign_up}" for one in services]
    demo = "Or fill an account of Momentum to look at: [bold].venv/bin/tandem demo momentum[/]. "
    with_momentum = any(one.service.name == ServiceName.MOMENTUM for one in services)
    lines.append(f"{demo if with_momentum else ''}Ctrl-C stops everything.\n")
    return "\n".join(lines)


def _print_settings(service: "Service") -> None:
    from rich.table import Table

    from tandem.ops import settings_report as report

    table = Table(title=f"{service.title} ({service.name})", title_justify="left", header_style="bold")
    for column in ("variable", "value", "from", "default", "what it does"):
        table.add_column(column, overflow="fold")
    for row in report.rows(service):
        value = f"[bold]{_escape(row.value)}[/]" if row.is_set else _escape(row.value)
        table.add_row("\n".join(row.names), value, row.source, _escape(row.default), _escape(row.description))
    console = _console(stderr=False)
    console.print(table)
    for problem in report.problems(service.settings_class):
        console.print(f"[bold red]![/] {_escape(problem)}", highlight=False)


def _escape(text: str) -> str:
    from rich.markup import escape

    return escape(text)
