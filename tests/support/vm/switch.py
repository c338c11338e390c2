# SPDX-License-Identifier: Apache-2.0
"""A virtual switch: machines on one layer 2, in a thread of the story, so that this machine's own network has no part in it.

    with Switch() as switch, side_by_side(Machine("one", network=switch), Machine("two", network=switch)) as (one, two):
        one.run("ping", "-c", "1", switch.address(two))
        with switch.cut(two):
            ...

The n-th machine has 10.90.0.n and fd90::n on its eth0."""
import concurrent.futures
import contextlib
import pathlib
import selectors
import socket
import struct
import tempfile
import threading

QUEUE = 1 << 20  # bytes that wait for a machine; what comes above is lost, as it is in any switch
ADDRESSES = 1024  # that are learnt
CHUNK = 256 << 10
FRAME_LEAST, FRAME_MOST = 14, 68 << 10
SIZE = struct.Struct(">I")  # before each frame, in QEMU's stream

# All machines come of one snapshot: each gets a hardware address of its own. Its other addresses stay when the carrier goes,
# as they do on a machine that was configured by hand.
NETWORK = """[Match]
Name=eth0

[Link]
MACAddress={mac}

[Network]
Address={ipv4}/24
Address={ipv6}/64
Address=fe80::{number:x}/64
LinkLocalAddressing=no
IPv6AcceptRA=no
IPv6DuplicateAddressDetection=0
ConfigureWithoutCarrier=yes
IgnoreCarrierLoss=yes
"""
CONFIGURE = """cat > /etc/systemd/network/05-switch.network
networkctl reload
until ip -o address show eth0 -tentative | grep -q 'inet6 {ipv6}/'; do sleep 0.05; done
"""


@contextlib.contextmanager
def side_by_side(*machines):
    """A `with` block for several, which start at the same time."""
    with contextlib.ExitStack() as stack:
        with concurrent.futures.ThreadPoolExecutor() as threads:
            list(threads.map(stack.enter_context, machines))
        yield machines


class Cable:
    """A connection with the QEMU of a machine: frames, each with its size before it."""

    def __init__(self, port, connection):
        self.port, self.connection = port, connection
        self._input, self._output = bytearray(), bytearray()
        connection.setblocking(False)

    def receive(self):
        """The frames that have come."""
        try:
            data = self.connection.recv(CHUNK)
        except BlockingIOError:
            return []
        if not data:
            raise ConnectionError("the machine has ended")
        self._input += data
        frames, at = [], 0
        while len(self._input) - at >= SIZE.size:
            (size,) = SIZE.unpack_from(self._input, at)
            if not FRAME_LEAST <= size <= FRAME_MOST:
                raise ConnectionError(f"a frame of {size} bytes")
            if len(self._input) - at < SIZE.size + size:
                break
            at += SIZE.size
            frames.append(bytes(self._input[at:at + size]))
            at += size
        del self._input[:at]
        return frames

    def queue(self, frame):
        if len(self._output) < QUEUE:
            self._output += SIZE.pack(len(frame)) + frame

    def send(self):
        """Sends what the machine takes now; true when something is left."""
        with contextlib.suppress(OSError):  # that a machine has ended shows when its cable is read
            del self._output[:self.connection.send(self._output)]
        return bool(self._output)


class Port:
    """A machine's place at the switch: `path` is the socket for its QEMU."""

    def __init__(self, path, number):
        self.number, self.mac = number, f"52:54:00:90:00:{number:02x}"
        self.ipv4, self.ipv6 = f"10.90.0.{number}", f"fd90::{number:x}"
        self.cable, self.cut = None, False
        self.path, self.listener = path, socket.socket(socket.AF_UNIX)
        self.listener.bind(str(path))
        self.listener.listen()

    def configure(self, machine):
        """Gives the machine its addresses, for good."""
        machine.shell(CONFIGURE.format(**vars(self)), data=NETWORK.format(**vars(self)))


class Switch:
    def __enter__(self):
        self._folder = tempfile.TemporaryDirectory(prefix="gantry-switch-")
        self._ports, self._learnt = {}, {}
        self._selector = selectors.DefaultSelector()
        self._end, self._ended = socket.socketpair()
        self._selector.register(self._ended, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._end.close()
        self._thread.join()
        for key in list(self._selector.get_map().values()):
            key.fileobj.close()
        self._selector.close()
        self._folder.cleanup()

    def join(self, machine):
        """A port for the machine; it keeps it when it boots again."""
        number = len(self._ports) + 1
        port = self._ports[machine.name] = Port(pathlib.Path(self._folder.name) / str(number), number)
        self._selector.register(port.listener, selectors.EVENT_READ, port)
        return port

    def address(self, machine):
        return self._ports[machine.name].ipv4

    @contextlib.contextmanager
    def cut(self, machine):
        """Nothing passes from or to the machine, which is not told. (By Machine.unplugged() it is.)"""
        port = self._ports[machine.name]
        port.cut = True
        try:
            yield
        finally:
            port.cut = False

    def _serve(self):
        while True:
            for key, _ in self._selector.select():
                if key.fileobj is self._ended:
                    return
                if isinstance(key.data, Port):
                    self._connect(key.data)
                    continue
                try:
                    self._pass_on(key.data)
                except ConnectionError:
                    self._drop(key.data)

    def _connect(self, port):
        cable = Cable(port, port.listener.accept()[0])
        self._selector.register(cable.connection, selectors.EVENT_READ, cable)
        port.cable = cable

    def _pass_on(self, cable):
        touched = {cable}
        for frame in cable.receive():
            for port in self._ways(cable.port, frame):
                port.cable.queue(frame)
                touched.add(port.cable)
        for each in touched:
            wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if each.send() else 0)
            if self._selector.get_key(each.connection).events != wanted:
                self._selector.modify(each.connection, wanted, each)

    def _ways(self, source, frame):
        """The ports by which a frame that came in by `source` leaves."""
        if source.cut:
            return []
        receiver, sender = frame[:6], frame[6:12]
        if sender[0] & 1 == 0 and len(self._learnt) < ADDRESSES:
            self._learnt[sender] = source
        known = self._learnt.get(receiver)
        ways = [known] if known else list(self._ports.values())
        return [port for port in ways if port is not source and port.cable and not port.cut]

    def _drop(self, cable):
        if cable.port.cable is cable:
            cable.port.cable = None
        self._selector.unregister(cable.connection)
        cable.connection.close()
