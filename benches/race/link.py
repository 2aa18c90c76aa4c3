#!/usr/bin/env python3
"""A link between two network namespaces on which every packet takes a while.

  link.py PID PID MILLISECONDS      the namespaces of two processes; the delay each way

Each side has a TUN device `eth0`; what one sends is written to the other when it is due. With
segmentation offload a packet holds up to 64 KiB, as it does between a kernel and its network card.
Needs no kernel module for delays (netem). Ends with its standard input.
"""
import ctypes
import fcntl
import os
import select
import struct
import sys
import time
from collections import deque

TUNSETIFF, TUNSETOFFLOAD = 0x400454CA, 0x400454D0
TUN, NO_PACKET_INFO, VIRTIO_HEADER = 0x0001, 0x1000, 0x4000
CHECKSUMS, TCP4, TCP6, ECN = 1, 2, 4, 8
CLONE_NEWNET = 0x40000000
PACKET_MAX = 65536 + 64
libc = ctypes.CDLL(None, use_errno=True)


def enter(path):
    fd = os.open(path, os.O_RDONLY)
    if libc.setns(fd, CLONE_NEWNET):
        sys.exit(f"setns: {os.strerror(ctypes.get_errno())}")
    os.close(fd)


def device(pid):
    enter(f"/proc/{pid}/ns/net")
    fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    flags = TUN | NO_PACKET_INFO | VIRTIO_HEADER
    fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", b"eth0", flags))
    fcntl.ioctl(fd, TUNSETOFFLOAD, CHECKSUMS | TCP4 | TCP6 | ECN)
    return fd


def take_in(fd, queue, delay):
    """Reads what has come, but not for ever: what is due on the other side must not wait for it."""
    for _ in range(64):
        try:
            packet = os.read(fd, PACKET_MAX)
        except BlockingIOError:
            return
        queue.append((time.monotonic() + delay, packet))


def deliver(fd, queue):
    now = time.monotonic()
    while queue and queue[0][0] <= now:
        try:
            os.write(fd, queue.popleft()[1])
        except OSError:
            pass  # a full queue drops the packet, as routers do


def main():
    one, other = device(sys.argv[1]), device(sys.argv[2])
    delay = float(sys.argv[3]) / 1000
    there, back = deque(), deque()
    print("up", flush=True)
    while True:
        due = min((queue[0][0] for queue in (there, back) if queue), default=None)
        wait = None if due is None else max(0.0, due - time.monotonic())
        ready, _, _ = select.select([one, other, 0], [], [], wait)
        if 0 in ready:
            return
        if one in ready:
            take_in(one, there, delay)
        if other in ready:
            take_in(other, back, delay)
        deliver(other, there)
        deliver(one, back)


main()
