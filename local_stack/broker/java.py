"""Finds the Java and the jars that the local broker runs on.

Reads: JAVA_HOME, PATH, ENERGY_BROKER_LIBS (as given by the caller). Never downloads anything:
`make run` does, through local_stack/broker/pom.xml.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from local_stack.errors import MissingPart

OLDEST_JAVA = 17
"""Apache Kafka 4 brokers refuse older ones."""

POM_FILE = Path(__file__).with_name("pom.xml")
LOG_CONFIG_FILE = POM_FILE.with_name("log4j2.properties")
FETCH_JARS = ["mvn", "-q", "-B", "-ntp", "-Dstyle.color=never", "-f", str(POM_FILE)]
"""The command that fills `POM_FILE`'s libs/ directory."""

CLASS_ARCHIVE = "broker.jsa"
"""Beside the jars; holds parsed classes, so that a start takes two thirds of the time."""

# Out of memory means dead, and started again by its owner.
JVM_OPTIONS = ["-Xmx1g", "-Xms256m", "-XX:+ExitOnOutOfMemoryError"]
# The serial collector starts a fifth faster than G1.
_QUICK = ["-XX:+UseSerialGC", "-XX:-UsePerfData", "-Xshare:auto", "-Djava.awt.headless=true"]

INSTALL_JAVA = f"install Java {OLDEST_JAVA} or newer (Debian: apt install openjdk-17-jre-headless)"


def find_java(environment: Mapping[str, str] = os.environ) -> str:
    """The path of a Java that is new enough; JAVA_HOME goes before PATH.

    Raises: MissingPart.
    """
    home = environment.get("JAVA_HOME")
    java = shutil.which("java", path=str(Path(home, "bin")) if home else environment.get("PATH"))
    if java is None:
        where = f"in JAVA_HOME ({home})" if home else "on PATH"
        raise MissingPart(f"no java {where}: {INSTALL_JAVA}")
    version = java_version(java)
    if version < OLDEST_JAVA:
        raise MissingPart(f"{java} is Java {version}: {INSTALL_JAVA}")
    return java


def check_broker_parts() -> None:
    """Find out that the local broker can run here, before anything else is done.

    Raises: MissingPart.
    """
    find_java()
    class_path(jar_directory())


def java_version(java: str) -> int:
    """The major version of a Java program; 0 if it does not say."""
    said = subprocess.run([java, "-version"], capture_output=True, text=True, check=False)
    found = re.search(r'version "(?:1\.)?(\d+)', said.stderr)
    return int(found.group(1)) if found else 0


def jar_directory(environment: Mapping[str, str] = os.environ) -> Path:
    """Where the jars are, or would be: ENERGY_BROKER_LIBS, else libs/ beside the pom."""
    chosen = environment.get("ENERGY_BROKER_LIBS")
    return Path(chosen).absolute() if chosen else POM_FILE.with_name("libs")


def quick_start(java: str, libs: Path) -> list[str]:
    """Return the beginning of a command line of Kafka's: what makes the JVM start soon."""
    command = [java, *_QUICK, f"-Dlog4j2.configurationFile={LOG_CONFIG_FILE}"]
    archive = libs / CLASS_ARCHIVE
    return [*command, f"-XX:SharedArchiveFile={archive}"] if archive.exists() else command


def class_path(libs: Path) -> str:
    """All jars of the directory, sorted: a class archive is valid for one order only.

    Raises: MissingPart.
    """
    jars = sorted(str(jar) for jar in libs.glob("*.jar"))
    if not any("/kafka_2.13-" in jar for jar in jars):
        raise MissingPart(
            f"no Apache Kafka jars in {libs}: run `make run`, or `{' '.join(FETCH_JARS)}`"
        )
    return os.pathsep.join(jars)
