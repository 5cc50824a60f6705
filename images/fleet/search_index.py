"""The index behind the search of the fleet list, by database: trigrams of `Copy.search_text`.

It lives outside Django's models: SQLite keeps a virtual table that triggers fill, PostgreSQL a GIN index. SQLite
drops a table's triggers whenever Django rebuilds that table, so this runs after every migration, not once.
"""

import logging
from typing import Any

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.utils import DatabaseError

log = logging.getLogger(__name__)

SEARCH_TABLE = "images_copy_search"
_TABLE = "images_copy"

_SQLITE_TRIGGERS = {
    f"{SEARCH_TABLE}_insert": f"""
        CREATE TRIGGER {SEARCH_TABLE}_insert AFTER INSERT ON {_TABLE} BEGIN
          INSERT INTO {SEARCH_TABLE}(rowid, search_text) VALUES (new.id, new.search_text);
        END""",
    f"{SEARCH_TABLE}_delete": f"""
        CREATE TRIGGER {SEARCH_TABLE}_delete AFTER DELETE ON {_TABLE} BEGIN
          INSERT INTO {SEARCH_TABLE}({SEARCH_TABLE}, rowid, search_text)
          VALUES ('delete', old.id, old.search_text);
        END""",
    # Most updates of a sync change other columns; the index is left alone then.
    f"{SEARCH_TABLE}_update": f"""
        CREATE TRIGGER {SEARCH_TABLE}_update AFTER UPDATE OF search_text ON {_TABLE}
        WHEN old.search_text IS NOT new.search_text BEGIN
          INSERT INTO {SEARCH_TABLE}({SEARCH_TABLE}, rowid, search_text)
          VALUES ('delete', old.id, old.search_text);
          INSERT INTO {SEARCH_TABLE}(rowid, search_text) VALUES (new.id, new.search_text);
        END""",
}  # fmt: skip

# "Never" sorts as the oldest, as SQLite does by itself; PostgreSQL needs indexes in that order for it.
_POSTGRES_INDEXES = {
    "images_copy_search_trgm": f"ON {_TABLE} USING gin (search_text gin_trgm_ops)",
    "images_copy_built_order": f"ON {_TABLE} (built_at ASC NULLS FIRST, id)",
    "images_copy_used_order": f"ON {_TABLE} (last_used_at ASC NULLS FIRST, id)",
    "images_copy_repository_prefix": f"ON {_TABLE} (repository varchar_pattern_ops)",
    "images_copy_tag_prefix": f"ON {_TABLE} (tag varchar_pattern_ops)",
}  # fmt: skip


def ensure(connection: BaseDatabaseWrapper) -> None:
    """Makes what is missing of the search index; cheap when nothing is."""
    if _TABLE not in connection.introspection.table_names():
        return
    if connection.vendor == "sqlite":
        _ensure_sqlite(connection)
    elif connection.vendor == "postgresql":
        _ensure_postgresql(connection)


def after_migrate(using: str, **kwargs: Any) -> None:
    ensure(connections[using])


def _ensure_sqlite(connection: BaseDatabaseWrapper) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT name FROM sqlite_master WHERE name LIKE %s", [f"{SEARCH_TABLE}%"])
        there = {name for (name,) in cursor.fetchall()}
        missing = [sql for name, sql in _SQLITE_TRIGGERS.items() if name not in there]
        if not missing:
            return
        if SEARCH_TABLE not in there:
            cursor.execute(
                f"CREATE VIRTUAL TABLE {SEARCH_TABLE} USING fts5("
                f"search_text, content='{_TABLE}', content_rowid='id', tokenize='trigram')"
            )
        for sql in missing:
            cursor.execute(sql)
        # Rows may have changed while no trigger watched.
        cursor.execute(f"INSERT INTO {SEARCH_TABLE}({SEARCH_TABLE}) VALUES ('rebuild')")


def _ensure_postgresql(connection: BaseDatabaseWrapper) -> None:
    _attempt(connection, "CREATE EXTENSION IF NOT EXISTS pg_trgm")
    for name, definition in _POSTGRES_INDEXES.items():
        _attempt(connection, f"CREATE INDEX IF NOT EXISTS {name} {definition}")


def _attempt(connection: BaseDatabaseWrapper, sql: str) -> None:
    """Without the right to add pg_trgm the search still answers, only slower: that is worth a line, not a stop."""
    from django.db import transaction

    try:
        with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
            cursor.execute(sql)
    except DatabaseError as error:
        log.warning("The search index is not complete: %s. Let a superuser run: %s", str(error).strip(), sql)
