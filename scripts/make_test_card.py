"""Makes the emulator's test card: `python scripts/make_test_card.py` (needs ffmpeg with libx264 and a monospace font).

The card is a loop of 64 s in 32 MPEG-TS segments of 2 s: colour bars, a running clock, a bar that crosses the picture
once per segment, and a tone that beeps every second. It is made once and shipped as package data, so that the emulator
itself needs no ffmpeg.

64 s is no accident: at 16 kHz it is exactly 1000 AAC frames, so the audio of a segment and of the one 32 further on are
cut at the same place, and the loop can be played round without a gap or an overlap. For the same reason the first
segment of the encoding, where the AAC encoder primes itself, is thrown away.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

SEGMENT_SECONDS = 2
SEGMENTS = 32
FRAMES_PER_SECOND = 10
WIDTH, HEIGHT = 320, 180
PRIMING_SEGMENTS = 1  # thrown away in front; one more is thrown away behind, where the encoder is flushed
MEDIA = Path(__file__).resolve().parent.parent / "airflow_provider_timav" / "emulator" / "media"


def filter_graph() -> str:
    """Draws clock and moving bar; the clock reads 0 at the first segment that is kept."""
    offset = -PRIMING_SEGMENTS * SEGMENT_SECONDS
    clock = f"drawtext=font=monospace:text='%{{pts\\:hms\\:{offset}}}':x=(w-tw)/2:y=60:fontsize=32:fontcolor=white"
    return (
        f"[0:v]drawbox=x=30:y=44:w=260:h=60:color=black:t=fill,{clock},"
        f"drawbox=x=0:y=168:w={WIDTH}:h=12:color=black:t=fill[card];"
        f"[card][1:v]overlay=x='mod(t,{SEGMENT_SECONDS})/{SEGMENT_SECONDS}*W':y=168,format=yuv420p[video]"
    )


def encode(folder: Path) -> list[Path]:
    """Encodes the loop and what is thrown away around it; returns all segments in order."""
    seconds = (SEGMENTS + PRIMING_SEGMENTS + 1) * SEGMENT_SECONDS
    group = str(FRAMES_PER_SECOND * SEGMENT_SECONDS)
    command = ["ffmpeg", "-hide_banner", "-loglevel", "warning", "-y"]
    command += ["-f", "lavfi", "-i", f"smptebars=size={WIDTH}x{HEIGHT}:rate={FRAMES_PER_SECOND}"]
    command += ["-f", "lavfi", "-i", f"color=white:size=16x12:rate={FRAMES_PER_SECOND}"]
    command += ["-f", "lavfi", "-i", "sine=frequency=440:beep_factor=2:sample_rate=16000"]
    command += ["-filter_complex", filter_graph(), "-map", "[video]", "-map", "2:a", "-t", str(seconds)]
    # No B-frames and closed groups: every segment starts with a key frame and decodes on its own.
    command += ["-c:v", "libx264", "-preset", "veryslow", "-profile:v", "main", "-bf", "0", "-crf", "30"]
    command += ["-g", group, "-keyint_min", group, "-sc_threshold", "0"]
    command += ["-c:a", "aac", "-b:a", "16k", "-ac", "1"]
    # PAT and PMT once per segment: their default of ten a second would be half of all bytes at this size.
    command += ["-muxdelay", "0", "-muxpreload", "0", "-f", "segment", "-segment_time", str(SEGMENT_SECONDS)]
    command += ["-segment_format", "mpegts", "-segment_format_options", "pat_period=10:sdt_period=60"]
    command += [str(folder / "%03d.ts")]
    subprocess.run(command, check=True)
    return sorted(folder.glob("*.ts"))


def main() -> int:
    """Replaces the segments in the package; the exit status tells."""
    parser = argparse.ArgumentParser(description="Make the emulator's test card with ffmpeg.")
    parser.add_argument("--output", type=Path, default=MEDIA, help="folder for the segments (default: the package's)")
    output = parser.parse_args().output
    with tempfile.TemporaryDirectory() as folder:
        segments = encode(Path(folder))[PRIMING_SEGMENTS : PRIMING_SEGMENTS + SEGMENTS]
        if len(segments) != SEGMENTS:
            print(f"ffmpeg made {len(segments)} usable segments, {SEGMENTS} are needed", file=sys.stderr)
            return 1
        output.mkdir(parents=True, exist_ok=True)
        for old in output.glob("*.ts"):
            old.unlink()
        for number, segment in enumerate(segments):
            (output / f"{number:02d}.ts").write_bytes(segment.read_bytes())
    size = sum(path.stat().st_size for path in output.glob("*.ts"))
    print(f"{SEGMENTS} segments, {size / 1024:.0f} KiB, in {output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
