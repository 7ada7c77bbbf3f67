"""What exceptions carry of the variables of the frames that they came through."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Iterator

import pytest

from airflow_provider_timav.frames import HiddenText, forget_variables, without_variables

SECRET = "a secret of the caller"


def variables(error: BaseException) -> dict[str, dict[str, object]]:
    """The variables of each frame of an exception, by the name of its function."""
    return {frame.f_code.co_name: dict(frame.f_locals) for frame, _ in traceback.walk_tb(error.__traceback__)}


def fails(secret: str) -> None:
    copy = secret * 2
    raise ValueError(len(copy))


@without_variables
def guarded(secret: str, *, other: str) -> None:
    fails(secret + other)


class TestGuardedFunction:
    def test_exception_keeps_its_lines_and_loses_its_variables(self) -> None:
        with pytest.raises(ValueError) as failed:
            guarded(SECRET, other=SECRET)
        found = variables(failed.value)
        assert {"quiet", "guarded", "fails"} <= found.keys()
        assert (found["guarded"], found["fails"]) == ({}, {})
        assert SECRET not in repr(found)

    def test_causes_and_contexts_lose_theirs_too(self) -> None:
        @without_variables
        def wraps(secret: str) -> None:
            try:
                fails(secret)
            except ValueError as cause:
                try:
                    fails(secret + secret)
                except ValueError:
                    raise RuntimeError from cause

        with pytest.raises(RuntimeError) as failed:
            wraps(SECRET)
        links = [failed.value, failed.value.__cause__, failed.value.__context__]
        assert all(link is not None and variables(link)["wraps"] == {} for link in links)
        assert SECRET not in repr([variables(link) for link in links if link is not None])

    def test_what_the_caller_was_handling_is_left_as_it_is(self) -> None:
        before: list[ValueError] = []
        try:
            fails(SECRET)
        except ValueError as handled:
            with pytest.raises(ValueError):
                guarded("x", other="y")
            before.append(handled)
        assert variables(before[0])["fails"]["secret"] == SECRET

    def test_result_and_name_pass(self) -> None:
        @without_variables
        def named(text: str) -> str:
            return text

        assert (named("x"), named.__name__) == ("x", "named")

    @pytest.mark.parametrize("kind", [KeyboardInterrupt, TimeoutError], ids=lambda kind: kind.__name__)
    def test_any_exception_is_meant(self, kind: type[BaseException]) -> None:
        @without_variables
        def raises(secret: str) -> None:
            raise kind(len(secret))

        with pytest.raises(kind) as failed:
            raises(SECRET)
        assert variables(failed.value)["raises"] == {}


def test_generator_that_goes_on_after_the_exception_is_not_ended() -> None:
    """To clear its frame would end it, and whoever waits for it would wait in vain."""
    caught: list[ValueError] = []

    def goes_on() -> Iterator[int]:
        try:
            fails(SECRET)
        except ValueError as error:
            caught.append(error)
        yield 1
        yield 2

    numbers = goes_on()
    assert next(numbers) == 1
    forget_variables(caught[0])
    assert next(numbers) == 2
    assert variables(caught[0])["fails"] == {}


def test_coroutine_that_waits_in_its_handler_is_not_ended() -> None:
    async def waits(caught: list[ValueError], over: asyncio.Event) -> str:
        try:
            fails(SECRET)
        except ValueError as error:
            caught.append(error)
            await over.wait()
        return "went on"

    async def play() -> str:
        caught: list[ValueError] = []
        over = asyncio.Event()
        task = asyncio.create_task(waits(caught, over))
        await asyncio.sleep(0)
        forget_variables(caught[0])
        over.set()
        return await task

    assert asyncio.run(play()) == "went on"


def test_hidden_text_is_a_text_that_shows_nothing() -> None:
    hidden = HiddenText(SECRET)
    assert (hidden, str(hidden), f"{hidden}", hash(hidden)) == (SECRET, SECRET, SECRET, hash(SECRET))
    assert type(str(hidden)) is str
    assert SECRET not in repr([hidden, {"x": hidden}])
