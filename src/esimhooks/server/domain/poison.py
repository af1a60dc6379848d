"""Deliveries that were taken up again and again without an outcome: they may be what ends the process. Pure.

Claims are counted when a delivery is taken up and settled when it has an outcome, so what is left over are crashes. A
suspect is begun only while no other suspect is, and only then counted, so that a crash blames one delivery.
"""

from esimhooks.server.domain.delivery import Claimed

SUSPECT_AT = 2
POISON_AT = 5

POISON = (
    f"taken up {POISON_AT} times without an outcome, so it is no longer sent: it may be what made this server fail. "
    "Sending it again starts anew"
)


def is_suspect(claimed: Claimed) -> bool:
    """Return whether it was taken up in vain before, so that it must be tried alone."""
    return claimed.claims - claimed.attempts >= SUSPECT_AT


def is_poison(claimed: Claimed) -> bool:
    """Return whether it must not be tried any more."""
    return claimed.claims - claimed.attempts >= POISON_AT
