"""Guessing passwords is slowed down, per account and per address, and nobody can shut anybody else out."""

import pytest

from cs_archiver.services.throttle import LoginThrottle, TooManyAttempts

HERE, THERE = "192.0.2.1", "198.51.100.7"


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def throttle(clock: Clock) -> LoginThrottle:
    return LoginThrottle(clock)


def _fail(throttle: LoginThrottle, name: str, address: str, times: int = 1) -> None:
    for _ in range(times):
        throttle.begin(name, address)


def _wait(throttle: LoginThrottle, name: str, address: str) -> int:
    with pytest.raises(TooManyAttempts) as refused:
        throttle.begin(name, address)
    assert refused.value.status == 429
    seconds = refused.value.members["retry_after"]
    assert isinstance(seconds, int)
    return seconds


def test_waits_double_after_five_failures_up_to_a_minute(throttle: LoginThrottle, clock: Clock) -> None:
    _fail(throttle, "ann", HERE, 5)
    waits = []
    for _ in range(8):
        waits.append(_wait(throttle, "ann", HERE))
        clock.now += waits[-1]
        _fail(throttle, "ann", HERE)
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60]


def test_those_elsewhere_are_not_held_up(throttle: LoginThrottle) -> None:
    _fail(throttle, "ann", HERE, 5)
    _wait(throttle, "ann", HERE)
    _fail(throttle, "ann", THERE, 4)
    throttle.succeeded("ann", THERE)
    _wait(throttle, "ann", HERE)


def test_even_an_account_that_is_guessed_at_from_everywhere_has_one_attempt_from_each_address(
    throttle: LoginThrottle, clock: Clock
) -> None:
    for n in range(300):
        _fail(throttle, "ann", f"203.0.113.{n % 250}" if n < 250 else f"198.51.100.{n}")
    _fail(throttle, "ann", HERE)
    assert _wait(throttle, "ann", HERE) == 1
    _fail(throttle, "bob", HERE, 4)


def test_an_address_that_tries_many_accounts_is_held_up(throttle: LoginThrottle) -> None:
    for n in range(20):
        _fail(throttle, f"user{n}", HERE)
    _wait(throttle, "another", HERE)
    _fail(throttle, "another", THERE)


def test_signing_in_to_an_account_of_ones_own_does_not_make_an_address_innocent(throttle: LoginThrottle) -> None:
    for n in range(19):
        _fail(throttle, f"user{n}", HERE)
        throttle.begin("own", HERE)
        throttle.succeeded("own", HERE)
    _fail(throttle, "one more", HERE)
    _wait(throttle, "own", HERE)


def test_success_clears_the_failures_before_it(throttle: LoginThrottle) -> None:
    for _ in range(10):
        _fail(throttle, "ann", HERE, 5)
        throttle.succeeded("ann", HERE)
        throttle._addresses.clear(HERE)


def test_failures_are_forgotten_with_time(throttle: LoginThrottle, clock: Clock) -> None:
    _fail(throttle, "ann", HERE, 5)
    clock.now += 15 * 60
    _fail(throttle, "ann", HERE, 4)


def test_attempts_at_the_same_moment_count_before_they_are_answered(throttle: LoginThrottle) -> None:
    begun = 0
    for _ in range(100):
        try:
            throttle.begin("ann", HERE)
        except TooManyAttempts:
            continue
        begun += 1
    assert begun == 5


def test_only_the_first_refusal_of_a_wait_is_news(throttle: LoginThrottle, clock: Clock) -> None:
    _fail(throttle, "ann", HERE, 5)
    for _ in range(2):
        told = []
        for _ in range(3):
            with pytest.raises(TooManyAttempts) as refused:
                throttle.begin("ann", HERE)
            told.append(refused.value.is_first)
        assert told == [True, False, False]
        clock.now += 60
        _fail(throttle, "ann", HERE)


@pytest.mark.parametrize("name", ["Ann", "ANN"])
def test_names_are_told_apart_as_the_database_does(throttle: LoginThrottle, name: str) -> None:
    _fail(throttle, "ann", HERE, 5)
    _wait(throttle, name, HERE)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("fe80::1%eth0", "fe80::2%eth1"),
        ("", ""),
    ],
)
def test_addresses_of_one_network_are_one(throttle: LoginThrottle, one: str, other: str) -> None:
    _fail(throttle, "ann", one, 5)
    _wait(throttle, "ann", other)


def test_neighbouring_networks_are_two(throttle: LoginThrottle) -> None:
    _fail(throttle, "ann", "2001:db8:1:2::1", 5)
    _fail(throttle, "ann", "2001:db8:1:3::1")


def test_memory_is_bounded_whatever_is_tried(throttle: LoginThrottle) -> None:
    for n in range(25_000):
        throttle.begin("x" * 10_000 + str(n), f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}")
    assert len(throttle) <= 30_000
    assert max(len(name) for name, _ in throttle._pairs._counts) <= 64


def test_knocking_on_during_a_wait_makes_it_no_longer_and_takes_no_memory(
    throttle: LoginThrottle, clock: Clock
) -> None:
    for n in range(20):
        _fail(throttle, f"user{n}", HERE)
    size = len(throttle)
    for n in range(100):
        _wait(throttle, f"new{n}", HERE)
    assert len(throttle) == size
    clock.now += 1
    _fail(throttle, "new", HERE)
