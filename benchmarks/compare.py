"""Two source trees by turns on the same benchmark: the ratio of their figures, which a shared machine leaves meaning.

    python benchmarks/compare.py TREE_A TREE_B BENCH [--rounds 3] [BENCH's arguments …]
    python benchmarks/compare.py ../before . pipeline_cost.py --rounds 5 requests --repeat 1

Each round runs TREE_B's benchmark with the source of each tree, one after the other; who is first changes from round to
round (`--own-scripts`: each tree's own benchmark, for those that look inside what has changed). What a benchmark prints
is taken line by line: lines that differ in nothing but their numbers are the same figures. Printed are, for each
number, the medians of A and B, their ratio B/A, and the range of the ratios of the single rounds: a difference smaller
than that range is none.

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


def figures_of(tree: Path, script: Path, arguments: list[str]) -> dict[str, list[float]]:
    """What one run of the benchmark says of the tree's source: numbers by the line that they stand in."""
    path = os.pathsep.join((str(tree / "src"), str(script.parents[1])))
    run = subprocess.run(
        [sys.executable, str(script), *arguments],
        env=os.environ | {"PYTHONPATH": path},
        cwd=tree,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if run.returncode:
        raise SystemExit(f"{script} with {tree} failed with exit code {run.returncode}")
    return figures(run.stdout)


def figures(output: str) -> dict[str, list[float]]:
    """Numbers by the line that they stand in, itself without them."""
    found: dict[str, list[float]] = {}
    for line in output.splitlines():
        numbers = [float(text.replace(",", "")) for text in NUMBER.findall(line)]
        if numbers:
            found[" ".join(NUMBER.sub("#", line).split())] = numbers
    return found


def row(a: list[float], b: list[float]) -> str:
    """One number of the benchmark, over all rounds."""
    ratios = [after / before for before, after in zip(a, b, strict=True) if before]
    if not ratios:
        return f"  {0:14} {statistics.median(b):14,.3f}"
    middle_a, middle_b = statistics.median(a), statistics.median(b)
    ratio = middle_b / middle_a if middle_a else float("nan")
    return f"  {middle_a:14,.3f} {middle_b:14,.3f}   {ratio:6.3f}  ({min(ratios):.3f}-{max(ratios):.3f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("tree_a", type=Path)
    parser.add_argument("tree_b", type=Path)
    parser.add_argument("bench")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--own-scripts", action="store_true")
    options, arguments = parser.parse_known_args()
    trees = [options.tree_a.resolve(), options.tree_b.resolve()]
    scripts = [tree / "benchmarks" / options.bench for tree in (trees if options.own_scripts else trees[1:] * 2)]
    runs: list[list[dict[str, list[float]]]] = [[], []]
    for round_index in range(options.rounds):
        for which in (0, 1) if round_index % 2 == 0 else (1, 0):
            runs[which].append(figures_of(trees[which], scripts[which], arguments))
    print(f"A: {trees[0]}\nB: {trees[1]}\n{options.rounds} rounds of {options.bench} {' '.join(arguments)}")
    print(f"  {'A':>14} {'B':>14}   {'B/A':>6}  (rounds)")
    everyone = [run for side in runs for run in side]
    shared = [
        line for line, found in everyone[0].items() if all(len(run.get(line, [])) == len(found) for run in everyone)
    ]
    for line in shared:
        print(line)
        for place in range(len(everyone[0][line])):
            print(row(*([run[line][place] for run in side] for side in runs)))
    if not shared:
        raise SystemExit(f"the runs have no line in common: {everyone}")


if __name__ == "__main__":
    main()
