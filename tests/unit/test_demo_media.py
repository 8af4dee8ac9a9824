"""The demo's media are real: each is taken apart here by the rules of its format."""

import io
import json
import struct
import wave
import zlib
from collections.abc import Callable, Iterator
from xml.etree import ElementTree

import pytest

from cs_archiver.demo import media, texts


def riff_chunks(content: bytes) -> Iterator[tuple[bytes, int, bytes]]:
    """Id, offset and content of each chunk in a row of chunks."""
    offset = 0
    while offset < len(content):
        kind, size = struct.unpack_from("<4sI", content, offset)
        assert offset + 8 + size <= len(content)
        yield kind, offset, content[offset + 8 : offset + 8 + size]
        offset += 8 + size + size % 2


def png_chunks(content: bytes) -> dict[bytes, bytes]:
    """The chunks of a PNG file, each CRC checked."""
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    chunks, offset = {}, 8
    while offset < len(content):
        size, kind = struct.unpack_from(">I4s", content, offset)
        body = content[offset + 8 : offset + 8 + size]
        (crc,) = struct.unpack_from(">I", content, offset + 8 + size)
        assert crc == zlib.crc32(kind + body)
        chunks[kind] = body
        offset += 12 + size
    return chunks


@pytest.mark.parametrize("grain_bits", [0, 5, 8])
def test_a_wav_file_plays_for_as_long_as_asked(grain_bits: int) -> None:
    with wave.open(io.BytesIO(media.wav(b"x", seconds=2, grain_bits=grain_bits))) as sound:
        assert (sound.getnchannels(), sound.getsampwidth(), sound.getframerate()) == (2, 2, 48_000)
        assert sound.getnframes() == 2 * 48_000
        samples = struct.unpack(f"<{2 * 2 * 48_000}h", sound.readframes(2 * 48_000))
    assert max(samples) > 5000
    assert min(samples) < -5000


def test_an_avi_file_holds_every_frame_and_second_of_sound_where_its_index_says() -> None:
    content = media.avi(b"x", seconds=2, grain_bits=3, width=64, height=36)

    ((kind, _, body),) = riff_chunks(content)
    assert (kind, body[:4]) == (b"RIFF", b"AVI ")
    (_, _, header), (_, _, movie), (index_kind, _, index) = riff_chunks(body[4:])
    assert (header[:4], movie[:4], index_kind) == (b"hdrl", b"movi", b"idx1")

    frames = {offset + 4: (kind, len(chunk)) for kind, offset, chunk in riff_chunks(movie[4:])}
    assert [kind for kind, _ in frames.values()].count(b"00db") == 2 * 25
    assert {size for kind, size in frames.values() if kind == b"00db"} == {64 * 36 * 3}
    assert sum(size for kind, size in frames.values() if kind == b"01wb") == 2 * 48_000 * 2 * 2
    indexed = {offset: (kind, size) for kind, _, offset, size in struct.iter_unpack("<4sIII", index)}
    assert indexed == frames


def test_an_avi_header_describes_the_streams() -> None:
    content = media.avi(b"x", seconds=2, grain_bits=0, width=64, height=36)

    ((_, _, body),) = riff_chunks(content)
    header = next(riff_chunks(body[4:]))[2]
    main, *streams = (chunk for _, _, chunk in riff_chunks(header[4:]))
    fields = struct.unpack("<14I", main)
    assert (fields[0], fields[4], fields[6], fields[8], fields[9]) == (40_000, 50, 2, 64, 36)
    (_, _, video), (_, _, bitmap) = riff_chunks(streams[0][4:])
    (_, _, sound), (_, _, pcm) = riff_chunks(streams[1][4:])
    assert (len(video), video[:8], len(sound), sound[:4]) == (56, b"vidsDIB ", 56, b"auds")
    assert struct.unpack("<IiiHHI", bitmap[:20]) == (40, 64, 36, 1, 24, 0)
    assert struct.unpack("<HHIIHH", pcm) == (1, 2, 48_000, 192_000, 4, 16)


@pytest.mark.parametrize("grain_bits", [0, 6])
def test_a_png_picture_has_sound_chunks_and_all_its_rows(grain_bits: int) -> None:
    chunks = png_chunks(media.png(b"x", width=40, height=20, grain_bits=grain_bits))

    assert list(chunks) == [b"IHDR", b"IDAT", b"IEND"]
    assert struct.unpack(">IIBBBBB", chunks[b"IHDR"]) == (40, 20, 8, 2, 0, 0, 0)
    rows = zlib.decompress(chunks[b"IDAT"])
    assert len(rows) == 20 * (1 + 40 * 3)
    assert set(rows[:: 1 + 40 * 3]) == {0}


def test_a_ppm_picture_is_as_long_as_its_header_says() -> None:
    header, pixels = media.ppm(b"x", width=40, height=20, grain_bits=2).split(b"\n255\n", 1)

    assert header == b"P6\n40 20"
    assert len(pixels) == 40 * 20 * 3


def test_grain_adds_noise_to_the_picture_without_hiding_it() -> None:
    clean = media.picture(b"x", width=80, height=40, grain_bits=0)
    grainy = media.picture(b"x", width=80, height=40, grain_bits=4)

    assert {a >> 4 for a in clean} == {a >> 4 for a in grainy}
    assert [a >> 4 for a in clean] == [a >> 4 for a in grainy]
    assert len(zlib.compress(clean)) < len(clean) // 10
    assert len(zlib.compress(grainy)) > len(grainy) // 3


def test_full_grain_cannot_be_shrunk() -> None:
    pixels = media.picture(b"x", width=80, height=40, grain_bits=8)

    assert len(zlib.compress(pixels)) >= len(pixels)


def test_frames_move() -> None:
    first, second = (media.picture(b"x", width=80, height=40, grain_bits=0, shift=n) for n in (0, 1))

    assert first != second


def test_media_are_the_same_for_one_label_and_differ_between_labels() -> None:
    makers: tuple[Callable[[bytes], bytes], ...] = (
        lambda label: media.wav(label, seconds=1, grain_bits=4),
        lambda label: media.avi(label, seconds=1, grain_bits=4, width=32, height=18),
        lambda label: media.png(label, width=32, height=18, grain_bits=4),
        lambda label: texts.notes(label, lines=5),
    )
    for make in makers:
        assert make(b"one") == make(b"one")
        assert make(b"one") != make(b"two")


def test_text_files_can_be_read_by_the_programs_they_are_for() -> None:
    sequence = ElementTree.fromstring(texts.edit_list(b"x", clips=["A.avi", "B.avi"]))
    assert [file.text for file in sequence.iter("file")] == ["A.avi", "B.avi"]
    assert [entry["clip"] for entry in json.loads(texts.clip_metadata(b"x", clips=["A.avi"]))] == ["A.avi"]
    number, span, caption, *_ = texts.subtitles(b"x", captions=2).decode().splitlines()
    assert (number, span) == ("1", "00:00:00,000 --> 00:00:02,500")
    assert caption.endswith(".")
    heading, *rows = texts.playout_log(b"x", rows=100).decode().splitlines()
    assert len(rows) == 100
    assert {row.count(",") for row in (heading, *rows)} == {3}
