"""A broadcast's options, checked together and parsed into a `Plan`, before anything is written or sent."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_timav.arguments import none_if_blank, parse_bool, parse_datetime, parse_duration
from airflow_provider_timav.operators._argument_checks import always_final, check_arguments, given_entries
from airflow_provider_timav.videorelay.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from airflow_provider_timav.leases import LeaseKey, Owner
    from airflow_provider_timav.options import BroadcastOptions

__all__ = ["Plan", "check_options", "default_file_name"]


def check_options(given: BroadcastOptions, is_final: Callable[[Any], bool]) -> None:
    """Check those options of a `Broadcast` whose values are final: each against its rule, and against the others.

    :param is_settled: returns whether a value is final, or still to be rendered.
    :raises ConfigurationError: naming the option, the rule and the value.
    """
    check_arguments(given.as_dict(), is_final)
    duration, ends_at, max_duration = (
        none_if_blank(value) if is_final(value) else value
        for value in (given.duration, given.ends_at, given.max_duration)
    )
    # None was not given; a template was.
    if (duration is None) == (ends_at is None):
        raise ConfigurationError(
            "give exactly one of duration and ends_at: a broadcast without an end stays on air", field="duration"
        )
    _check_order(given.starts_at, ends_at, is_final)
    for name, value in (("duration", duration), ("max_duration", max_duration)):
        if value is not None and is_final(value) and parse_duration(value, name) == timedelta(0):
            raise ConfigurationError(f"{name} must be greater than zero", field=name)


def _check_order(starts_at: Any, ends_at: Any, is_final: Callable[[Any], bool]) -> None:
    """Refuse a broadcast that ends before it starts, as far as both times are final.

    :raises ConfigurationError: naming ``ends_at``.
    """
    if not (is_final(starts_at) and is_final(ends_at)):
        return
    if none_if_blank(starts_at) is None or ends_at is None:
        return
    if _moment(ends_at, "ends_at") <= _moment(starts_at, "starts_at"):
        raise ConfigurationError(f"ends_at must be after starts_at, not {ends_at!s}", field="ends_at")


def _refuse_unwatchable(until: Any, live_code: Any) -> None:
    """Refuse to wait for the end of a stream that this worker cannot watch; the DAG processor may have other extras.

    :raises ConfigurationError: naming ``until``.
    """
    from airflow_provider_timav.stream.address import missing

    if until == "stream_ended" and str(live_code).strip() in ("rtmp", "5") and (lack := missing("rtmp:")) is not None:
        raise ConfigurationError(f"until: live_code is rtmp, and {lack}", field="until")


@dataclass(frozen=True)
class Plan:
    """What the tasks of a broadcast are to do: its options, checked and parsed.

    :param starts_at: when it begins; None begins it with the reservation.
    :param preroll: how long before that the room is taken.
    :param duration: how long it lasts from its beginning on; None if it ends at a fixed time.
    :param ends_at: that time.
    :param max_duration: how long it may last at most, from its beginning on.
    :param protected: whether viewers need a password.
    """

    key: LeaseKey
    title: str | None
    record: bool
    file_name: str | None
    starts_at: datetime | None
    preroll: timedelta
    duration: timedelta | None
    ends_at: datetime | None
    max_duration: timedelta
    wait_for_user: timedelta
    skip_if_late: timedelta | None
    protected: bool

    @classmethod
    def of(cls, rendered: BroadcastOptions) -> Plan:
        """Check and parse the rendered options of a `Broadcast`.

        :raises ConfigurationError: naming the option that breaks a rule.
        """
        from airflow_provider_timav.leases import LeaseKey
        from airflow_provider_timav.videorelay import calls
        from airflow_provider_timav.videorelay.rules import DATA_TYPES, SDK_TYPES

        check_options(rendered, always_final)
        given = rendered.filled()
        _refuse_unwatchable(given.until, given.live_code)
        host: dict[str, Any] = {"room_id": given.room_id, "user_id": given.user_id, "sdk_type": given.sdk_type}
        push: Any = calls.start_push(
            **host,
            push_data_type=given.push_data_type,
            live_code=given.live_code,
            rate_types=given.rate_types,
            channel_name=given.channel_name,
            player_password=given.player_password,
            **given_entries(given.push_options, "push_options"),
        ).request
        calls.start_record(
            **host,
            record_data_type=given.push_data_type,
            file_name=given.file_name or "to be chosen",
            **given_entries(given.record_options, "record_options"),
        )
        return cls(
            key=LeaseKey(
                timav_conn_id=str(given.timav_conn_id),
                room_id=push.room_id,
                user_id=push.user_id,
                push_data_type=_word(DATA_TYPES, push.push_data_type),
                sdk_type=_word(SDK_TYPES, push.sdk_type),
            ),
            title=push.channel_name,
            record=parse_bool(given.record, "record"),
            file_name=None if given.file_name is None else str(given.file_name),
            starts_at=None if given.starts_at is None else _moment(given.starts_at, "starts_at"),
            preroll=parse_duration(given.preroll, "preroll"),
            duration=None if given.duration is None else parse_duration(given.duration, "duration"),
            ends_at=None if given.ends_at is None else parse_datetime(given.ends_at, "ends_at"),
            max_duration=parse_duration(given.max_duration, "max_duration"),
            wait_for_user=parse_duration(given.wait_for_user, "wait_for_user"),
            skip_if_late=None if given.skip_if_late is None else parse_duration(given.skip_if_late, "skip_if_late"),
            protected=given.player_password is not None,
        )

    @property
    def ready_at(self) -> datetime | None:
        """When the room is taken, and everything checked; None at once."""
        return None if self.starts_at is None else self.starts_at - self.preroll

    def end(self, now: datetime) -> datetime:
        """Return when a broadcast that is reserved now ends."""
        return min(self._wanted_end(now), self._begin(now) + self.max_duration)

    def cut_by(self, now: datetime) -> timedelta:
        """Return how much sooner than wanted ``max_duration`` ends a broadcast that is reserved now; 0 if it does not."""
        return self._wanted_end(now) - self.end(now)

    def _begin(self, now: datetime) -> datetime:
        # A run that is late ends when it should have: its slot is not moved.
        return self.starts_at or now

    def _wanted_end(self, now: datetime) -> datetime:
        if self.ends_at is not None:
            return self.ends_at
        assert self.duration is not None  # noqa: S101 - one of the two is given, see `check_options`
        return self._begin(now) + self.duration


def _moment(value: Any, name: str) -> datetime:
    """Return a time in UTC: Python reckons with those of one zone as the clock shows them, changes of the clock left out.

    :raises ConfigurationError: naming the option.
    """
    return parse_datetime(value, name).astimezone(UTC)


def _word(words: Mapping[str, int], code: int) -> str:
    return next(word for word, number in words.items() if number == code)


def default_file_name(room_id: int, owner: Owner, generation: str) -> str:
    """Return ``{room}_{12 hex digits}``: the same over retries and clears, a different one for each broadcast."""
    identity = json.dumps([owner.dag_id, owner.run_id, owner.group_id, owner.map_index, generation])
    return f"{room_id}_{hashlib.sha256(identity.encode()).hexdigest()[:12]}"
