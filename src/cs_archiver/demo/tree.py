"""Builds the example NAS: folders to archive, awkward ones among them, and all that discovery must leave out."""

import os
from pathlib import Path

from cs_archiver.demo import media, oddities, texts
from cs_archiver.demo.planting import Plot

_NEWS = "Production/2024/Evening News Rushes"
_PODCAST = "Production/2024/Morning Show Podcast"
_ELECTION = "Production/2023/Election Night"
_CONCERT = "Production/2023/Café Concert – 第一部"
_STAR = "Graphics & Idents/Station Look/a*b"
_STAR_TWIN = "Graphics & Idents/Station Look/aXb"
_IDENT = "Graphics & Idents/Station Look/-ident package"
_TITLES = 'Graphics & Idents/Director\'s Cuts/The "Quoted" Title $(card)'
_HARBOUR = "Events/Harbour Festival/Take 01"
_OPEN_DAY = "Events/Open Day/Take 01"
_ODD_NAMES = "Studio B/Rehearsals/Odd Names"
_ODD_KINDS = "Studio B/Rehearsals/Links and Odd Files"
_PLAYOUT = "Studio B/Transmission/Playout: Week 12"

ARCHIVABLE: tuple[str, ...] = (
    _NEWS, _PODCAST, _ELECTION, _CONCERT, _STAR, _STAR_TWIN, _IDENT, _TITLES, _HARBOUR, _OPEN_DAY,
    _ODD_NAMES, _ODD_KINDS, _PLAYOUT,
)  # fmt: skip
"""The folders discovery must list, as `level1/level2/folder`."""

LEFT_OUT: tuple[str, ...] = (
    "Production/2023/Harvest Report",
    "Production/2023/Weather Loops",
    "Production/2024/Notes Only",
    "Production/2024/Notes Below Litter",
    "Production/2024/To Be Filled",
    "Production/2024/Empty Rooms",
    "Production/2024/Litter Only",
    "Production/2024/Shortcut to Election Night",
    "Production/2024/.hidden",
    "Production/@Recently-Snapshot",
    "@Recycle",
    "Station handbook.txt",
    "Production/contact sheet.png",
    "Production/2024/rundown.xml",
)
"""What discovery must not list and archiving must not touch: folders at levels 1 to 3, a link and loose files."""


def build(base: Path) -> None:
    """Fill the empty folder `base`, which stands for the NAS share, with about 150 MB; always the same tree.

    The folders are exactly `ARCHIVABLE` and `LEFT_OUT`. Every entry has its own date with a fraction of a second.
    """
    nas = Plot(os.fsencode(base))
    _plant_productions(nas)
    _plant_graphics(nas)
    _plant_events(nas)
    oddities.plant_names(nas.folder(_ODD_NAMES))
    oddities.plant_kinds(nas.folder(_ODD_KINDS))
    _plant_playout(nas.folder(_PLAYOUT))
    _plant_left_out(nas)
    nas.date_folders()


def _plant_productions(nas: Plot) -> None:
    news = nas.folder(_NEWS)
    news.file("Camera A.avi", media.avi(b"camera a", seconds=5, grain_bits=8))
    news.file("Camera B.avi", media.avi(b"camera b", seconds=4, grain_bits=2))
    news.file("boom mic.wav", media.wav(b"boom", seconds=20, grain_bits=5))
    news.file("edit.xml", texts.edit_list(b"edit", clips=["Camera A.avi", "Camera B.avi"]))
    news.file("clips.json", texts.clip_metadata(b"clips", clips=["Camera A.avi", "Camera B.avi"]))
    news.folder("Subtitles").file("evening.srt", texts.subtitles(b"evening", captions=200))
    oddities.plant_litter(news)

    podcast = nas.folder(_PODCAST)
    for number in range(1, 4):
        label = b"episode %d" % number
        podcast.file(f"Episode {number}.wav", media.wav(label, seconds=30, grain_bits=8))
        podcast.file(f"Episode {number}.srt", texts.subtitles(label, captions=60))

    election = nas.folder(_ELECTION)
    election.file("Studio.avi", media.avi(b"election", seconds=4, grain_bits=4))
    stills = election.folder("Stills")
    for number in range(6):
        stills.file(f"still {number}.png", media.png(b"still %d" % number, width=640, height=360, grain_bits=7))

    concert = nas.folder(_CONCERT)
    concert.file("encore.wav", media.wav(b"encore", seconds=20, grain_bits=7))
    concert.file("affiche – été.png", media.png(b"poster", width=640, height=360, grain_bits=6))


def _plant_graphics(nas: Plot) -> None:
    for path in (_STAR, _STAR_TWIN):
        look = nas.folder(path)
        for number in range(2):
            label = b"%s %d" % (os.fsencode(path), number)
            look.file(f"background {number}.ppm", media.ppm(label, width=1280, height=720, grain_bits=5))
    ident = nas.folder(_IDENT)
    frames = ident.folder("frames")
    for number in range(200):
        frame = media.ppm(b"ident", width=160, height=90, grain_bits=3, shift=number)
        frames.file(f"ident.{number:04d}.ppm", frame)
    ident.file("ident.wav", media.wav(b"ident", seconds=8, grain_bits=0))
    titles = nas.folder(_TITLES)
    titles.file("title.png", media.png(b"title", width=1280, height=720, grain_bits=6))
    titles.file("title.xml", texts.edit_list(b"title", clips=["title.png"]))


def _plant_events(nas: Plot) -> None:
    for path, seconds in ((_HARBOUR, 3), (_OPEN_DAY, 2)):
        take = nas.folder(path)
        take.file("take.avi", media.avi(os.fsencode(path), seconds=seconds, grain_bits=6))
        take.file("log.txt", texts.notes(os.fsencode(path), lines=400))


def _plant_playout(plot: Plot) -> None:
    plot.file("as run.csv", texts.playout_log(b"as run", rows=60_000))
    plot.file("jingle.wav", media.wav(b"jingle", seconds=10, grain_bits=0))
    oddities.plant_depth(plot.folder("Logger Backup"))


def _plant_left_out(nas: Plot) -> None:
    clip = media.avi(b"left out", seconds=1, grain_bits=0, width=160, height=90)
    archived = nas.folder("Production/2023/Harvest Report")
    archived.file("Harvest Report-ARCHIVED-TO-GLOBUS.txt", b"Archived on: 2023-11-05 08:15:00 UTC\n")
    archived.file("added later.avi", clip)
    marked = nas.folder("Production/2023/Weather Loops")
    marked.file(".archived", b"")
    marked.file("loop.avi", clip)

    year = nas.folder("Production/2024")
    year.folder("Notes Only").file("notes.txt", texts.notes(b"notes only", lines=12))
    below = year.folder("Notes Below Litter")
    below.folder("Paper").file("Running Order.TXT", texts.notes(b"running order", lines=12))
    oddities.plant_litter(below)
    year.folder("To Be Filled")
    year.folder("Empty Rooms").folder("Room 1/Shelf")
    year.folder("Empty Rooms").folder("Room 2")
    oddities.plant_litter(year.folder("Litter Only"))
    year.symlink("Shortcut to Election Night", "../2023/Election Night")
    year.folder(".hidden").file("clip.avi", clip)
    nas.folder("Production/@Recently-Snapshot/Daily").file("clip.avi", clip)
    nas.folder("@Recycle/2024/Deleted Take").file("take.avi", clip)

    nas.file("Station handbook.txt", texts.notes(b"handbook", lines=80))
    nas.folder("Production").file("contact sheet.png", media.png(b"sheet", width=320, height=180, grain_bits=4))
    year.file("rundown.xml", texts.edit_list(b"rundown", clips=["Camera A.avi"]))
