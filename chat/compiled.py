"""Statements that Django compiles once.

To compile a query takes Django about ten times as long as it takes SQLite to find a row by its key. Those that each
question needs are compiled when they first run, with parameters where their values go.

The function of such a query is called once for each kind of database, with parameters in place of its arguments. It
puts them into a filter or an update, and must not look at them (docs/decisions/0032-statements-compiled-once.md).
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from functools import cache
from typing import Any, cast
from uuid import UUID

from django.db import DEFAULT_DB_ALIAS, connection, connections
from django.db.models import Expression, Model, QuerySet
from django.db.models.sql import UpdateQuery

# A queryset and what its rows are set to.
type Update = tuple[QuerySet[Any, Any], dict[str, Any]]


class Parameter(Expression):
    """A value that a compiled statement is given when it runs."""

    def __init__(self, place: int) -> None:
        super().__init__()
        self.place = place

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, tuple[Any, ...]]:
        return "%s", (self,)


def compiled[**P, Row](query: Callable[P, QuerySet[Any, Row]]) -> Callable[P, list[Row]]:
    """The rows of the queryset that the function returns: objects without related ones, or tuples of `values_list`.

    Raises ValueError for an argument that is None: no row equals it, other than in Django's filters.
    """
    select = cache(lambda vendor, count: _Select(cast("Any", query)(*_parameters(count))))

    def run(*values: Any) -> list[Row]:
        if None in values:
            raise ValueError("It takes another query to find rows that have no value.")
        rows: list[Row] = select(connection.vendor, len(values)).rows(values)
        return rows

    return cast("Callable[P, list[Row]]", run)


def compiled_update[**P](update: Callable[P, Update]) -> Callable[P, int]:
    """How many rows of the queryset that the function returns were updated."""

    @cache
    def statement(vendor: str, count: int) -> _Statement:
        queryset, fields = cast("Any", update)(*_parameters(count))
        query = queryset.query.chain(UpdateQuery)
        query.add_update_values(fields)
        return _Statement(query.get_compiler(connection=connection))

    def run(*values: Any) -> int:
        with connection.cursor() as cursor:
            statement(connection.vendor, len(values)).execute(cursor, values)
            updated: int = cursor.rowcount
        return updated

    return cast("Callable[P, int]", run)


def insert(rows: Sequence[Model], replacing: Iterable[str] = ()) -> None:
    """Insert objects of one model that have their keys, without signals.

    With `replacing`, these columns of rows that have the same keys are replaced.
    """
    if not rows:
        return
    model = type(rows[0])
    for row in rows:
        _fill(row)
    given = [field for field in model._meta.concrete_fields if field.attname in rows[0].__dict__]
    names = tuple(str(field.column) for field in given)
    # Each look at `connection` finds that of this thread again.
    database = connections[DEFAULT_DB_ALIAS]
    values = [field.get_db_prep_save(field.pre_save(row, add=True), database) for row in rows for field in given]
    with database.cursor() as cursor:
        cursor.execute(_insert(database.vendor, model, names, len(rows), tuple(replacing)), values)
    for row in rows:
        row._state.adding, row._state.db = False, database.alias


def _fill(row: Model) -> None:
    """Give an object the defaults of its database. Those that the database computes are read when they are needed."""
    for field in row._meta.concrete_fields:
        if field.has_db_default() and isinstance(row.__dict__[field.attname], Expression):
            if isinstance(field.db_default, Expression):
                delattr(row, field.attname)
            else:
                setattr(row, field.attname, field.db_default)


@cache
def _insert(vendor: str, model: type[Model], names: tuple[str, ...], count: int, replacing: tuple[str, ...]) -> str:
    quote = connection.ops.quote_name
    one = f"({', '.join(['%s'] * len(names))})"
    statement = (
        f"INSERT INTO {quote(model._meta.db_table)} ({', '.join(map(quote, names))}) "  # noqa: S608
        f"VALUES {', '.join([one] * count)}"
    )
    if not replacing:
        return statement
    replaced = ", ".join(f"{quote(name)} = EXCLUDED.{quote(name)}" for name in replacing)
    return f"{statement} ON CONFLICT ({quote(str(model._meta.pk.column))}) DO UPDATE SET {replaced}"


def _parameters(count: int) -> list[Parameter]:
    return [Parameter(place) for place in range(count)]


class _Statement:
    def __init__(self, compiler: Any) -> None:
        self._sql, parameters = compiler.as_sql()
        self._parameters = list(parameters)

    def execute(self, cursor: Any, values: Sequence[Any]) -> None:
        chosen = [values[part.place] if isinstance(part, Parameter) else part for part in self._parameters]
        cursor.execute(self._sql, [_stored(value) for value in chosen])


class _Select(_Statement):
    def __init__(self, queryset: QuerySet[Any, Any]) -> None:
        compiler = queryset.query.get_compiler(connection=connection)
        super().__init__(compiler)
        columns = [column for column, *_ in compiler.select]
        self._converters = list(compiler.get_converters(columns).items())
        self._model = queryset.model if queryset.query.default_cols else None
        self._names = [column.target.attname for column in columns] if self._model else []

    def rows(self, values: Sequence[Any]) -> list[Any]:
        with connection.cursor() as cursor:
            self.execute(cursor, values)
            return [self._row(list(row)) for row in cursor.fetchall()]

    def _row(self, row: list[Any]) -> Any:
        for place, (converters, column) in self._converters:
            for convert in converters:
                row[place] = convert(row[place], column, connection)
        return self._model.from_db(connection.alias, self._names, row) if self._model else tuple(row)


def _stored(value: Any) -> Any:
    """A value as the database takes it."""
    match value:
        case UUID() if not connection.features.has_native_uuid_field:
            return value.hex
        case datetime():
            return connection.ops.adapt_datetimefield_value(value)
        case dict():
            return connection.ops.adapt_json_value(value, None)
    return value
