"""A simulated consumer group: members, generations, who has which partition, display offsets."""

from __future__ import annotations


class Group:
    """What the group coordinator knows; a worker learns of it at its next heartbeat."""

    def __init__(self, partitions: int) -> None:
        self._partitions = partitions
        self.members: list[int] = []
        self.generation = 0
        self.offsets: dict[int, int] = dict.fromkeys(range(partitions), 0)

    def join(self, member: int) -> None:
        """Add a member, which begins a generation."""
        if member not in self.members:
            self.members.append(member)
        self.generation += 1

    def expel(self, member: int) -> None:
        """A session timed out; the member does not know."""
        if member in self.members:
            self.members.remove(member)
            self.generation += 1

    def assigned(self, member: int) -> tuple[int, list[int]]:
        """Return the generation, and the partitions that it gives the member."""
        return self.generation, [p for p in range(self._partitions) if self._owner(p) == member]

    def _owner(self, partition: int) -> int | None:
        if not self.members:
            return None
        # Turns with each generation, so that partitions move a lot.
        return self.members[(partition + self.generation) % len(self.members)]

    def commit(self, generation: int, offsets: dict[int, int]) -> None:
        """Keep offsets; those of an earlier generation are refused."""
        if generation == self.generation:
            self.offsets.update(offsets)
