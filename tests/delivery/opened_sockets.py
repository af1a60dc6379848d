"""What this process opens at the socket, whoever does it: the last place where a connection could be seen."""

import sys

made: list[object] = []
"""Every socket that was made, as family and type."""

connected: list[object] = []
"""Every address that a socket was connected to."""


def watch() -> None:
    """Begin anew to note what is opened."""
    if not _watching:
        sys.addaudithook(_note)  # cannot be taken away again
        _watching.append(True)
    made.clear()
    connected.clear()


_watching: list[bool] = []


def _note(event: str, arguments: tuple[object, ...]) -> None:
    if event == "socket.__new__":
        made.append(arguments[1:3])
    elif event == "socket.connect":
        connected.append(arguments[1])
