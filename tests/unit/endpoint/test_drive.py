"""When the client looks, tick by tick, on a loop that only keeps its timers."""

import pytest

from aiperf.endpoint.drive import Drive
from aiperf.units import NS_PER_MS


class Loop:
    """An event loop whose time is moved by hand."""

    def __init__(self) -> None:
        self.now_ns = 0
        self.timers: list[list] = []
        self.readers: dict[int, object] = {}

    def call_later(self, delay_s, callback):
        timer = [self.now_ns + round(delay_s * 1e9), callback]
        self.timers.append(timer)
        return Handle(self.timers, timer)

    def add_reader(self, descriptor, callback):
        self.readers[descriptor] = callback

    def remove_reader(self, descriptor):
        del self.readers[descriptor]

    def run(self, until_ns):
        while self.timers and min(at_ns for at_ns, _ in self.timers) <= until_ns:
            timer = min(self.timers, key=lambda timer: timer[0])
            self.timers.remove(timer)
            self.now_ns = timer[0]
            timer[1]()
        self.now_ns = until_ns


class Handle:
    def __init__(self, timers, timer) -> None:
        self._timers, self._timer = timers, timer

    def cancel(self):
        if self._timer in self._timers:
            self._timers.remove(self._timer)


class Client:
    """Looks when it is told to, and asks for the next look so long after."""

    def __init__(self, descriptor: int = 3) -> None:
        self.loop = Loop()
        self.in_flight = False
        self.interval_ns = 8 * NS_PER_MS
        self.looked_ns: list[int] = [0]
        self.then = lambda: None
        """What a look brings about."""
        self.full_batches = 0
        """So many looks find more than they can take."""
        self.gather_ns = 0
        self.ticked_ns: list[int] = []
        self.drive = Drive(
            self.loop,
            descriptor=descriptor,
            drain=self.look,
            tick=self.tick,
            now_ns=lambda: self.loop.now_ns,
            glance_due_ns=lambda now_ns: self.looked_ns[-1] + self.interval_ns if self.in_flight else -1,
        )

    def look(self):
        self.looked_ns.append(self.loop.now_ns)
        self.then()
        self.full_batches -= 1
        return self.full_batches >= 0

    def tick(self):
        self.ticked_ns.append(self.loop.now_ns)
        return self.gather_ns


def test_quiet_sockets_are_glanced_at_while_requests_are_in_flight():
    client = Client()
    client.in_flight = True
    client.loop.run(450 * NS_PER_MS)
    del client.looked_ns[0]  # glances begin with the first tick
    assert client.looked_ns == [n * NS_PER_MS for n in range(50, 451, 8)]


def test_nothing_in_flight_costs_no_glance():
    client = Client()
    client.loop.run(1000 * NS_PER_MS)
    assert client.looked_ns == [0]
    client.in_flight = True
    client.loop.run(1200 * NS_PER_MS)
    client.in_flight = False
    client.loop.run(1300 * NS_PER_MS)
    count = len(client.looked_ns)
    client.loop.run(2000 * NS_PER_MS)
    assert len(client.looked_ns) == count > 1
    assert len(client.loop.timers) == 1  # the tick alone


def test_glances_are_taken_up_again():
    client = Client()
    client.in_flight = True
    client.loop.run(100 * NS_PER_MS)
    client.in_flight = False
    client.loop.run(200 * NS_PER_MS)
    count = len(client.looked_ns)
    client.in_flight = True
    client.loop.run(300 * NS_PER_MS)
    assert len(client.looked_ns) > count + 5


def test_busy_client_is_not_glanced_for():
    client = Client()
    client.in_flight = True
    for step in range(1, 50):
        client.loop.run(step * 4 * NS_PER_MS)
        client.look()
    assert client.looked_ns == [step * 4 * NS_PER_MS for step in range(50)]


def test_while_it_gathers_sockets_are_looked_at_by_time_alone():
    client = Client()
    client.in_flight = True
    client.gather_ns = 5 * NS_PER_MS
    client.loop.run(120 * NS_PER_MS)
    assert not client.loop.readers
    assert client.looked_ns[1:] == [n * NS_PER_MS for n in range(55, 121, 5)]


def test_gathering_ends_when_a_tick_says_so_and_glances_go_on():
    client = Client()
    client.in_flight = True
    client.gather_ns = 5 * NS_PER_MS
    client.loop.run(70 * NS_PER_MS)
    client.gather_ns = 0
    client.loop.run(140 * NS_PER_MS)
    assert list(client.loop.readers) == [3]
    assert client.looked_ns[-3:] == [119 * NS_PER_MS, 127 * NS_PER_MS, 135 * NS_PER_MS]
    assert len(client.loop.timers) == 2  # tick and glance


def test_what_hurries_is_read_at_once():
    client = Client()
    client.gather_ns = 5 * NS_PER_MS
    client.loop.run(60 * NS_PER_MS)
    client.drive.hurry()
    assert list(client.loop.readers) == [3]
    count = len(client.looked_ns)
    client.loop.run(99 * NS_PER_MS)
    assert len(client.looked_ns) == count
    client.loop.run(101 * NS_PER_MS)
    assert not client.loop.readers


def test_full_batches_are_followed_by_others_at_once_but_not_for_ever():
    client = Client()
    client.gather_ns = 5 * NS_PER_MS
    client.full_batches = 5
    client.loop.run(64 * NS_PER_MS)
    assert client.looked_ns[1:] == [55 * NS_PER_MS] * 4 + [60 * NS_PER_MS] * 2


def test_a_gathering_drive_that_is_stopped_leaves_nothing_with_the_loop():
    client = Client()
    client.gather_ns = 5 * NS_PER_MS
    client.loop.run(70 * NS_PER_MS)
    client.drive.stop()
    assert not client.loop.timers
    assert not client.loop.readers


def test_deadlines_are_looked_at_every_50_ms():
    client = Client()
    client.loop.run(1000 * NS_PER_MS)
    assert len(client.ticked_ns) == 20


def test_selector_without_descriptor_is_asked_every_millisecond():
    client = Client(descriptor=-1)
    client.in_flight = True
    client.loop.run(100 * NS_PER_MS)
    assert len(client.looked_ns) == len(client.ticked_ns) + 1 == 101
    assert not client.loop.readers


@pytest.mark.parametrize("descriptor", [3, -1])
def test_stopped_drive_leaves_nothing_with_the_loop(descriptor):
    client = Client(descriptor)
    client.in_flight = True
    client.loop.run(70 * NS_PER_MS)
    client.drive.stop()
    assert not client.loop.timers
    assert not client.loop.readers


@pytest.mark.parametrize("descriptor", [3, -1])
def test_client_may_be_detached_by_what_a_look_brings(descriptor):
    client = Client(descriptor)
    client.in_flight = True
    client.then = client.drive.stop
    client.loop.run(100 * NS_PER_MS)
    assert not client.loop.timers
