"""Whether a command ended in time, on a machine that may be crowded."""

import os
import subprocess
import sys
import time
from pathlib import Path

#: What a start takes until it reads its settings, on a machine that has time.
START_SECONDS = 1.0
PATIENT_SECONDS = 90
#: It ends as soon as it has read them.
ENDS_AT_ONCE = [str(Path(sys.executable).with_name("energy")), "worker"]


def in_time(took: float, seconds: float, at_once: int = 1) -> None:
    """Fail where a start took longer than so many seconds, and not because of the machine.

    Where it did, the machine is looked at: what a start has to wait for the processor now, a start
    that asks a broker waits for some three times. `at_once`: so many were started side by side.
    """
    if took > seconds:
        delay = delay_of_a_start(at_once)
        assert took <= seconds + 3 * delay, f"{took:.1f} s, a start is delayed by {delay:.1f} s"


def delay_of_a_start(at_once: int = 1) -> float:
    """How much longer than usual a start takes now, until it reads its settings: in seconds."""
    environ = {"PATH": os.environ["PATH"], "STREAM_APP_HTTP_PORT": "70000"}
    began = time.monotonic()
    started = [
        subprocess.Popen(ENDS_AT_ONCE, env=environ, stderr=subprocess.DEVNULL)
        for _ in range(at_once)
    ]
    try:
        for each in started:
            assert each.wait(PATIENT_SECONDS) == 2
    finally:
        for each in started:
            each.kill()
            each.wait()
    return max(0.0, time.monotonic() - began - START_SECONDS)
