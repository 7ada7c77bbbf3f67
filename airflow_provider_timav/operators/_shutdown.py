"""Ends what a lease says is on air, for those who come after the ones that should have: reserve, reaper, notifier."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from airflow_provider_timav.videorelay.errors import TimAVError

if TYPE_CHECKING:
    from airflow_provider_timav.hooks.timav import TimAVHook
    from airflow_provider_timav.leases import Kind, Lease, Ledger
    from airflow_provider_timav.videorelay.models import StopPushResult, StopRecordResult

__all__ = ["Ending", "end", "reap"]

log = logging.getLogger(__name__)

# The recording first: its file ids come only with its own stop, and a service may end it with the push.
ORDER: Final[tuple[Kind, ...]] = ("record", "push")


@dataclass
class Ending:
    """What came of it.

    :param outcomes: of each stop that was sent, by kind: ``stopped``, ``already_stopped``, ``gone``.
    :param file_ids: what the stop of the recording was given.
    :param errors: of each stop that failed, by kind. The claim stays, and somebody will try again.
    """

    outcomes: dict[Kind, str] = field(default_factory=dict)
    file_ids: tuple[str, ...] = ()
    errors: dict[Kind, TimAVError] = field(default_factory=dict)

    def raise_failed(self) -> None:
        """Raise the error of the stop that failed, if one did."""
        for error in self.errors.values():
            raise error

    def to_json(self) -> dict[str, Any]:
        """Return what came of it as plain data, without members that say nothing."""
        said: dict[str, Any] = {str(kind): outcome for kind, outcome in self.outcomes.items()}
        said["file_ids"] = list(self.file_ids)
        return {name: value for name, value in said.items() if value}

    def __str__(self) -> str:
        stops = ", ".join(f"{kind} {outcome}" for kind, outcome in self.outcomes.items()) or "nothing was on air"
        return f"{stops}. File ids: {', '.join(self.file_ids)}" if self.file_ids else stops


def end(ledger: Ledger, lease: Lease, hook: TimAVHook, *, max_posts: int = 3, seconds: float = 60.0) -> Ending:
    """Stop what a lease says is ours, note it in the ledger and in the XCom ``stopped`` of its ``on_air``; give the lease up.

    :param max_posts: for each stop.
    :param seconds: for each stop, all its posts together.
    :returns: what came of it. A stop that fails does not keep the other one from being sent.
    """
    from airflow_provider_timav.leases import Claim
    from airflow_provider_timav.videorelay import calls

    ending = Ending()
    claims = {kind: ledger.claim(kind, lease.generation) for kind in ORDER}
    mine = {kind: claim for kind, claim in claims.items() if claim is not None and claim.on_air}
    for kind in mine:
        call: Any = (calls.stop_push if kind == "push" else calls.stop_record)(**lease.key.stop_arguments(kind))
        try:
            stopped: StopPushResult | StopRecordResult = hook.get_conn().call(
                call, max_posts=max_posts, seconds=seconds
            )
        except TimAVError as error:
            ending.errors[kind] = error
            continue
        ending.outcomes[kind] = stopped.outcome
        if kind == "record":
            ending.file_ids = tuple(getattr(stopped, "file_ids", ()))
    # Only now: no note may keep a stop from being sent, and the log has the file ids should no note succeed.
    if ending.outcomes:
        log.info("%s in room %s, of %s: %s.", lease.key.user_id, lease.key.room_id, lease.owner, ending)
        _note(lease, ending)
    for kind in ending.outcomes:
        ids = ending.file_ids if kind == "record" else ()
        ledger.tell(kind, Claim(lease.generation, "stopped", mine[kind].start_id, file_ids=ids))
    if not ending.errors:
        ledger.close(lease.generation)
    return ending


def _note(lease: Lease, ending: Ending) -> None:
    """Note what was stopped with the run that it was of, which keeps it longer than the ledger does."""
    from airflow_provider_timav.leases import Stopped

    on_air = lease.owner.task("on_air")
    outcomes = {str(kind): outcome for kind, outcome in ending.outcomes.items()}
    try:
        # A trigger that died between its stop and its event has noted them, and a second stop is given none.
        file_ids = ending.file_ids or Stopped.noted_by(on_air).file_ids
        Stopped(outcomes, file_ids, datetime.now(UTC)).note(on_air)
    except Exception:  # whatever Airflow raises: the ledger keeps it for a day
        log.warning("What was stopped could not be noted among the XComs of %s.", on_air.task_id, exc_info=True)


def reap(ledger: Ledger, lease: Lease, ended: datetime) -> tuple[dict[str, Any], Exception | None]:
    """End a broadcast that was wanted until ``ended``; return a report, and what kept it from being ended.

    It raises nothing: there may be others to end.
    """
    from airflow_provider_timav.hooks.timav import TimAVHook

    key = lease.key
    report: dict[str, Any] = {
        "room_id": key.room_id,
        "user_id": key.user_id,
        "push_data_type": key.push_data_type,
        "owner": str(lease.owner),
        "end": ended.isoformat(),
    }
    what = f"The broadcast of {key.user_id} in room {key.room_id}, wanted until {ended.isoformat()} by {lease.owner}"
    try:
        with TimAVHook(key.timav_conn_id) as hook:
            ending = end(ledger, lease, hook)
    except Exception as error:  # whatever Airflow or a broken connection raises
        log.exception("%s: it could not be ended.", what)
        return report, error
    log.info("%s: %s.", what, ending)
    for kind, failed in ending.errors.items():
        log.error("%s: the %s is not stopped: %s", what, kind, failed.with_advice)
    return report | ending.to_json(), next(iter(ending.errors.values()), None)
