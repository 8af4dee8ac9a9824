"""Where a symbolic link leads."""

import pytest

from cs_archiver.domain.links import leads_out

FOLDER = b"/nas/Production/2024/Alpha"


@pytest.mark.parametrize(
    ("link", "target", "expected"),
    [
        (b"link", b"file", False),
        (b"link", b"./sub//file", False),
        (b"link", b".", False),
        (b"link", b"sub/../file", False),
        (b"sub/link", b"../file", False),
        (b"link", b"..", True),
        (b"link", b"../Beta/file", True),
        (b"link", b"../Alpha/file", True),
        (b"sub/link", b"../../file", True),
        (b"sub/link", b"../../Alpha/file", True),
        (b"link", b"sub/../../file", True),
        (b"link", b"/etc/passwd", True),
        (b"link", b"/", True),
        (b"link", b"/nas/Production/2024", True),
        (b"link", b"/nas/Production/2024/Alphabet/file", True),
        (b"link", b"/nas/Production/2024/Alpha/../Beta", True),
        (b"link", b"/../etc", True),
        (b"link", b"/nas/Production/2024/Alpha/file", False),
        (b"link", b"/nas/Production/2024/Alpha", False),
        (b"\xff/link", b"\xfe", False),
        (b"link", b"...", False),
    ],
)
def test_link_leads_out_when_what_it_names_is_not_in_the_folder(link: bytes, target: bytes, expected: bool) -> None:
    assert leads_out(link, target, folder=FOLDER) is expected
