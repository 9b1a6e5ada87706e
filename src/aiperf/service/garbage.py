"""The garbage collector of processes under load: what lives on is not looked through again and again.

Owns: when it looks at how much. Does not own: memory as such; nearly all of it is given back without the collector, by
counting references, for what the timing path makes holds no cycles.

A collection stops the process for as long as it takes to look through what it looks at: 24 to 31 ns an object
(measured: 2,000 objects 0.05 ms, a million 31 ms), so a worker of 100,000 open connections, a dozen objects each, would
stop for tens of milliseconds. Before each phase everything there is is set aside (`gc.freeze`), and collections look
only at what came after. They stay on: what an exception leaves behind must go some time.
"""

import gc

TIMING_THRESHOLDS = (2_000, 10, 100)
"""Of a worker. A batch of ready sockets, or of dispatches, makes a few hundred objects and lets go of them: the usual
700 is reached in the middle of it, 2,000 only when connections or streams become more. A collection of the youngest
then takes 0.05 ms. All is looked through when two million objects were made that nobody let go of."""
THROUGHPUT_THRESHOLDS = (20_000, 10, 10)
"""Of a record processor, which makes rows by the ten thousand and is on nobody's timing path."""


def set_aside(thresholds: tuple[int, int, int]) -> None:
    """Collects now, so that nothing is set aside that could go, and then looks at what comes from now on alone."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*thresholds)
