"""What we use of PgQueuer itself. Imported by workers and migrations only; it takes a third of a second."""

from pgqueuer.adapters.persistence.qb import QueryBuilderEnvironment, QueryQueueBuilder, QuerySchedulerBuilder
from pgqueuer.adapters.persistence.queries import Queries
from pgqueuer.domain.settings import DBSettings, Durability
from pgqueuer.ports.driver import Driver

# Every name is given: the engine would take those that are not from the environment, even from a bare CHANNEL.
SETTINGS = DBSettings(
    prefix="",
    db_schema=None,
    channel="ch_pgqueuer",
    function="fn_pgqueuer_changed",
    statistics_table="pgqueuer_statistics",
    queue_status_type="pgqueuer_status",
    queue_table="pgqueuer",
    queue_table_log="pgqueuer_log",
    trigger="tg_pgqueuer_changed",
    schedules_table="pgqueuer_schedules",
    durability=Durability.durable,
    widen_id=True,
)

_SCHEMA = QueryBuilderEnvironment(settings=SETTINGS)
INSTALL = _SCHEMA.build_install_query(create_schema=False)
UNINSTALL = _SCHEMA.build_uninstall_query()
AUTOVACUUM = _SCHEMA.build_optimize_autovacuum_query()


def queries(driver: Driver) -> Queries:
    return Queries(
        driver,
        qbe=QueryBuilderEnvironment(settings=SETTINGS),
        qbq=QueryQueueBuilder(settings=SETTINGS),
        qbs=QuerySchedulerBuilder(settings=SETTINGS),
    )
