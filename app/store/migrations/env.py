"""How alembic runs a migration here: on the given engine, in one transaction. Knows no table."""

from typing import cast

from advanced_alchemy.alembic.commands import AlembicCommandConfig
from alembic import context
from sqlalchemy import Engine

from app.store.tables import Trace

config = cast(AlembicCommandConfig, context.config)

with cast(Engine, config.engine).connect() as connection:
    context.configure(
        connection=connection,
        target_metadata=Trace.metadata,
        version_table=config.version_table_name,
        render_as_batch=True,
        transactional_ddl=True,
    )
    with context.begin_transaction():
        context.run_migrations()
