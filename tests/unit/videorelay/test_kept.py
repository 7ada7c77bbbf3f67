"""What is kept of secrets: found by a digest, for some minutes, by all threads alike."""

from __future__ import annotations

import gc
import hashlib
import threading
import weakref

import pytest

from airflow_provider_timav.videorelay import kept
from airflow_provider_timav.videorelay.kept import Kept
from harness.clock import Clock


class Thing:
    """What a weak reference can point to."""


def test_value_is_made_once() -> None:
    store: Kept[Thing] = Kept()
    first = store.get(("a", None, 1, b"x", ("y", 2)), Thing)
    assert store.get(("a", None, 1, b"x", ("y", 2)), Thing) is first


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("a", "b"), ("ab",)),
        (("a", "b"), ("b", "a")),
        (("", "a"), ("a", "")),
        ((None,), ("None",)),
        ((1,), ("1",)),
        ((b"a",), ("a",)),
        (("a",), ("a", None)),
        (("\ud800",), ("\udfff",)),
    ],
    ids=repr,
)
def test_other_parts_are_another_value(one: tuple[object, ...], other: tuple[object, ...]) -> None:
    store: Kept[Thing] = Kept()
    assert store.get(one, Thing) is not store.get(other, Thing)


def test_value_expires_however_often_it_is_asked_for() -> None:
    clock = Clock()
    store: Kept[Thing] = Kept(seconds=300, clock=clock)
    first = store.get(("a",), Thing)
    for _ in range(2):
        clock.now += 149
        assert store.get(("a",), Thing) is first
    clock.now += 2
    assert store.get(("a",), Thing) is not first


def test_what_has_expired_is_let_go_when_another_is_asked_for() -> None:
    clock = Clock()
    store: Kept[Thing] = Kept(seconds=300, clock=clock)
    gone = weakref.ref(store.get(("a",), Thing))
    clock.now += 300
    store.get(("b",), Thing)
    gc.collect()
    assert gone() is None


def test_only_the_newest_are_kept() -> None:
    store: Kept[Thing] = Kept(size=2)
    first, second, third = (store.get((name,), Thing) for name in "abc")
    assert store.get(("b",), Thing) is second
    assert store.get(("c",), Thing) is third
    assert store.get(("a",), Thing) is not first


def test_everything_can_be_let_go() -> None:
    store: Kept[Thing] = Kept()
    first = store.get(("a",), Thing)
    store.clear()
    assert store.get(("a",), Thing) is not first


def test_failure_is_not_kept() -> None:
    store: Kept[int] = Kept()
    with pytest.raises(ZeroDivisionError):
        store.get(("a",), lambda: 1 // 0)
    assert store.get(("a",), lambda: 1) == 1


def test_no_name_holds_what_it_was_made_of() -> None:
    store: Kept[Thing] = Kept()
    store.get(("a secret",), Thing)
    assert "a secret" not in repr(store._values)
    assert kept._digest(("a secret",)) != hashlib.blake2b(b"a secret", digest_size=32).digest()


def test_threads_get_the_same_value_and_do_not_wait_for_each_other() -> None:
    store: Kept[Thing] = Kept()
    together = threading.Barrier(4, timeout=10)
    got: list[Thing] = []

    def make() -> Thing:
        together.wait()  # all are making at once: none holds the others up
        return Thing()

    threads = [threading.Thread(target=lambda: got.append(store.get(("a",), make))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(got) == 4
    assert len(set(map(id, got))) == 1
