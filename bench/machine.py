"""What a run was made on, and with which versions."""

import os
import pathlib
import platform
import re
import subprocess

import librdkafka_tool


def described(folder):
    """`folder`: where the brokers' data is."""
    return {
        "cpu": processor(pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8")) or platform.machine(),
        "cores": os.cpu_count(),
        "memory_gib": memory_gib(pathlib.Path("/proc/meminfo").read_text(encoding="utf-8")),
        "kernel": f"{platform.system()} {kernel(platform.release())}",
        "file_system": file_system(pathlib.Path("/proc/mounts").read_text(encoding="utf-8"), folder),
    }


def processor(cpuinfo):
    """None where the kernel does not name it, as on ARM."""
    found = re.search(r"^model name\s*:\s*(.+)$", cpuinfo, re.MULTILINE)
    return found[1].strip() if found else None


def memory_gib(meminfo):
    found = re.search(r"^MemTotal:\s*(\d+) kB$", meminfo, re.MULTILINE)
    return round(int(found[1]) / 2**20, 1) if found else None


def kernel(release):
    """The number alone, without what a distributor or a cloud adds."""
    return re.match(r"[\d.]*\d|", release)[0]


def file_system(mounts, folder):
    """The type of what is mounted nearest above the folder; of two at one place, the later one hides the other."""
    nearest, kind = pathlib.Path(), None
    for _, place, type_, *_ in (line.split() for line in mounts.splitlines()):
        if pathlib.Path(folder).is_relative_to(place) and (kind is None or len(pathlib.Path(place).parts) >= len(nearest.parts)):
            nearest, kind = pathlib.Path(place), type_
    return kind


def versions():
    """Name -> version; what is not there is left out."""
    found = {
        "fbf": fbf(),
        "Apache Kafka": kafka([jar.name for jar in pathlib.Path(os.environ["KAFKA_LIBS"]).glob("kafka_2*.jar")]),
        "librdkafka": librdkafka_tool.version(),
        "Java": java(said("java", "-version")),
    }
    return {name: version for name, version in found.items() if version}


def fbf():
    """`0.1.0`, with the commit where the checkout is one."""
    number = said(os.environ["FBF_BIN"], "--version").removeprefix("fbf").strip()
    checkout = str(pathlib.Path(__file__).parent)
    commit = said("git", "-C", checkout, "rev-parse", "--short", "HEAD")
    if not number or not re.fullmatch("[0-9a-f]+", commit):
        return number
    is_changed = said("git", "-C", checkout, "status", "--porcelain", "--untracked-files=no", "--", "../src", "../Cargo.lock") != ""
    return f"{number} ({commit}{', changed' if is_changed else ''})"


def kafka(jars):
    """`kafka_2.13-4.3.1.jar` -> `4.3.1`"""
    found = [match[1] for jar in jars if (match := re.fullmatch(r"kafka_2\.\d+-(\d[\d.]*)\.jar", jar))]
    return found[0] if found else None


def java(printed):
    found = re.search(r'version "([^"]+)"', printed)
    return found[1] if found else None


def said(*command):
    """What it printed, or nothing where it cannot be started."""
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", check=False)
    except OSError:
        return ""
    return done.stdout.strip()
