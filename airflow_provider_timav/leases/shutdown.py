"""Stop what a lease has on air: in which order, with which notes, and (for tasks) the stops themselves.

Tasks, the reaper and notifiers use `stop_broadcast`; triggers send the same stops side by side (``triggers/_shutdown.py``).
Both note the outcome in the same way: first with the run, then in the ledger, and never before the stop.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from airflow_provider_timav.leases.entries import Claim, Kind, Lease, Stopped
from airflow_provider_timav.videorelay.errors import TimAVError

if TYPE_CHECKING:
    from airflow_provider_timav.hooks.timav import TimAVHook
    from airflow_provider_timav.leases.ledger import Ledger
    from airflow_provider_timav.runs import TaskKey
    from airflow_provider_timav.videorelay.calls import Call
    from airflow_provider_timav.videorelay.models import StopPushResult, StopRecordResult

__all__ = ["ORDER", "ShutdownReport", "stop_broadcast", "stop_call"]

log = logging.getLogger(__name__)

# The recording first: its file ids come only with its own stop, and a service may end it with the push.
ORDER: Final[tuple[Kind, ...]] = ("record", "push")


def stop_call(lease: Lease, kind: Kind) -> Call[Any]:
    """Return the checked stop of the push or the recording that a lease is for."""
    from airflow_provider_timav.videorelay import calls

    make = calls.stop_push if kind == "push" else calls.stop_record
    return make(**lease.key.stop_arguments(kind))


@dataclass
class ShutdownReport:
    """The outcome of each stop, and the notes to take of it.

    :param outcomes: by kind, of the stops that arrived: ``stopped``, ``already_stopped``, ``gone``.
    :param file_ids: those of the recording, from this stop or from an earlier one.
    :param at: when the last stop was answered.
    :param errors: by kind, of the stops that did not arrive. Their claims stay, so that others stop them.
    """

    outcomes: dict[Kind, str] = field(default_factory=dict)
    file_ids: tuple[str, ...] = ()
    at: datetime = field(default_factory=lambda: datetime.now(UTC))
    errors: dict[Kind, Exception] = field(default_factory=dict)

    def answered(self, kind: Kind, result: StopPushResult | StopRecordResult) -> None:
        """Enter the answer to a stop."""
        self.errors.pop(kind, None)
        self.outcomes[kind] = result.outcome
        if kind == "record":
            self.file_ids = tuple(getattr(result, "file_ids", ()))
        self.at = datetime.now(UTC)

    def reason(self, kind: Kind) -> str:
        """Return why a stop did not arrive, for people. The text of an error that is not ours may hold more than it should."""
        error = self.errors[kind]
        return error.with_advice.strip() if isinstance(error, TimAVError) else type(error).__name__

    def raise_failed(self) -> None:
        """Raise the error of the stop that failed, if one did."""
        for error in self.errors.values():
            raise error

    def recall_file_ids(self, lease: Lease, ledger: Ledger, on_air: TaskKey) -> None:
        """Take over the file ids that an earlier stop was given: they come only once, so this stop may have none."""
        if "record" not in self.outcomes or self.file_ids:
            return
        claim = ledger.claim("record", lease.generation)
        self.file_ids = (claim.file_ids if claim is not None else ()) or Stopped.noted_by(on_air).file_ids

    def note_with_run(self, on_air: TaskKey) -> None:
        """Note the outcomes in the XCom ``stopped`` of ``on_air``, for the tasks after it; the run keeps it longest."""
        Stopped(self.outcomes.copy(), self.file_ids, self.at).note(on_air)

    def note_in_ledger(self, lease: Lease, ledger: Ledger) -> None:
        """Note in the ledger which of the claims are stopped, and release the lease once none is on air."""
        for kind in list(self.outcomes):  # another stop may be answered meanwhile
            claim = ledger.claim(kind, lease.generation)
            start_id = None if claim is None else claim.start_id
            file_ids = self.file_ids if kind == "record" else ()
            ledger.write_claim(kind, Claim(lease.generation, "stopped", start_id, file_ids=file_ids))
        ledger.release(lease.generation)

    def to_json(self) -> dict[str, Any]:
        """Return outcomes and file ids as plain data, without empty members."""
        members: dict[str, Any] = {str(kind): outcome for kind, outcome in self.outcomes.items()}
        members["file_ids"] = list(self.file_ids)
        return {name: value for name, value in members.items() if value}

    def __str__(self) -> str:
        stops = ", ".join(f"{kind} {outcome}" for kind, outcome in sorted(self.outcomes.items()))
        ids = f" File ids: {', '.join(self.file_ids)}." if self.file_ids else ""
        return f"{stops or 'nothing stopped'}.{ids}"


def stop_broadcast(
    ledger: Ledger, lease: Lease, hook: TimAVHook, *, max_posts: int = 3, seconds: float = 60.0
) -> ShutdownReport:
    """Stop what a lease has on air, one after the other; note it with its run and in the ledger; release the lease.

    :param max_posts: for each stop.
    :param seconds: for each stop, all its posts together.
    :returns: the report. A stop that fails does not keep the other one from being sent.
    """
    report = ShutdownReport()
    for kind in ORDER:
        claim = ledger.claim(kind, lease.generation)
        if claim is None or not claim.on_air:
            continue
        try:
            report.answered(kind, hook.call(stop_call(lease, kind), max_posts=max_posts, seconds=seconds))
        except TimAVError as error:
            report.errors[kind] = error
    # Only now: no note may keep a stop from being sent, and the log has the file ids even if no note succeeds.
    if report.outcomes:
        log.info("%s in room %s, of %s: %s", lease.key.user_id, lease.key.room_id, lease.owner, report)
        on_air = lease.owner.task("on_air")
        try:
            report.recall_file_ids(lease, ledger, on_air)
            report.note_with_run(on_air)
        except Exception:  # whatever Airflow raises: the ledger keeps it for a day
            log.warning("The stops could not be noted among the XComs of %s.", on_air.task_id, exc_info=True)
        report.note_in_ledger(lease, ledger)
    elif not report.errors:
        ledger.release(lease.generation)
    return report
