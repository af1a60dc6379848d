"""A process that ends by itself, as WSGI servers let theirs, and one that has no file handles left."""

import subprocess
import sys
from pathlib import Path

import pytest

from esimhooks import open_inbox
from patience import patience_s
from receiver_side.posting import SECRET

PROCESS = """
import os, sys, time
sys.path[:0] = ["tests", "."]
import receiver_side.posting as posting
from esimhooks import Receiver

receiver = Receiver({secret!r}, inbox={inbox!r}, concurrency=3)
journal = os.open({journal!r}, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

@receiver.on("*", name="welcome")
def welcome(event):
    os.write(journal, f"begun {{event.id}}\\n".encode())
    if {hangs!r}:
        time.sleep(3600)
    time.sleep(0.3)
    os.write(journal, f"ended {{event.id}}\\n".encode())

for number in range(8):
    assert posting.post(receiver, posting.a_body(f"evt_{{number}}"), secret={secret!r}) == 200
posting.until(lambda: os.fstat(journal).st_size > 0)
"""


@pytest.mark.slow(reason="starts a process and waits for handlers that take their time")
@pytest.mark.timeout(180)
def test_a_process_that_ends_lets_handlers_end_and_hands_back_what_has_not_begun(inbox: str, tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    script = PROCESS.format(secret=SECRET, inbox=inbox, journal=str(journal), hangs=False)

    subprocess.run([sys.executable, "-c", script], check=True, timeout=patience_s())

    lines = journal.read_text().split("\n")
    begun, ended = ({one[6:] for one in lines if one.startswith(word)} for word in ("begun", "ended"))
    with open_inbox(inbox) as opened:
        stats = opened.stats()
    assert begun == ended
    assert (stats.running, stats.done, stats.done + stats.waiting) == (0, len(ended), 8)


WITHOUT_HANDLES = """
import resource
from io import BytesIO
from esimhooks import Receiver
from esimhooks.testing import signed_request

receiver = Receiver({secret!r}, inbox={inbox!r})
request = signed_request({secret!r}, "esim.activated")

def answered():
    environ = {{f"HTTP_{{name.upper().replace('-', '_')}}": value for name, value in request.headers.items()}}
    environ |= {{"REQUEST_METHOD": "POST", "CONTENT_LENGTH": str(len(request.body)), "wsgi.input": BytesIO(request.body)}}
    receiver.wsgi(environ, lambda status, _: print(status, flush=True))

used, limit = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (3, limit))
try:
    receiver.start()
except RuntimeError as error:
    print(error)
answered()
resource.setrlimit(resource.RLIMIT_NOFILE, (used, limit))
answered()
receiver.close()
"""


@pytest.mark.slow(reason="starts a process")
@pytest.mark.timeout(60)
def test_a_process_without_file_handles_asks_the_sender_to_come_again_and_then_works(tmp_path: Path) -> None:
    script = WITHOUT_HANDLES.format(secret=SECRET, inbox=f"sqlite:///{tmp_path / 'inbox.db'}")

    done = subprocess.run(
        [sys.executable, "-c", script], check=True, timeout=patience_s(), capture_output=True, text=True
    )

    refused, *statuses = done.stdout.splitlines()
    assert "the worker of the receiver cannot be started: [Errno 24]" in refused
    assert statuses == ["503 Service Unavailable", "200 OK"]
