"""How long to wait before a provider is asked again (providers, "eSIM Access" and "Requery and polling"). Pure."""

ALLOCATING_S = (3.0, 3.0, 5.0, 5.0, 8.0)
ORDER_POLL_FIRST_S = 5.0
LONGEST_S = 600.0


def while_allocating(tries: int) -> float:
    """Seconds before an order that is still allocating is asked for again, after 1, 2, ... tries."""
    if tries <= len(ALLOCATING_S):
        return ALLOCATING_S[tries - 1]
    return min(LONGEST_S, ALLOCATING_S[-1] * 2.0 ** min(tries - len(ALLOCATING_S), 20))


def between_polls(polls: int) -> float:
    """Seconds between two polls of a pending order, after 1, 2, ... polls: 5 s to 10 min."""
    return min(LONGEST_S, ORDER_POLL_FIRST_S * 2.0 ** min(polls - 1, 20))


def while_down(tries: int, *, asked_s: float = 0.0) -> float:
    """Seconds before a provider that does not answer is asked again, at least what it asked for itself."""
    return max(asked_s, min(LONGEST_S, 2.0 ** min(tries, 20)))
