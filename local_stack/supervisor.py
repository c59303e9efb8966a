"""Keeps parts running, and stops them in order.

    start -> runs -> ended --(2, 3)-----------------> given up: it would end so again
               ^        `---(all else)--> back-off --.
               '-------------------------------------'

Guarantees: after `stop` no part runs, within its seconds plus what killing takes.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable

from contract.exit_codes import FINAL, RESTART_ME, in_words
from local_stack.parts import Part, Say
from operations.errors import OperationError

#: Seconds before a part is started again: 1, 2, 4 ... of this many.
LONGEST_DELAY_SECONDS = 30.0
#: A part that ran for this long got past its start, where what is wrong shows; its next end is
#: a new story, such as a kill, and waiting longer would only cost freshness.
WELL_AFTER_SECONDS = 5.0
#: What each group of parts still to be stopped is left with, whatever those before it took.
RESERVED_SECONDS = 2.0


class BackOff:
    """How long to wait before the next start: doubles, and starts over after a good run."""

    def __init__(self) -> None:
        self._next = 1.0

    def after(self, ran_seconds: float) -> float:
        """Return the delay after a run of that length."""
        if ran_seconds >= WELL_AFTER_SECONDS:
            self._next = 1.0
        delay = self._next
        self._next = min(LONGEST_DELAY_SECONDS, delay * 2)
        return delay


class Supervisor:
    """Runs groups of parts; later groups need the earlier ones and are stopped first."""

    def __init__(
        self,
        say: Say,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._say = say
        self._sleep = sleep
        self._clock = clock
        self._groups: list[list[Part]] = []
        self._tasks: list[asyncio.Task[None]] = []
        #: Set when the first part was given up; `exit_code` is what it ended with.
        self.gave_up = asyncio.Event()
        self.exit_code = 0

    async def start(self, part: Part) -> None:
        """Start the first part and keep it; unlike `keep`, a start that fails is raised.

        Raises: OperationError.
        """
        self._groups.append([part])
        await part.start()
        self._tasks.append(asyncio.create_task(self._keep(part)))

    def keep(self, parts: Iterable[Part], *, may_finish: bool = False) -> None:
        """Run a group of parts from now on; one that `may_finish` is done when it ends with 0."""
        group = list(parts)
        self._groups.append(group)
        self._tasks += [asyncio.create_task(self._keep(part, may_finish)) for part in group]

    async def stop(self, seconds: float) -> None:
        """Stop all groups, the last one first; each gets what time the ones after it leave.

        Raises: the first error of a part, once all the others were stopped too.
        """
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        deadline = self._clock() + seconds
        outcomes: list[BaseException | None] = []
        for index in reversed(range(len(self._groups))):
            left = deadline - self._clock() - index * RESERVED_SECONDS
            stops = (part.stop(max(0.1, left)) for part in self._groups[index])
            outcomes += await asyncio.gather(*stops, return_exceptions=True)
        for outcome in outcomes:
            if outcome is not None:
                raise outcome

    async def _keep(self, part: Part, may_finish: bool = False) -> None:
        back_off = BackOff()
        while True:
            began = self._clock()
            try:
                await part.start()
                code = await part.wait()
                asks = "asks to be restarted (75)"
                told = f"{part.name} {asks if code == RESTART_ME else in_words(code)}"
            except OperationError as error:
                code, told = error.exit_code, f"{part.name}: {error}"
            if may_finish and code == 0:
                self._say(f"{part.name} has finished")
                return
            if code in FINAL:
                self._say(f"{told}; it is not restarted: a person must act")
                if not self.gave_up.is_set():
                    self.exit_code = code
                    self.gave_up.set()
                return
            delay = back_off.after(self._clock() - began)
            self._say(f"{told}; it is restarted in {delay:g} s")
            await self._sleep(delay)
