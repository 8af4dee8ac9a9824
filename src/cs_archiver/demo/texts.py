"""Generates the text files that lie beside media: subtitles, edit lists, clip metadata, notes and logs."""

import json
from itertools import cycle, islice

from cs_archiver.demo.media import FRAMES_PER_SECOND, noise

_WORDS = (
    "camera", "studio", "microphone", "interview", "archive", "headline", "weather", "harbour", "market",
    "council", "traffic", "concert", "audience", "rehearsal", "graphic", "caption", "opening", "closing",
    "wide", "close", "take", "retake", "bulletin", "broadcast", "signal", "live",
)  # fmt: skip


def sentence(label: bytes, words: int = 9) -> str:
    """A line of newsroom words ending in a full stop, always the same for one label."""
    chosen = [_WORDS[value % len(_WORDS)] for value in noise(label, words)]
    return " ".join(chosen).capitalize() + "."


def notes(label: bytes, *, lines: int) -> bytes:
    """A plain text file."""
    return "".join(f"{sentence(b'%s %d' % (label, n))}\n" for n in range(lines)).encode()


def subtitles(label: bytes, *, captions: int) -> bytes:
    """An SRT subtitle file, one caption every three seconds."""
    blocks = (
        f"{n + 1}\n{_clock(n * 3)},000 --> {_clock(n * 3 + 2)},500\n{sentence(b'%s %d' % (label, n))}\n"
        for n in range(captions)
    )
    return "\n".join(blocks).encode()


def edit_list(label: bytes, *, clips: list[str]) -> bytes:
    """An XML edit decision list naming `clips`, two seconds of each."""
    length = 2 * FRAMES_PER_SECOND
    items = "".join(
        f'  <clip id="{n}" start="{n * length}" end="{(n + 1) * length}">\n    <file>{clip}</file>\n'
        f"    <remark>{sentence(b'%s %d' % (label, n), 6)}</remark>\n  </clip>\n"
        for n, clip in enumerate(clips)
    )
    head = f'<?xml version="1.0" encoding="UTF-8"?>\n<sequence rate="{FRAMES_PER_SECOND}">\n'
    return f"{head}{items}</sequence>\n".encode()


def clip_metadata(label: bytes, *, clips: list[str]) -> bytes:
    """A JSON sidecar describing `clips`."""
    entries = [
        {"clip": clip, "slate": n + 1, "remark": sentence(b"%s %d" % (label, n)), "frame_rate": FRAMES_PER_SECOND}
        for n, clip in enumerate(clips)
    ]
    return json.dumps(entries, indent=2).encode()


def playout_log(label: bytes, *, rows: int) -> bytes:
    """A CSV log of what went on air: long, repetitive, and packed to a fraction."""
    remarks = cycle([sentence(b"%s %d" % (label, n), 6) for n in range(40)])
    numbered = enumerate(islice(remarks, rows))
    lines = (f"{_clock(n * 3)},CHANNEL-1,{n % 40:02d},{remark}\n" for n, remark in numbered)
    return ("time,channel,item,remark\n" + "".join(lines)).encode()


def _clock(seconds: int) -> str:
    return f"{seconds // 3600 % 24:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"
