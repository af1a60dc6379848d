"""What a call of a handler leaves to be run: what it returns to be awaited, the tasks and processes that it starts.

Calls come in, failures go out. asyncio lets `SystemExit` and `KeyboardInterrupt` of any task out of the loop that all
handlers share, beside the handler that waits for the task: its tasks raise a `RuntimeError` instead, which is the handler's.
"""

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from esimhooks.receiver import forks
from esimhooks.receiver.failures import Failure, caught

END_WAIT_S = 0.2
"""How long what was cancelled at its limit has to end."""

_in_handler: ContextVar[bool] = ContextVar("esimhooks_in_handler", default=False)


def call_to_its_end(call: Callable[[], Any], *, loop: asyncio.AbstractEventLoop | None, limit_s: float) -> None:
    """Call in this thread, and run what is returned to be awaited, as an async function behind a plain decorator does.

    It runs in the loop, or in one of its own where none is running. Raises what the call does, whatever it is.
    """
    with forks.ending_children():
        returned = call()
    if inspect.isgenerator(returned) or inspect.isasyncgen(returned):
        raise TypeError("it returned a generator, of which nothing has run")
    if not inspect.isawaitable(returned):
        return
    running = awaited(lambda: returned, limit_s=limit_s)
    if loop is not None and loop.is_running():
        failure = asyncio.run_coroutine_threadsafe(running, loop).result(limit_s + END_WAIT_S)
    else:
        failure = asyncio.run(running)
    if failure.error is not None:
        raise failure.error


async def awaited(call: Callable[[], Awaitable[Any]], *, limit_s: float | None = None) -> Failure:
    """Call and await in this task; return what was raised, whatever it is."""
    with caught() as failure, exits_contained(), forks.ending_children():
        async with asyncio.timeout(limit_s):
            await call()
    return failure


@contextmanager
def exits_contained() -> Iterator[None]:
    """In the block, which is in a task, contain the tasks of the running loop that this one and its children start."""
    loop = asyncio.get_running_loop()
    if not isinstance(loop.get_task_factory(), _Factory):
        loop.set_task_factory(_Factory(loop.get_task_factory()))
    token = _in_handler.set(True)
    try:
        yield
    finally:
        _in_handler.reset(token)


class _Factory:
    """Makes tasks as the application's own factory does, where it has one."""

    def __init__(self, application: Any) -> None:
        self._application = application

    def __call__(self, loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> Any:
        make = self._application or _make_task
        if not _in_handler.get():
            return make(loop, coroutine, **options)
        task = make(loop, _contain(coroutine), **options)
        task.add_done_callback(lambda _: coroutine.close())  # one that was cancelled first has not begun
        return task


def _make_task(loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> "asyncio.Task[Any]":
    return asyncio.Task(coroutine, loop=loop, **options)


async def _contain(coroutine: Coroutine[Any, Any, Any]) -> Any:
    try:
        return await coroutine
    except (SystemExit, KeyboardInterrupt) as error:
        raise RuntimeError(f"{type(error).__name__}: {error}, in a task that the handler started") from error
