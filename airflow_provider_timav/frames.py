"""Keep credentials out of the variables of frames.

Observers of a process (Sentry with its defaults, ``pytest --showlocals``, a debugger) show the variables of each frame of a
traceback. Code that reads credentials has them in variables for a moment, its own and its libraries'. An exception raised there
keeps its lines and loses its variables; a text that stays in a variable for longer has a ``repr`` without its content.
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Final, ParamSpec, TypeVar

__all__ = ["HiddenText", "forget_variables", "without_variables"]

Given = ParamSpec("Given")
ResultT = TypeVar("ResultT")

# Clearing the frame of a coroutine or a generator that is suspended would end it. Before Python 3.13 it cannot be told from a
# finished one, so these are left as they are: they hold no credential as plain text.
_MAY_WAIT: Final = inspect.CO_GENERATOR | inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR


class HiddenText(str):
    """A text whose ``repr`` does not show it."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "HiddenText('***')"


def forget_variables(error: BaseException, handled: BaseException | None = None) -> None:
    """Clear the frames of an exception, of its causes and of its contexts; frames that still run are left as they are.

    :param handled: the exception that the caller was handling before; it is left as it is.
    """
    seen: set[int] = set() if handled is None else {id(handled)}
    todo: list[BaseException | None] = [error]
    while todo:
        link = todo.pop()
        if link is None or id(link) in seen:
            continue
        seen.add(id(link))
        todo += [link.__cause__, link.__context__]
        trace = link.__traceback__
        while trace is not None:
            if not trace.tb_frame.f_code.co_flags & _MAY_WAIT:
                with suppress(RuntimeError):  # it still runs
                    trace.tb_frame.clear()
            trace = trace.tb_next


def without_variables(function: Callable[Given, ResultT]) -> Callable[Given, ResultT]:
    """Strip exceptions that leave a function of its variables, its arguments, and those of all functions that it called."""

    @functools.wraps(function)
    def quiet(*args: Given.args, **kwargs: Given.kwargs) -> ResultT:
        handled = sys.exception()
        try:
            return function(*args, **kwargs)
        except BaseException as error:
            forget_variables(error, handled)
            # This frame still runs, so its arguments are deleted by hand.
            del args, kwargs
            raise

    return quiet
