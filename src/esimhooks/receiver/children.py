"""Tasks that an async handler starts: what they raise must not end the event loop that all handlers share.

asyncio lets `SystemExit` and `KeyboardInterrupt` of any task out of the loop, beside the handler that waits for the task.
Coroutines come in, tasks go out that raise a `RuntimeError` instead, which is the handler's to raise in turn.
"""

import asyncio
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

_in_handler: ContextVar[bool] = ContextVar("esimhooks_in_handler", default=False)


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
        task = make(loop, _contained(coroutine), **options)
        task.add_done_callback(lambda _: coroutine.close())  # one that was cancelled first has not begun
        return task


def _make_task(loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> "asyncio.Task[Any]":
    return asyncio.Task(coroutine, loop=loop, **options)


async def _contained(coroutine: Coroutine[Any, Any, Any]) -> Any:
    try:
        return await coroutine
    except (SystemExit, KeyboardInterrupt) as error:
        raise RuntimeError(f"{type(error).__name__}: {error}, in a task that the handler started") from error
