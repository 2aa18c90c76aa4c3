"""Connections of Airflow as portolan's store and passwords."""

from __future__ import annotations

from airflow.sdk import BaseHook

from airflow_provider_portolan.command import Store

#: The keys of a connection's extra that are part of the address of the store.
ADDRESS_OPTIONS = ("sslmode", "sslrootcert")


def store_of(conn_id: str | None) -> Store | None:
    """Returns the store that a connection names; None without one, which is the store that the worker has."""
    if conn_id is None:
        return None
    found = BaseHook.get_connection(conn_id)
    if not found.host:
        raise ValueError(f"the connection {conn_id} names no host")
    extra = found.extra_dejson
    return Store(
        host=found.host,
        port=found.port,
        user=found.login,
        password=found.password,
        database=found.schema,
        options={key: str(extra[key]) for key in ADDRESS_OPTIONS if key in extra},
    )


def password_of(conn_id: str | None) -> str | None:
    """Returns the password of a connection."""
    if conn_id is None:
        return None
    return BaseHook.get_connection(conn_id).password
