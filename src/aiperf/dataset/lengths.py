"""Lengths drawn around a mean: how many tokens a prompt has, how many are asked for.

Owns: the distribution, and its independence of everything but seed, purpose and entry: entry 7 has the same length in a
dataset of 10 and of 10,000. Does not own: what has that length (`synthetic`).
"""

from random import Random


def drawn_length(mean_tokens: float, stddev_tokens: float, *, seed: int, purpose: str, entry_index: int) -> int:
    """A whole number of tokens, at least 1, from a normal distribution cut off below.

    What would round to less than 1 is drawn again, so a standard deviation near the mean or above it raises the mean of
    the lengths. `purpose` keeps the lengths of prompts and of answers independent of each other.
    """
    if stddev_tokens == 0:
        return max(1, round(mean_tokens))
    generator = Random(f"{seed}/{purpose}/{entry_index}")
    while True:
        length = round(generator.normalvariate(mean_tokens, stddev_tokens))
        if length >= 1:
            return length
