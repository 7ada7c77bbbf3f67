"""What a broadcast is to be: every option checked after rendering, before anything is written or sent."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_timav.arguments import DEFAULTS, flag, optional, point_in_time, time_span
from airflow_provider_timav.arguments import given as or_default
from airflow_provider_timav.operators._options import hold, options, settled
from airflow_provider_timav.videorelay.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from airflow_provider_timav.leases import LeaseKey, Owner

__all__ = ["Plan", "check_options", "default_file_name"]


def check_options(given: Mapping[str, Any], is_settled: Callable[[Any], bool]) -> None:
    """Hold those options of a `Broadcast` that are settled to their rules, each by itself and one beside another.

    :param is_settled: tells whether a value is what it will be, or still to be rendered.
    :raises ConfigurationError: naming the option, the rule and the value.
    """
    hold(given, is_settled)
    known = {name: optional(value) if is_settled(value) else value for name, value in given.items()}
    _check_times(known["duration"], known["ends_at"])
    for name in ("duration", "max_duration"):
        if known[name] is not None and is_settled(known[name]) and time_span(known[name], name) == timedelta(0):
            raise ConfigurationError(f"{name} must be more than nothing", field=name)


def _refuse_unseen_end(until: Any, live_code: Any) -> None:
    """Refuse to wait for the end of a stream that cannot be watched here.

    The worker's installation decides, not that of the DAG processor, which runs no task.

    :raises ConfigurationError: naming ``until``.
    """
    from airflow_provider_timav.stream.address import missing

    if until == "stream_ended" and str(live_code).strip() in ("rtmp", "5") and (lack := missing("rtmp:")) is not None:
        raise ConfigurationError(f"until: live_code is rtmp, and {lack}", field="until")


def _check_times(duration: Any, ends_at: Any) -> None:
    """Refuse both and neither of the two ways to say when a broadcast ends. None is not given; a template is.

    :raises ConfigurationError: naming ``duration``.
    """
    if (duration is None) == (ends_at is None):
        raise ConfigurationError(
            "give exactly one of duration and ends_at: a broadcast without an end stays on air", field="duration"
        )


@dataclass(frozen=True)
class Plan:
    """A broadcast's options, checked.

    :param duration: how long it lasts from the reservation on; None where it ends at a fixed time.
    :param ends_at: that time.
    :param max_duration: how long it may last at the most, from the reservation on.
    :param protected: whether viewers need a password.
    """

    key: LeaseKey
    title: str | None
    record: bool
    file_name: str | None
    duration: timedelta | None
    ends_at: datetime | None
    max_duration: timedelta
    wait_for_user: timedelta
    skip_if_late: timedelta | None
    protected: bool

    @classmethod
    def of(cls, rendered: Mapping[str, Any]) -> Plan:
        """Check the rendered options of a `Broadcast`, by their names.

        :raises ConfigurationError: naming the option that breaks a rule.
        """
        from airflow_provider_timav.leases import LeaseKey
        from airflow_provider_timav.videorelay import calls
        from airflow_provider_timav.videorelay.rules import DATA_TYPES, SDK_TYPES

        given = {
            name: optional(value) if name not in DEFAULTS else or_default(value, name)
            for name, value in rendered.items()
        }
        check_options(rendered, settled)
        _refuse_unseen_end(given["until"], given["live_code"])
        names = ("live_code", "rate_types", "channel_name", "player_password")
        where = {"room_id": rendered["room_id"], "user_id": rendered["user_id"], "sdk_type": given["sdk_type"]}
        push: Any = calls.start_push(
            **where,
            push_data_type=given["push_data_type"],
            **{name: given[name] for name in names},
            **options(given["push_options"], "push_options"),
        ).request
        calls.start_record(
            **where,
            record_data_type=given["push_data_type"],
            file_name=given["file_name"] or "to be chosen",
            **options(given["record_options"], "record_options"),
        )
        ends_at, duration = given["ends_at"], given["duration"]
        late = None if rendered["skip_if_late"] is None else given["skip_if_late"]
        return cls(
            key=LeaseKey(
                timav_conn_id=str(rendered["timav_conn_id"]),
                room_id=push.room_id,
                user_id=push.user_id,
                push_data_type=_word(DATA_TYPES, push.push_data_type),
                sdk_type=_word(SDK_TYPES, push.sdk_type),
            ),
            title=push.channel_name,
            record=True if given["record"] is None else flag(given["record"], "record"),
            file_name=None if given["file_name"] is None else str(given["file_name"]),
            duration=None if duration is None else time_span(duration, "duration"),
            ends_at=None if ends_at is None else point_in_time(ends_at, "ends_at"),
            max_duration=time_span(given["max_duration"], "max_duration"),
            wait_for_user=time_span(given["wait_for_user"], "wait_for_user"),
            skip_if_late=None if late is None else time_span(late, "skip_if_late"),
            protected=given["player_password"] is not None,
        )

    def end(self, now: datetime) -> datetime:
        """Return when a broadcast that is reserved now ends."""
        return min(self._wanted_end(now), now + self.max_duration)

    def cut_by(self, now: datetime) -> timedelta:
        """Return how much sooner than wanted ``max_duration`` ends a broadcast that is reserved now; 0 if it does not."""
        return self._wanted_end(now) - self.end(now)

    def _wanted_end(self, now: datetime) -> datetime:
        if self.ends_at is not None:
            return self.ends_at
        assert self.duration is not None  # noqa: S101 - one of the two is given, see `of`
        return now + self.duration


def _word(words: Mapping[str, int], code: int) -> str:
    return next(word for word, number in words.items() if number == code)


def default_file_name(room_id: int, owner: Owner, generation: str) -> str:
    """Return ``{room}_{12 hex digits}``: the same over retries and clears, another one for each broadcast."""
    identity = json.dumps([owner.dag_id, owner.run_id, owner.group_id, owner.map_index, generation])
    return f"{room_id}_{hashlib.sha256(identity.encode()).hexdigest()[:12]}"
