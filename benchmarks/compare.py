"""Two source trees by turns on the same benchmark: the ratio of their figures, which a shared machine leaves meaning.

    python benchmarks/compare.py TREE_A TREE_B BENCH [--rounds 3] [BENCH's arguments …]
    python benchmarks/compare.py ../before . pipeline_cost.py --rounds 5 requests --repeat 1

Each round runs the benchmark of each tree, with that tree's source, one after the other; who is first changes from
round to round. What a benchmark prints is taken line by line: lines that differ in nothing but their numbers are the
same figures. Printed are, for each number, the medians of A and B, their ratio B/A, and the range of the ratios of the
single rounds: a difference smaller than that range is none.

Whoever takes figures on a machine that others use gives the ratio; the figures themselves say how busy it was.
"""

import argparse
import os
import re
import statistics
import subprocess
import sys
from pathlib import Path

NUMBER = re.compile(r"\d[\d,]*(?:\.\d+)?")


def figures_of(tree: Path, bench: str, arguments: list[str]) -> dict[str, list[float]]:
    """What one run of the tree's benchmark says: numbers by the line that they stand in."""
    path = os.pathsep.join((str(tree / "src"), str(tree)))
    run = subprocess.run(
        [sys.executable, str(tree / "benchmarks" / bench), *arguments],
        env=os.environ | {"PYTHONPATH": path},
        cwd=tree,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if run.returncode:
        raise SystemExit(f"{bench} of {tree} failed with exit code {run.returncode}")
    return figures(run.stdout)


def figures(output: str) -> dict[str, list[float]]:
    """Numbers by the line that they stand in, itself without them."""
    found: dict[str, list[float]] = {}
    for line in output.splitlines():
        numbers = [float(text.replace(",", "")) for text in NUMBER.findall(line)]
        if numbers:
            found[" ".join(NUMBER.sub("#", line).split())] = numbers
    return found


def row(name: str, a: list[float], b: list[float]) -> str:
    """One number of the benchmark, over all rounds."""
    ratios = [after / before for before, after in zip(a, b, strict=True) if before]
    if not ratios:
        return f"{name}: 0"
    middle_a, middle_b = statistics.median(a), statistics.median(b)
    ratio = middle_b / middle_a if middle_a else float("nan")
    return f"  {middle_a:14,.3f} {middle_b:14,.3f}   {ratio:6.3f}  ({min(ratios):.3f}-{max(ratios):.3f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("tree_a", type=Path)
    parser.add_argument("tree_b", type=Path)
    parser.add_argument("bench")
    parser.add_argument("--rounds", type=int, default=3)
    options, arguments = parser.parse_known_args()
    trees = [options.tree_a.resolve(), options.tree_b.resolve()]
    runs: list[list[dict[str, list[float]]]] = [[], []]
    for round_index in range(options.rounds):
        for which in (0, 1) if round_index % 2 == 0 else (1, 0):
            runs[which].append(figures_of(trees[which], options.bench, arguments))
    print(f"A: {trees[0]}\nB: {trees[1]}\n{options.rounds} rounds of {options.bench} {' '.join(arguments)}")
    print(f"  {'A':>14} {'B':>14}   {'B/A':>6}  (rounds)")
    for line in runs[0][0]:
        if all(line in run and len(run[line]) == len(runs[0][0][line]) for side in runs for run in side):
            print(line)
            for place in range(len(runs[0][0][line])):
                print(row(line, *([run[line][place] for run in side] for side in runs)))


if __name__ == "__main__":
    main()
