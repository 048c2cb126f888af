"""An ear on the network of a host: what must not come out of a scratch server would be heard."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import threading
import time
from typing import Self

_PORT = 5999


class Sniffer:
    """Hears every packet to one port, on every interface of the host."""

    def __init__(self) -> None:
        self.heard: list[bytes] = []
        self._over = threading.Event()
        self._ear = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(3))
        self._ear.settimeout(0.2)
        self._thread = threading.Thread(target=self._listen, daemon=True)

    def __enter__(self) -> Self:
        """Begin to listen."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Listen no more."""
        self._over.set()
        self._thread.join()
        self._ear.close()

    def wait(self) -> bool:
        """Return whether something was heard within a few seconds."""
        ends = time.monotonic() + 5
        while not self.heard and time.monotonic() < ends:
            time.sleep(0.05)
        return bool(self.heard)

    def _listen(self) -> None:
        while not self._over.is_set():
            with contextlib.suppress(TimeoutError):
                packet = self._ear.recv(2048)
                head = (packet[0] & 15) * 4 if packet and packet[0] >> 4 == 4 else 0
                if head and int.from_bytes(packet[head + 2 : head + 4], "big") == _PORT:
                    self.heard.append(packet[:40])


def knock(process: int | None, address: str) -> None:
    """Try to reach an address, over TCP and UDP, from the network that a process is in."""
    program = (
        "import socket,sys\n"
        "for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):\n"
        " s=socket.socket(socket.AF_INET, kind); s.settimeout(1)\n"
        " try: s.connect((sys.argv[1], int(sys.argv[2]))); s.send(b'x')\n"
        " except OSError as error: print(error)\n"
    )
    inside = ["nsenter", f"--target={process}", "--net", "--"] if process else []
    subprocess.run([*inside, "python3", "-c", program, address, str(_PORT)], capture_output=True, check=False)
