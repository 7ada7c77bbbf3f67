"""All the text that an Airflow keeps: every table of its database, every file that it wrote."""

from __future__ import annotations

from pathlib import Path

from harness.site import AirflowSite


def tables(site: AirflowSite) -> list[str]:
    """The names of its database's tables (SQLite)."""
    return [row["name"] for row in site.query("select name from sqlite_master where type = 'table'")]


def rows(site: AirflowSite, table: str) -> str:
    """All that a table holds, as text; JSON in it without its own quoting."""
    found = site.query(f'select * from "{table}"')  # noqa: S608 - names out of the database itself
    return "\n".join(
        value.decode(errors="replace") if isinstance(value, bytes) else str(value)
        for row in found
        for value in row.values()
    )


def written(site: AirflowSite) -> list[Path]:
    """The files that Airflow wrote: logs of tasks, triggers and DAG files, and what its parts printed."""
    return [file for folder in ("logs", "consoles") for file in (site.home / folder).rglob("*") if file.is_file()]


def kept(site: AirflowSite) -> dict[str, str]:
    """The texts of all tables and files, by their names."""
    texts = {table: rows(site, table) for table in tables(site)}
    return texts | {str(file.relative_to(site.home)): file.read_text(errors="replace") for file in written(site)}
