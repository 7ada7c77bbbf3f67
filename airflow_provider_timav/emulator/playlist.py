"""What the audience of one push gets: HLS playlists that slide with time, and what can go wrong with them (RFC 8216)."""

from __future__ import annotations

import math
from typing import Final, Literal, get_args

from airflow_provider_timav.emulator.card import SEGMENT_SECONDS

__all__ = ["CHANGES", "RATES", "Change", "Stream"]

WINDOW: Final = 5  # segments in a playlist
KEPT: Final = 10  # further segments that can still be fetched after they left it; players lag behind
RATES: Final = {0: "original", 10: "sd", 20: "hd"}
_BANDWIDTH: Final = {"original": 1_500_000, "sd": 550_000, "hd": 900_000}  # bit/s; sd and hd as the specification says

Condition = Literal["live", "absent", "error", "empty", "hollow", "endlist"]
Change = Literal["freeze", "resume", "reset", "end", "absent", "error", "empty", "hollow"]
CHANGES: Final[tuple[Change, ...]] = get_args(Change)


class Stream:
    """The playlists of one push. Knows no clock and no HTTP: every method takes the time in seconds.

    `condition` is what the audience sees: `live`; `absent` (404) and `error` (500) of everything; `empty` (a playlist
    without segments); `hollow` (segments without bytes); `endlist` (EXT-X-ENDLIST). Standing still is independent of it.
    """

    def __init__(self, *, rates: tuple[str, ...], started_at: float, first_segment_after: float, speed: float) -> None:
        self.rates = rates
        self.condition: Condition = "live"
        self._origin = started_at + first_segment_after
        self._speed = speed
        self._still_since: float | None = None

    @property
    def still(self) -> bool:
        """Whether the playlist has stopped moving."""
        return self._still_since is not None

    def produced(self, now: float) -> int:
        """Return how many segments exist: one from the start, one more every 2 s of the stream's own time."""
        time = now if self._still_since is None else min(now, self._still_since)
        if time < self._origin:
            return 0
        return 1 + math.floor((time - self._origin) * self._speed / SEGMENT_SECONDS)

    def freeze(self, now: float) -> None:
        """Stop the playlist: same segments, same sequence number, until `resume`."""
        if self._still_since is None:
            self._still_since = now

    def resume(self, now: float) -> None:
        """Undo every condition; a frozen playlist continues from its last segment."""
        self.condition = "live"
        if self._still_since is not None:
            self._origin += now - self._still_since
            self._still_since = None

    def reset(self, now: float) -> None:
        """Start again with segment 0, as an encoder does that was restarted: the sequence number goes back."""
        self._origin = now
        self._still_since = None
        self.condition = "live"

    def end(self, now: float, how: Literal["endlist", "stall", "absent"]) -> None:
        """End the stream: the playlist stands still for good and says so (`endlist`), does not, or is gone."""
        self.freeze(now)
        self.condition = "live" if how == "stall" else how

    def change(self, change: Change, now: float) -> None:
        """Make a change: a method of that name, or a condition until `resume`."""
        match change:
            case "freeze":
                self.freeze(now)
            case "resume":
                self.resume(now)
            case "reset":
                self.reset(now)
            case "end":
                self.end(now, "endlist")
            case condition:
                self.condition = condition

    def media_playlist(self, rate: str, now: float) -> str | int:
        """Return the media playlist of `rate`, or the HTTP status in its place."""
        produced = self.produced(now)
        if self.condition == "error":
            return 500
        if self.condition == "absent" or rate not in self.rates or produced == 0:
            return 404
        first = max(0, produced - WINDOW)
        lines = [
            "#EXTM3U",
            "#EXT-X-VERSION:3",
            f"#EXT-X-TARGETDURATION:{SEGMENT_SECONDS}",
            f"#EXT-X-MEDIA-SEQUENCE:{first}",
        ]
        if self.condition != "empty":
            for sequence in range(first, produced):
                lines += [f"#EXTINF:{SEGMENT_SECONDS:.3f},", f"{rate}/{sequence}.ts"]
        if self.condition == "endlist":
            lines.append("#EXT-X-ENDLIST")
        return "\n".join(lines) + "\n"

    def master_playlist(self, now: float) -> str | int:
        """Return the playlist of all rates, or the HTTP status in its place (404 as long as there is no segment)."""
        lines = ["#EXTM3U"]
        for rate in self.rates:
            media = self.media_playlist(rate, now)
            if isinstance(media, int):
                return media
            lines += [
                f'#EXT-X-STREAM-INF:BANDWIDTH={_BANDWIDTH[rate]},CODECS="avc1.4d4015,mp4a.40.2",RESOLUTION=320x180',
                f"{rate}.m3u8",
            ]
        return "\n".join(lines) + "\n"

    def segment_status(self, rate: str, sequence: int, now: float) -> int:
        """Return 200 when segment `sequence` can be fetched, otherwise the HTTP status in its place."""
        if self.condition == "error":
            return 500
        produced = self.produced(now)
        exists = max(0, produced - WINDOW - KEPT) <= sequence < produced
        return 200 if exists and rate in self.rates and self.condition != "absent" else 404
