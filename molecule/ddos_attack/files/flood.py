#!/usr/bin/python3
"""Asks a host from several source addresses, so often per second and so long; bounded in both.

Without `--seconds` each source asks `--count` times, and what was answered is printed: {"203.0.113.7": ["200", ...]}.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import socket
import time

MOST_PER_SECOND, MOST_SECONDS, PATIENCE = 60, 600, 3.0


async def ask(arguments: argparse.Namespace, source: str) -> str:
    """Ask once, and return the status, or what went wrong."""
    writer = None
    try:
        async with asyncio.timeout(PATIENCE):
            reader, writer = await asyncio.open_connection(arguments.target, 80, local_addr=(source, 0))
            request = f"GET {arguments.path} HTTP/1.0\r\nHost: shop\r\nX-Forwarded-For: 127.0.0.1, 10.0.0.1\r\n\r\n"
            writer.write(request.encode())
            answer = await reader.read(64)
            return answer.split(b" ")[1].decode() if answer.startswith(b"HTTP/") else "nothing"
    except TimeoutError:
        return "timeout"
    except OSError as error:
        return type(error).__name__
    finally:
        if writer:
            writer.close()


async def flood(arguments: argparse.Namespace, source: str) -> None:
    """Ask at a rate that does not depend on whether anybody answers; what a busy machine missed is not made up for."""
    pace, end = 1 / arguments.rate, time.monotonic() + arguments.seconds
    waiting: set[asyncio.Task[str]] = set()
    at = time.monotonic()
    while at < end:
        await asyncio.sleep(max(0.0, at - time.monotonic()))
        at = max(at + pace, time.monotonic())
        if len(waiting) < 4 * arguments.rate:
            task = asyncio.ensure_future(ask(arguments, source))
            waiting.add(task)
            task.add_done_callback(waiting.discard)


async def hold(arguments: argparse.Namespace, source: str) -> None:
    """Keep a connection open and say nothing on it; open it again when it is closed."""
    end = time.monotonic() + arguments.seconds
    while (left := end - time.monotonic()) > 0:
        try:
            async with asyncio.timeout(left):
                reader, writer = await asyncio.open_connection(arguments.target, 80, local_addr=(source, 0))
                await reader.read()
                writer.close()
        except (TimeoutError, OSError):
            await asyncio.sleep(1)


def pour(arguments: argparse.Namespace) -> None:
    """Fill the line with packets that nobody waits for."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.bind((arguments.source[0], 0))
        sender.setblocking(False)
        end, block = time.monotonic() + arguments.seconds, bytes(32000)
        while time.monotonic() < end:
            for _ in range(int(arguments.megabits * 1e6 / 8 / len(block) / 20)):
                try:
                    sender.sendto(block, (arguments.target, 9))
                except OSError:
                    break
            time.sleep(0.05)


async def several(arguments: argparse.Namespace) -> dict[str, list[str]]:
    """Ask a few times from each source, one after the other."""

    async def one(source: str) -> list[str]:
        answers = []
        for _ in range(arguments.count):
            answers.append(await ask(arguments, source))
            await asyncio.sleep(0.3)
        return answers

    return dict(zip(arguments.source, await asyncio.gather(*map(one, arguments.source)), strict=True))


async def main() -> None:
    """Do what the arguments say."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--target", required=True)
    parser.add_argument("--source", action="append", required=True)
    parser.add_argument("--path", default="/robots.txt")
    parser.add_argument("--rate", type=float, default=1)
    parser.add_argument("--seconds", type=float, default=0)
    parser.add_argument("--count", type=int, default=1)
    parser.add_argument("--hold", type=int, default=0)
    parser.add_argument("--megabits", type=float, default=0)
    arguments = parser.parse_args()
    arguments.rate = min(arguments.rate, MOST_PER_SECOND)
    arguments.seconds = min(arguments.seconds, MOST_SECONDS)
    if arguments.megabits:
        pour(arguments)
    elif arguments.hold:
        await asyncio.gather(*(hold(arguments, source) for source in arguments.source for _ in range(arguments.hold)))
    elif arguments.seconds:
        await asyncio.gather(*(flood(arguments, source) for source in arguments.source))
    else:
        print(json.dumps(await several(arguments)))


asyncio.run(main())
