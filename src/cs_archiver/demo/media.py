"""Generates small but real sound, video and pictures that any player opens, always the same for one label."""

import hashlib
import io
import math
import struct
import wave
import zlib
from functools import cache

FRAMES_PER_SECOND = 25
SAMPLE_RATE_HZ = 48_000
CHANNELS = 2
_SAMPLE_BYTES = 2
_PIXEL_BYTES = 3

# The eight bars of a test card, as red, green, blue.
_BARS = (
    (192, 192, 192), (192, 192, 0), (0, 192, 192), (0, 192, 0),
    (192, 0, 192), (192, 0, 0), (0, 0, 192), (16, 16, 16),
)  # fmt: skip


def noise(label: bytes, size_bytes: int) -> bytes:
    """Bytes no archiver can shrink, always the same for one label."""
    return hashlib.shake_128(label).digest(size_bytes)


def wav(label: bytes, *, seconds: int, grain_bits: int) -> bytes:
    """A stereo 16-bit 48 kHz WAV file: a voice-like tone over `grain_bits` (0 to 8) bits of room noise."""
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(CHANNELS)
        sound.setsampwidth(_SAMPLE_BYTES)
        sound.setframerate(SAMPLE_RATE_HZ)
        for second in range(seconds):
            sound.writeframesraw(_second_of_sound(label, second, grain_bits))
    return file.getvalue()


def avi(label: bytes, *, seconds: int, grain_bits: int, width: int = 320, height: int = 180) -> bytes:
    """An AVI file of uncompressed 24-bit video, 25 frames a second, with stereo sound.

    `grain_bits` (0 to 8) bits of every byte of the picture are camera noise. `width` is a multiple of 4.
    """
    index = io.BytesIO()
    body = io.BytesIO()
    body.write(b"movi")
    for number in range(seconds * FRAMES_PER_SECOND):
        frame = picture(label, width=width, height=height, grain_bits=grain_bits, shift=number)
        _append_indexed(body, index, b"00db", frame)
        if number % FRAMES_PER_SECOND == 0:
            sound = _second_of_sound(label, number // FRAMES_PER_SECOND, grain_bits)
            _append_indexed(body, index, b"01wb", sound)
    header = _avi_header(seconds, width, height)
    movie = _chunk(b"LIST", body.getvalue())
    return _chunk(b"RIFF", b"AVI " + _chunk(b"LIST", header) + movie + _chunk(b"idx1", index.getvalue()))


def png(label: bytes, *, width: int, height: int, grain_bits: int) -> bytes:
    """A 24-bit PNG picture."""
    pixels = picture(label, width=width, height=height, grain_bits=grain_bits)
    stride = width * _PIXEL_BYTES
    rows = b"".join(b"\0" + pixels[start : start + stride] for start in range(0, len(pixels), stride))
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(rows, 1)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_png_chunk(kind, content) for kind, content in parts)


def ppm(label: bytes, *, width: int, height: int, grain_bits: int, shift: int = 0) -> bytes:
    """A 24-bit PPM picture; `shift` moves it on, for the frames of a sequence."""
    pixels = picture(label, width=width, height=height, grain_bits=grain_bits, shift=shift)
    return b"P6\n%d %d\n255\n" % (width, height) + pixels


def picture(label: bytes, *, width: int, height: int, grain_bits: int, shift: int = 0) -> bytes:
    """The pixels of a test card drifting by `shift` steps, three bytes each, row by row."""
    row = _bars_row(width, grain_bits)
    turn = (shift * 4 % width) * _PIXEL_BYTES
    card = (row[turn:] + row[:turn]) * height
    if not grain_bits:
        return card
    grain = noise(b"%s picture %d" % (label, shift), len(card)).translate(_low_bits(grain_bits))
    mixed = int.from_bytes(card, "little") | int.from_bytes(grain, "little")
    return mixed.to_bytes(len(card), "little")


@cache
def _bars_row(width: int, grain_bits: int) -> bytes:
    coloured = b"".join(bytes(_BARS[x * len(_BARS) // width]) for x in range(width))
    keep = 0xFF & ~((1 << grain_bits) - 1)
    return bytes(value & keep for value in coloured)


@cache
def _low_bits(bits: int) -> bytes:
    mask = (1 << bits) - 1
    return bytes(value & mask for value in range(256))


def _second_of_sound(label: bytes, second: int, grain_bits: int) -> bytes:
    pitch_hz = 110 + zlib.crc32(b"%s %d" % (label, second)) % 8 * 15
    samples = bytearray(_phrase(pitch_hz))
    if grain_bits:
        hiss = noise(b"%s sound %d" % (label, second), len(samples) // _SAMPLE_BYTES)
        samples[::_SAMPLE_BYTES] = hiss.translate(_low_bits(grain_bits))
    return bytes(samples)


@cache
def _phrase(pitch_hz: int) -> bytes:
    values: list[int] = []
    for number in range(SAMPLE_RATE_HZ):
        angle = 2 * math.pi * pitch_hz * number / SAMPLE_RATE_HZ
        syllable = math.sin(4 * math.pi * number / SAMPLE_RATE_HZ) ** 2
        value = int(9000 * syllable * (math.sin(angle) + math.sin(3 * angle) / 3)) & ~0xFF
        values.extend((value,) * CHANNELS)
    return struct.pack(f"<{len(values)}h", *values)


def _avi_header(seconds: int, width: int, height: int) -> bytes:
    frames = seconds * FRAMES_PER_SECOND
    frame_bytes = width * height * _PIXEL_BYTES
    block_bytes = CHANNELS * _SAMPLE_BYTES
    sound_bytes = SAMPLE_RATE_HZ * block_bytes
    has_index, is_interleaved = 0x10, 0x100
    main = struct.pack(
        "<14I",
        1_000_000 // FRAMES_PER_SECOND, frame_bytes * FRAMES_PER_SECOND + sound_bytes, 0,
        has_index | is_interleaved, frames, 0, 2, frame_bytes, width, height, 0, 0, 0, 0,
    )  # fmt: skip
    bitmap = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, frame_bytes, 0, 0, 0, 0)
    video = _stream_header(b"vids", b"DIB ", (1, FRAMES_PER_SECOND), frames, frame_bytes, 0, (width, height))
    pcm = struct.pack("<HHIIHH", 1, CHANNELS, SAMPLE_RATE_HZ, sound_bytes, block_bytes, _SAMPLE_BYTES * 8)
    length = seconds * SAMPLE_RATE_HZ
    pace = (block_bytes, sound_bytes)
    sound = _stream_header(b"auds", b"\0" * 4, pace, length, sound_bytes, block_bytes, (0, 0))
    streams = (
        _chunk(b"LIST", b"strl" + _chunk(b"strh", header) + _chunk(b"strf", layout))
        for header, layout in ((video, bitmap), (sound, pcm))
    )
    return b"hdrl" + _chunk(b"avih", main) + b"".join(streams)


def _stream_header(
    kind: bytes,
    handler: bytes,
    scale_and_rate: tuple[int, int],
    length: int,
    buffer_bytes: int,
    sample_bytes: int,
    size: tuple[int, int],
) -> bytes:
    return struct.pack(
        "<4s4sIHHIIIIIIiI4h",
        kind, handler, 0, 0, 0, 0, *scale_and_rate, 0, length, buffer_bytes, -1, sample_bytes, 0, 0, *size,
    )  # fmt: skip


def _append_indexed(body: io.BytesIO, index: io.BytesIO, kind: bytes, content: bytes) -> None:
    keyframe = 0x10
    index.write(struct.pack("<4sIII", kind, keyframe, body.tell(), len(content)))
    body.write(_chunk(kind, content))


def _chunk(kind: bytes, content: bytes) -> bytes:
    padding = b"\0" * (len(content) % 2)
    return struct.pack("<4sI", kind, len(content)) + content + padding


def _png_chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
