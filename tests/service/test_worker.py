"""What a worker does for the others: it leaves them connections."""

import asyncio
import itertools
import socket
from contextlib import ExitStack

from service.worker import Loop

CONNECTIONS = 100


async def taken_after_each_turn(listening: socket.socket) -> list[int]:
    """How many connections the event loop has taken after each of its turns, until it has all."""
    transports = []

    class Taken(asyncio.Protocol):
        def connection_made(self, transport):
            transports.append(transport)

    taken = [0]
    async with asyncio.timeout(20):
        async with await asyncio.get_running_loop().create_server(Taken, sock=listening):
            while taken[-1] < CONNECTIONS:
                await asyncio.sleep(0)
                taken.append(len(transports))
            for transport in transports:
                transport.abort()
            await asyncio.sleep(0.01)
    return taken


def test_a_worker_takes_one_connection_a_turn_while_it_has_few_and_then_all():
    with ExitStack() as opened, asyncio.Runner(loop_factory=Loop) as runner:
        listening = opened.enter_context(socket.create_server(("127.0.0.1", 0), backlog=CONNECTIONS))
        for _ in range(CONNECTIONS):
            opened.enter_context(socket.create_connection(listening.getsockname()))
        taken = runner.run(taken_after_each_turn(listening))
    while_few = [later - before for before, later in itertools.pairwise(taken) if later < 64]
    assert max(while_few) == 1
    assert max(later - before for before, later in itertools.pairwise(taken)) > 30
