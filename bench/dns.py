#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
"""unshare --net dns.py GANTRYD: the worker that is the node's DNS, alone, in a network namespace of its own, asked by Debian's dnsperf: names of
services, and names from its cache. The worker has one core, dnsperf another. Prints a table."""
import os
import pathlib
import socket
import statistics
import struct
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
SERVICES, OTHERS, SECONDS, RATE = 1000, 500, 8, 50000
# src/proxy/dns/feed.h
CONFIGURE, LISTEN, POOL, BEGIN, SERVICE, COMMIT = 2, 3, 4, 5, 6, 8
SO_RCVBUFFORCE = 33


def counted(*parts):
    return struct.pack("<I", len(parts)) + b"".join(parts)


def text(data):
    return struct.pack("<I", len(data)) + data


def address(dotted):
    return text(socket.inet_aton(dotted))


def udp():
    return socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)


class Worker:
    """`gantryd dns-worker` with this program in gantryd's place."""

    def __init__(self, gantryd, folder):
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        listener.bind(f"{folder}/dns.sock")
        listener.listen()

        def inherit():
            os.dup2(listener.fileno(), 3)
            os.set_inheritable(3, True)
        self.process = subprocess.Popen([gantryd, "dns-worker", "bench"], preexec_fn=inherit, close_fds=False)
        self.feed = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.feed.connect(f"{folder}/dns.sock")
        self.feed.recv(1 << 16)
        os.sched_setaffinity(self.process.pid, {0})

    def say(self, kind, body=b"", sockets=()):
        socket.send_fds(self.feed, [bytes([kind]) + body], [each.fileno() for each in sockets])

    def set_up(self):
        self.say(POOL, b"4" * 60, [udp() for _ in range(60)])
        resolver = text(b"") + counted(address("127.0.0.53") + struct.pack("<H", 53))
        self.say(CONFIGURE, text(b"cluster.local") + counted(address("10.96.0.10")) + counted(resolver))
        self.say(BEGIN, b"w")
        for i in range(SERVICES):
            port = text(b"http") + text(b"tcp") + struct.pack("<H", 80)
            self.say(SERVICE, text(b"default") + text(b"web-%d" % i) + b"\0" + text(b"") +
                     counted(address(f"10.96.{i // 250}.{i % 250 + 1}")) + counted(port) + counted() + counted())
        self.say(COMMIT, b"1")
        self.feed.recv(1 << 16)
        asked, stream = udp(), socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        asked.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 4 << 20)
        asked.bind(("127.0.0.1", 53))
        stream.bind(("127.0.0.1", 53))
        stream.listen()
        self.say(LISTEN, b"ut", [asked, stream])

    def cpu(self):
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def dnsperf(names, *options):
    done = subprocess.run(["taskset", "-c", "1", "dnsperf", "-s", "127.0.0.1", "-d", names, "-c", "4", *options],
                          capture_output=True, text=True, check=True)
    return done.stdout


def number(said, what):
    return float(next(line for line in said.splitlines() if what in line).split(":")[1].split()[0])


def measure(worker, what, names):
    before = worker.cpu()
    flood = dnsperf(names, "-l", str(SECONDS), "-q", "100")
    used = worker.cpu() - before
    # Each answer's own time, at a rate that both cores bear.
    steady = dnsperf(names, "-l", str(SECONDS), "-q", "100", "-Q", str(RATE), "-v")
    times = sorted(float(line.rsplit(" ", 1)[1]) for line in steady.splitlines() if line.startswith("> NOERROR"))
    print(f"| {what} | {number(flood, 'Queries per second'):.0f} | {number(flood, 'Queries completed') / used:.0f} | "
          f"{number(flood, 'Queries lost'):.0f} | {len(times) / SECONDS:.0f} | {statistics.median(times) * 1000:.2f} | "
          f"{times[len(times) * 99 // 100] * 1000:.2f} |")


def main():
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    with tempfile.TemporaryDirectory() as folder:
        worker = Worker(sys.argv[1], folder)
        resolver = subprocess.Popen([sys.executable, "-B", HERE.parent / "tests/support/resolver.py", "127.0.0.53"],
                                    stdout=subprocess.PIPE)
        try:
            worker.set_up()
            resolver.stdout.readline()
            print("| names | answers a second | for a second of CPU | lost | at a rate of | p50, ms | p99, ms |")
            print("| --- | --- | --- | --- | --- | --- | --- |")
            names = pathlib.Path(folder, "names")
            names.write_text("".join(f"web-{i}.default.svc.cluster.local A\n" for i in range(SERVICES)))
            measure(worker, "of services", names)
            names.write_text("".join(f"n{i}.example.org A\n" for i in range(OTHERS)))
            dnsperf(names, "-n", "1", "-q", "20")
            measure(worker, "from the cache", names)
        finally:
            for process in (worker.process, resolver):
                process.kill()
                process.wait()


main()
