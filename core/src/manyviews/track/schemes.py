"""Which kinds of store MLflow knows, so that a mistyped address is refused and not taken for a server that is down."""

from __future__ import annotations

from urllib.parse import urlsplit

from manyviews.plugins.suggest import did_you_mean

KNOWN = ("sqlite", "http", "https", "postgresql", "mysql", "mssql", "databricks", "databricks-uc", "uc", "file", "")
"""MLflow's own; a plain path has none."""


def complaint(uri: str) -> str | None:
    """What is wrong with a store's address; None where MLflow, or a plugin of it, knows its kind."""
    scheme = urlsplit(uri).scheme.partition("+")[0]
    if scheme in KNOWN or scheme in _of_plugins():
        return None
    near = did_you_mean(f"{scheme}://", [f"{known}://" for known in KNOWN[:7]])
    return (
        f"`{scheme}://` is no kind of store that MLflow knows.{near}\n  Give sqlite:///FILE, http://HOST:PORT or postgresql://…"
    )


def _of_plugins() -> set[str]:
    from importlib.metadata import entry_points

    return {entry.name for entry in entry_points(group="mlflow.tracking_store")}
