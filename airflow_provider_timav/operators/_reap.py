"""The task that ends broadcasts which nothing else has ended."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from airflow_provider_timav.arguments import is_constant, none_if_blank, parse_strings, template_marks

if TYPE_CHECKING:
    from airflow.sdk import Context

__all__ = ["ReapBroadcastsOperator"]


class ReapBroadcastsOperator(BaseOperator):
    """Stops what is on air past its end, whatever happened to the run that started it.

    For a DAG of its own that runs every minute and is never paused: it ends what nothing else can, such as the broadcast of a
    run that timed out while its triggerer was dead. It ends a lease 30 s after its end in force, or once all tasks of its run
    that could end it have finished, or are gone; every other lease is left alone.

    It sends a stop only for a lease that its run confirms, because everybody with rights on Variables can write one. It drops
    the lease of a run that is gone without a stop, and one that cannot be read after a day, with a warning.

    XCom ``return_value``: a list with a dict for each lease that was ended: ``room_id``, ``user_id``, ``push_data_type``,
    ``owner``, ``end``, and the outcomes of the stops that were sent: ``push``, ``record``, with ``file_ids``.

    :param timav_conn_ids: the connections whose leases it ends: a list, or a JSON list in one string (templated). All if None.
    :raises TimAVError: the first stop that failed, after all others were sent.
    """

    template_fields: Sequence[str] = ("timav_conn_ids",)
    ui_color = "#d9f0ec"

    def __init__(self, *, timav_conn_ids: Sequence[str] | str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.timav_conn_ids = timav_conn_ids
        if timav_conn_ids is not None and is_constant(timav_conn_ids, template_marks(self.get_dag())):
            self._connections(timav_conn_ids)

    def execute(self, context: Context) -> list[dict[str, Any]]:
        """Check every lease; return those that were ended, with the outcomes."""
        from airflow_provider_timav.leases.reaper import reap_all

        reaped = reap_all(self._connections(self.timav_conn_ids))
        if reaped.errors:
            raise reaped.errors[0]
        return reaped.ended

    @staticmethod
    def _connections(conn_ids: Sequence[str] | str | None) -> Sequence[str] | None:
        return None if none_if_blank(conn_ids) is None else parse_strings(conn_ids, "timav_conn_ids")
