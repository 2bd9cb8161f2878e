"""Two hosts on one cable: network namespaces, whose ports hang on a bridge, and can be unplugged there.

A command can have a host to itself (`Network.command`): processes, a name and a kernel's number of its own.

What is sent to or from a host that is unplugged is lost, and nobody is told so, as where a switch has failed.
"""

from __future__ import annotations

import contextlib
import ctypes
import multiprocessing.process
import os
import shutil
import subprocess
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from tests.page_makers import process_of

_NEWNET = 0x40000000


@dataclass(frozen=True)
class Network:
    """A bridge, whose address here is `address`, and the hosts on it."""

    name: str
    address: str

    def run(self, host: int, target: Callable[..., None], *arguments: Any) -> multiprocessing.process.BaseProcess:
        """Give a process of a host."""
        return process_of(_on_host, self._namespace(host), target, arguments)

    def command(self, host: int, kernel: Path, *words: str) -> list[str]:
        """Give a command of a host, which is lost with all of its processes when this one is killed.

        `kernel` is a file that says what tells its kernel from others, as `/proc/sys/kernel/random/boot_id` does.
        """
        inside = 'mount --bind "$0" /proc/sys/kernel/random/boot_id && hostname "$1" && shift && exec "$@"'
        own = ["unshare", "--mount", "--uts", "--pid", "--fork", "--mount-proc", "--kill-child"]
        name = f"host{host}"
        return ["ip", "netns", "exec", self._namespace(host), *own, "sh", "-c", inside, str(kernel), name, *words]

    def address_of(self, host: int) -> str:
        return f"{self.address.rpartition('.')[0]}.{host + 1}"

    def unplug(self, host: int) -> None:
        _ip("link", "set", self._port(host), "nomaster")

    def plug(self, host: int) -> None:
        _ip("link", "set", self._port(host), "master", self.name)

    def add(self, host: int) -> None:
        namespace, port = self._namespace(host), self._port(host)
        _ip("netns", "add", namespace)
        _ip("link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", namespace)
        _ip("-n", namespace, "addr", "add", f"{self.address_of(host)}/24", "dev", "eth0")
        for device in ("eth0", "lo"):
            _ip("-n", namespace, "link", "set", device, "up")
        _ip("link", "set", port, "up")
        self.plug(host)

    def remove(self, *hosts: int) -> None:
        for host in hosts:
            _ip("netns", "del", self._namespace(host), check=False)
            _ip("link", "del", self._port(host), check=False)
        _ip("link", "del", self.name, check=False)

    def _namespace(self, host: int) -> str:
        return f"{self.name}-{host}"

    def _port(self, host: int) -> str:
        return f"{self.name}p{host}"


@contextlib.contextmanager
def network() -> Iterator[Network]:
    """Make a network of the hosts 1 and 2, of addresses that are for tests, and leave nothing of it."""
    known = _ip("-o", "addr")
    subnet = next(f"198.18.{n}" for n in range(1, 255) if f"198.18.{n}." not in known)
    made = Network(f"al{uuid.uuid4().hex[:8]}", f"{subnet}.1")
    try:
        _ip("link", "add", made.name, "type", "bridge")
        _ip("addr", "add", f"{made.address}/24", "dev", made.name)
        _ip("link", "set", made.name, "up")
        for host in (1, 2):
            made.add(host)
        yield made
    finally:
        made.remove(1, 2)


@cache
def can_have_networks() -> bool:
    """Tell whether this user may make them here."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        return False
    with contextlib.suppress(subprocess.CalledProcessError), network():
        return True
    return False


def _ip(*words: str, check: bool = True) -> str:
    return subprocess.run(["ip", *words], check=check, capture_output=True, text=True).stdout


def _on_host(namespace: str, target: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    """Go where a host is, while this process has one thread; those of later are there too."""
    descriptor = os.open(f"/var/run/netns/{namespace}", os.O_RDONLY)
    if ctypes.CDLL(None, use_errno=True).setns(descriptor, _NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")
    os.close(descriptor)
    target(*arguments)
