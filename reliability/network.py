"""A network of our own: two bridges in the campaign's private namespace, and a namespace for each node.

One bridge leads to the database, the other to everything else (API, receiver), so that a node can be cut off from the
database alone, as by a pulled cable. Needs root, inside `reliability.isolation`.
"""

from reliability.processes import run

DATABASE = "10.213.1.1"
OUTSIDE = "10.213.2.1"
EVERYWHERE = "10.213.0.0/16"


class Network:
    """The bridges and the nodes on them, each with a cable to either bridge."""

    def __init__(self) -> None:
        self._hosts: dict[str, int] = {}
        run("ip", "link", "set", "lo", "up")
        for bridge, address in (("database", DATABASE), ("outside", OUTSIDE)):
            run("ip", "link", "add", bridge, "type", "bridge")
            run("ip", "address", "add", f"{address}/24", "dev", bridge)
            run("ip", "link", "set", bridge, "up")

    def connect(self, node: str) -> str:
        """Make a namespace for the node and return its address, as others than the database see it."""
        host = self._hosts[node] = 11 + len(self._hosts)
        run("ip", "netns", "add", node)
        run("ip", "-n", node, "link", "set", "lo", "up")
        for number, bridge in ((1, "database"), (2, "outside")):
            cable = f"{bridge[:2]}-{host}"
            run("ip", "link", "add", cable, "type", "veth", "peer", "name", bridge, "netns", node)
            run("ip", "link", "set", cable, "master", bridge, "up")
            run("ip", "-n", node, "address", "add", f"10.213.{number}.{host}/24", "dev", bridge)
            run("ip", "-n", node, "link", "set", bridge, "up")
        return f"10.213.2.{host}"

    def inside(self, node: str) -> tuple[str, ...]:
        """Return what to put before a command to run it in the node's namespace, as the same process."""
        return ("ip", "netns", "exec", node)

    def cut(self, node: str) -> None:
        """Pull the node's cable to the database: packets vanish without an error."""
        run("ip", "link", "set", f"da-{self._hosts[node]}", "down")

    def mend(self, node: str) -> None:
        """Plug it in again."""
        run("ip", "link", "set", f"da-{self._hosts[node]}", "up")
