"""SQLAlchemy in a transactional handler: committed with the event, undone with a failure."""

from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from esimhooks import Event, Receiver, Retrying
from esimhooks.sqlalchemy import session_on
from receiver_side.posting import SECRET, a_body, post, until


class Base(DeclarativeBase):
    pass


class Welcomed(Base):
    __tablename__ = "welcomed"
    id: Mapped[str] = mapped_column(primary_key=True)


def welcomed(receiver: Receiver) -> list[str]:
    with (
        receiver.inbox._database.writing(handlers=True) as session,
        session.savepoint() as connection,
        session_on(connection) as orm,
    ):
        return list(orm.scalars(select(Welcomed.id).order_by(Welcomed.id)))


@pytest.mark.timeout(20)
def test_a_session_is_committed_with_the_event_and_undone_with_a_failure(inbox: str) -> None:
    receiver = Receiver(SECRET, inbox=inbox, retrying=Retrying(schedule_s=(), transactional_limit_s=10))
    with (
        receiver.inbox._database.writing(handlers=True) as session,
        session.savepoint() as connection,
        session_on(connection) as orm,
    ):
        Base.metadata.create_all(orm.connection())

    @receiver.transactional("*", name="welcome")
    def welcome(event: Event, connection: Any) -> None:
        with session_on(connection) as orm:
            orm.add(Welcomed(id=event.id))
            orm.commit()
            orm.add(Welcomed(id="taken back"))
            orm.rollback()
            if event.id == "evt_bad":
                raise OSError("after the effect")

    assert [post(receiver, a_body(one)) for one in ("evt_1", "evt_bad", "evt_2")] == [200, 200, 200]

    assert welcomed(receiver) == ["evt_1", "evt_2"]
    until(lambda: (receiver.stats().done, receiver.stats().dead) == (2, 1))
    receiver.close()


def test_what_is_no_connection_of_the_inbox_is_refused() -> None:
    with pytest.raises(TypeError, match="transactional handler"), session_on(object()):
        pass
