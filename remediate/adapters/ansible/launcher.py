"""Stands in for an Ansible command: hands its arguments and its files to the warm parent and waits for the exit code.

Run as `python -I -S launcher.py SOCKET COMMAND [ARGUMENT...]`; it must start in a few milliseconds, so it imports
nothing of this package. When there is no warm parent any more it becomes the real command.
"""

import json
import os
import socket
import sys


def main() -> int:
    """Return the exit code of the command."""
    address, command, *arguments = sys.argv[1:]
    directory = os.getcwd()  # noqa: PTH109  # pathlib takes 10 ms to import
    request = json.dumps(
        {"command": command, "arguments": arguments, "environment": dict(os.environ), "directory": directory}
    )
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        try:
            connection.connect(address)
            socket.send_fds(connection, [request.encode()], [0, 1, 2])
            answer = connection.recv(16)
        except OSError:
            answer = b""
    if not answer:
        real = os.path.join(os.path.dirname(sys.executable), command)  # noqa: PTH118, PTH120  # pathlib takes 10 ms to import
        os.execv(real, [command, *arguments])  # noqa: S606  # a list of arguments, no shell
    return int(answer)


if __name__ == "__main__":
    sys.exit(main())
