"""How long a job will take, going by the last ones."""

import pytest

from cs_archiver.domain.estimate import Past, expected_seconds


@pytest.mark.parametrize(
    ("size", "past", "seconds"),
    [
        (1000, [], None),
        (1000, [Past(500, 10.0)], 20.0),
        (1000, [Past(500, 10.0), Past(1500, 10.0)], 10.0),
        (1, [Past(500, 10.0), Past(10, 5.0)], 5.0),
        (0, [Past(0, 3.0)], 3.0),
        (1000, [Past(0, 3.0)], 3.0),
    ],
)
def test_expected_seconds(size: int, past: list[Past], seconds: float | None) -> None:
    assert expected_seconds(size, past) == seconds
