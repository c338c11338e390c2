# SPDX-License-Identifier: Apache-2.0
"""A way to a TCP server that can be cut off: what is sent meanwhile arrives afterwards, or never, as over a network that is away."""
import contextlib
import select
import socket
import threading

from control import free_port


class Way:
    """with Way(port) as way: clients use way.port; cut() and mend()."""

    def __init__(self, target):
        self.target, self.port, self.ended = target, free_port(), threading.Event()
        self.open = threading.Event()
        self.open.set()
        self.listener = None

    def __enter__(self):
        self.listener = socket.create_server(("127.0.0.1", self.port), backlog=128)
        threading.Thread(target=self.accept, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.open.set()
        self.listener.close()

    def cut(self):
        self.open.clear()

    def mend(self):
        self.open.set()

    def accept(self):
        with contextlib.suppress(OSError):  # closed
            while not self.ended.is_set():
                client, _ = self.listener.accept()
                threading.Thread(target=self.carry, args=(client,), daemon=True).start()

    def carry(self, client):
        with contextlib.suppress(OSError), client:
            self.open.wait()
            with socket.create_connection(("127.0.0.1", self.target)) as server:
                ways = {client: server, server: client}
                while not self.ended.is_set():
                    ready, _, _ = select.select(list(ways), [], [], 1)
                    for source in ready:
                        data = source.recv(65536)
                        self.open.wait()
                        if not data:
                            return
                        ways[source].sendall(data)
