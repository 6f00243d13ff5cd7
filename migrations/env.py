"""Alembic's entry: hands over to tandem.ops.migrate, which locks, waits and retries.

Reached from `tandem migrate <service>`, which brings its target along, and from the plain `alembic` command, whose
target is the service named in alembic.ini and the DATABASE_URL (or DIRECT_DATABASE_URL) of the environment.
"""

from dataclasses import replace

from alembic import context

from tandem.ops import migrate
from tandem.ops.database import migration_target
from tandem.ops.services import SERVICES

service = SERVICES[context.config.get_main_option("service", "momentum")]

if context.is_offline_mode():
    migrate.configure(context, service.metadata, dialect_name="postgresql", literal_binds=True)
    with context.begin_transaction():
        context.run_migrations()
elif target := context.config.attributes.get("target"):
    migrate.online(target, context)
else:
    with migration_target(service, print) as target:
        migrate.online(replace(target, metadata=service.metadata), context)
