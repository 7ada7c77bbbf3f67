"""What a broadcast is to be: every option checked after rendering, before anything is written or sent."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_timav.arguments import DEFAULTS, flag, optional, point_in_time, time_span
from airflow_provider_timav.arguments import given as or_default
from airflow_provider_timav.videorelay.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_provider_timav.leases import LeaseKey, Owner

__all__ = ["PUSH_OPTIONS", "RECORD_OPTIONS", "Plan", "check_times", "default_file_name", "options"]

PUSH_OPTIONS = ("channel_describe", "watermark_flag", "watermark_id")
RECORD_OPTIONS = ("tags", "class_id", "transcode", "screenshot", "watermark")

_CHOICES = {
    "if_already_running": ("recover", "restart", "fail"),
    "until": ("deadline", "stream_ended"),
    "on_stall": ("ignore", "notify", "fail"),
}


def options(given: Any, name: str, known: tuple[str, ...]) -> dict[str, Any]:
    """Return ``push_options`` or ``record_options`` as a dict of what they may hold.

    :raises ConfigurationError: naming the option, where it is none of these or not a dict.
    """
    if given is None:
        return {}
    if not isinstance(given, dict):
        raise ConfigurationError(f"{name} must be a dict with some of {', '.join(known)}", field=name)
    for option in given:
        if option not in known:
            raise ConfigurationError(f"{name}: {option} is not known; known are {', '.join(known)}", field=name)
    return dict(given)


def check_times(duration: Any, ends_at: Any) -> None:
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

    @classmethod
    def of(cls, rendered: Mapping[str, Any]) -> Plan:
        """Check the rendered options of a `Broadcast`, by their names.

        :raises ConfigurationError: naming the option that breaks a rule.
        """
        from airflow_provider_timav.leases import LeaseKey
        from airflow_provider_timav.videorelay import calls
        from airflow_provider_timav.videorelay.models import DATA_TYPES, SDK_TYPES

        given = {
            name: optional(value) if name not in DEFAULTS else or_default(value, name)
            for name, value in rendered.items()
        }
        names = ("live_code", "rate_types", "channel_name", "player_password")
        where = {"room_id": rendered["room_id"], "user_id": rendered["user_id"], "sdk_type": given["sdk_type"]}
        push: Any = calls.start_push(
            **where,
            push_data_type=given["push_data_type"],
            **{name: given[name] for name in names},
            **_given(options(given["push_options"], "push_options", PUSH_OPTIONS)),
        ).request
        calls.start_record(
            **where,
            record_data_type=given["push_data_type"],
            file_name=given["file_name"] or "to be chosen",
            **_given(options(given["record_options"], "record_options", RECORD_OPTIONS)),
        )
        for name, words in _CHOICES.items():
            if given[name] not in words:
                raise ConfigurationError(f"{name} must be {', '.join(words)}, not {given[name]!r}", field=name)
        if given["until"] == "stream_ended" and push.live_code == 5:
            raise ConfigurationError(
                "until: the end of a stream can be seen in HLS only, and live_code is rtmp", field="until"
            )
        flag(given["require_file_ids"] or False, "require_file_ids")
        time_span(given["grace"], "grace")
        ends_at, duration = given["ends_at"], given["duration"]
        check_times(duration, ends_at)
        late = None if rendered["skip_if_late"] is None else given["skip_if_late"]
        plan = cls(
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
        )
        for name in ("duration", "max_duration"):
            if getattr(plan, name) == timedelta(0):
                raise ConfigurationError(f"{name} must be more than nothing", field=name)
        return plan

    def end(self, now: datetime) -> datetime:
        """Return when a broadcast that is reserved now ends."""
        longest = now + self.max_duration
        if self.ends_at is not None:
            return min(self.ends_at, longest)
        assert self.duration is not None  # noqa: S101 - one of the two is given, see `of`
        return min(now + self.duration, longest)


def _given(rendered: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in rendered.items() if optional(value) is not None}


def _word(words: Mapping[str, int], code: int) -> str:
    return next(word for word, number in words.items() if number == code)


def default_file_name(room_id: int, owner: Owner, generation: str) -> str:
    """Return ``{room}_{12 hex digits}``: the same over retries and clears, another one for each broadcast."""
    identity = json.dumps([owner.dag_id, owner.run_id, owner.group_id, owner.map_index, generation])
    return f"{room_id}_{hashlib.sha256(identity.encode()).hexdigest()[:12]}"
