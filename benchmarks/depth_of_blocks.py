"""How plain, residual and Inception networks train as they get deeper: the record of notebook 03.

No claim about speed. Networks that differ in nothing but block and depth are trained on the
scanned digits that scikit-learn carries, from several seeds and for two lengths of training.

    python benchmarks/depth_of_blocks.py

writes `vidrec_utils/image_encoders/depth.csv`. It takes about five minutes on one core.
"""

from __future__ import annotations

import argparse
from itertools import product

import pandas as pd
import torch
from tqdm import tqdm

from vidrec_utils.image_encoders import depth

SHORT = [(kind, n, depth.STEPS) for kind, n in product(depth.KINDS, (2, 4, 8, 16, 32))]
LONG = [(kind, n, 5 * depth.STEPS) for kind, n in product(depth.KINDS, (2, 8, 32))]


def main() -> None:
    """Train all networks and write the record."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    seeds = parser.parse_args().seeds
    torch.set_num_threads(1)  # more of them wait for one another in layers this small
    runs = [(*run, seed) for seed, run in product(seeds, SHORT)]
    runs += [(*run, seeds[0]) for run in LONG]
    rows = [depth.run(kind, n, steps, seed=seed).row() for kind, n, steps, seed in tqdm(runs)]
    table = pd.DataFrame(rows)
    depth.RECORD.write_text(table.to_csv(index=False, float_format="%.4f"), encoding="utf-8")
    print(table.groupby(["kind", "depth", "steps"])[["accuracy", "train_accuracy"]].mean())


if __name__ == "__main__":
    main()
