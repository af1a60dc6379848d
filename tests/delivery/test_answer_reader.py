"""An answer is read the same however its bytes are packed, and no bytes break the reader."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from esimhooks.server.delivery.http.answer_reader import MAX_BODY_BYTES, AnswerReader
from esimhooks.server.delivery.http.errors import NotHttp

ANSWERS = [
    b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello",
    b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n",
    b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello",
    b"HTTP/1.1 204 No Content\r\n\r\n",
]


@given(st.sampled_from(ANSWERS), st.data())
def test_how_the_bytes_are_packed_does_not_matter(answer: bytes, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.sets(st.integers(0, len(answer)))))
    whole, pieces = AnswerReader(), AnswerReader()

    whole.feed(answer)
    for first, last in zip([0, *cuts], [*cuts, len(answer)], strict=True):
        pieces.feed(answer[first:last])

    assert (pieces.status, pieces.headers, pieces.body) == (whole.status, whole.headers, whole.body)
    assert pieces.complete
    assert pieces.keeps_alive


@given(st.binary() | st.binary().map(lambda rest: b"HTTP/1.1 200 OK\r\n" + rest))
def test_no_bytes_break_the_reader(data: bytes) -> None:
    reader = AnswerReader()
    try:
        reader.feed(data)
        reader.feed(data)
    except NotHttp:
        return
    reader.end()

    assert reader.complete == bool(reader.status)
    assert len(reader.body) <= MAX_BODY_BYTES


@pytest.mark.parametrize(
    ("head", "kept"),
    [
        (b"HTTP/1.1 200 OK\r\n", True),
        (b"HTTP/1.1 200 OK\r\nConnection: Close\r\n", False),
        (b"HTTP/1.1 200 OK\r\nconnection: x, close\r\n", False),
        (b"HTTP/1.0 200 OK\r\n", False),
        (b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n", True),
    ],
)
def test_a_connection_is_kept_where_the_receiver_keeps_it(head: bytes, *, kept: bool) -> None:
    reader = AnswerReader()

    reader.feed(head + b"content-length: 0\r\n\r\n")

    assert (reader.complete, reader.keeps_alive) == (True, kept)


@pytest.mark.parametrize("status", [b"000", b"099", b"20", b"2000"])
def test_a_status_that_is_none_is_no_answer(status: bytes) -> None:
    with pytest.raises(NotHttp):
        AnswerReader().feed(b"HTTP/1.1 " + status + b" OK\r\ncontent-length: 0\r\n\r\n")


def test_what_follows_an_answer_ends_the_connection() -> None:
    reader = AnswerReader()

    reader.feed(ANSWERS[0] + b"HTTP/1.1 500 no\r\n\r\n")

    assert (reader.status, bytes(reader.body), reader.keeps_alive) == (200, b"hello", False)
