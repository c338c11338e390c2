#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
"""A DNS server that a test plays: `resolver.py ADDRESS` answers at port 53, UDP and TCP, until it is killed. It says "ready", and then
each question that it hears: "udp www.example.org 1".

    none.*      no such name, for five minutes     large.*    sixty addresses, too many for UDP
    silent.*    nothing                            spoofed.*  wrong answers first: another id, another name, another question
    others      192.0.2.1 for a minute, and nothing of other types
"""
import select
import socket
import struct
import sys


def name_of(message, at=12):
    labels = []
    while message[at]:
        labels.append(message[at + 1:at + 1 + message[at]].decode().lower())
        at += message[at] + 1
    return ".".join(labels), at + 1


def record(kind, ttl, data):
    return b"\xc0\x0c" + struct.pack(">HHIH", kind, 1, ttl, len(data)) + data


def answer(query, flags, records=(), authority=()):
    _, end = name_of(query)
    return (query[:2] + struct.pack(">HHHHH", flags, 1, len(records), len(authority), 0) + query[12:end + 4]
            + b"".join(records) + b"".join(authority))


def address(last):
    return bytes([192, 0, 2, last])


def answers(query, by_tcp):
    """What is said to it, in this order."""
    name, end = name_of(query)
    kind = struct.unpack(">H", query[end:end + 2])[0]
    print("tcp" if by_tcp else "udp", name, kind, flush=True)
    first = name.split(".")[0]
    if first == "silent":
        return []
    if first == "none":
        soa = b"\0\0" + struct.pack(">IIIII", 1, 2, 3, 4, 300)
        return [answer(query, 0x8183, authority=[record(6, 300, soa)])]
    if kind != 1:
        return [answer(query, 0x8180)]
    if first == "large":
        if not by_tcp:
            return [answer(query, 0x8380)]
        return [answer(query, 0x8180, [record(1, 60, address(i)) for i in range(1, 61)])]
    right = answer(query, 0x8180, [record(1, 60, address(1))])
    if first == "spoofed":
        wrong = answer(query, 0x8180, [record(1, 60, address(66))])
        return [bytes([wrong[0] ^ 1]) + wrong[1:], wrong[:13] + b"x" + wrong[14:], wrong[:end + 1] + b"\x1c" + wrong[end + 2:], right]
    return [right]


def main():
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    tcp = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    for one in (udp, tcp):
        one.bind((sys.argv[1], 53))
    tcp.listen()
    print("ready", flush=True)
    while True:
        for one in select.select([udp, tcp], [], [])[0]:
            if one is udp:
                query, peer = udp.recvfrom(4096)
                for message in answers(query, False):
                    udp.sendto(message, peer)
                continue
            connection, _ = tcp.accept()
            with connection, connection.makefile("rb") as stream:
                query = stream.read(struct.unpack(">H", stream.read(2))[0])
                for message in answers(query, True):
                    connection.sendall(struct.pack(">H", len(message)) + message)


main()
