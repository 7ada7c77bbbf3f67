"""Switches, one for each point that the specification leaves open."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args, get_type_hints

__all__ = ["Switches"]

AfterStop = Literal["endlist", "stall", "absent"]
RepeatedStop = Literal[412, 413]
AbsentRecorder = Literal[411, 415]
RateKey = Literal["RateType", "RateType "]


@dataclass(frozen=True, kw_only=True)
class Switches:
    """The emulator's behaviour on points that the specification leaves open. Immutable; a wrong value raises ValueError."""

    second_stop_returns_file_ids: bool = False
    """Whether a second stop of a recording succeeds and returns the file ids again. Field notes: they come only once."""

    push_ends_with_host: bool = True
    """Whether a push ends when its user leaves the room (there is nothing left to push). A stop then answers 411."""

    recording_ends_with_host: bool = False
    """Whether a recording ends when its user leaves. Its file ids then exist, but no answer ever carries them."""

    playlist_after_stop: AfterStop = "endlist"
    """What the playlist does once the push ended: carry EXT-X-ENDLIST, stand still, or answer 404."""

    repeated_stop: RepeatedStop = 412
    """Which of the two codes with the same meaning a repeated stop gets: 40000412 or 413, 30000412 or 413."""

    absent_recorder: AbsentRecorder = 411
    """What a start of a recording for a user who is not there gets: 30000411, or 30000415 with its second meaning."""

    wrap_body: bool = True
    """Whether `rspbody` wraps the result as `{"rsp_0x6": {...}}` (field notes) or is the result (specification)."""

    action_status: bool = False
    """Whether a success also carries the gateway's `ActionStatus: OK` and `ErrorCode: 0`."""

    kick_body: bool = False
    """Whether the answer to removing members carries a body, `rsp_0x1` with its result."""

    rate_key: RateKey = "RateType"
    """The spelling of a live URL's rate key; the specification has it with a trailing blank."""

    numbers_as_strings: bool = False
    """Whether all numbers of an answer come as strings."""

    files_per_recording: int = 1
    """How many files, and so file ids, a recording makes (0 or more)."""

    first_segment_after: float = 0.0
    """Seconds from the start of a push to its first segment; before that the playlist answers 404."""

    stream_speed: float = 1.0
    """How much faster than real time playlists move: tests that wait for a movement need not wait for 2 s."""

    def __post_init__(self) -> None:
        for name, hint in get_type_hints(type(self)).items():
            value = getattr(self, name)
            if hint is bool and not isinstance(value, bool):
                raise ValueError(f"{name} is True or False, not {value!r}")
            if get_args(hint) and value not in get_args(hint):
                raise ValueError(f"{name} is one of {', '.join(map(repr, get_args(hint)))}, not {value!r}")
            if hint in (int, float) and (isinstance(value, bool) or not isinstance(value, int | hint)):
                raise ValueError(f"{name} is a number, not {value!r}")
        if self.files_per_recording < 0:
            raise ValueError("files_per_recording is 0 or more")
        if not 0 <= self.first_segment_after < float("inf"):
            raise ValueError("first_segment_after is 0 or more seconds")
        if not 0 < self.stream_speed < float("inf"):
            raise ValueError("stream_speed is above 0")
