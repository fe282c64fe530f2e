"""Ten claims of the literature on its nets and real data: what is measured, the bound, whether it holds.

Needs captum, zennit and torchvision beside torch, and the folder that AGNOSTIC_RAND_TEST_DATA names.
Run: python benchmarks/claims.py [--only 7 9] [--out benchmarks/results/claims.json]
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import captum
import torch

import claim_nets as nets
from claim_cascades import claim_1, claim_2, claim_3, claim_4, claim_5, claim_10
from claim_cifar import claim_9
from claim_lenet import claim_6, claim_7, claim_8
from claim_measures import print_rows
from claim_runs import DRAWS, IMAGES, SEED

CLAIMS = {
    number: (claim, (claim.__doc__ or "").splitlines()[0])
    for number, claim in enumerate(
        (claim_1, claim_2, claim_3, claim_4, claim_5, claim_6, claim_7, claim_8, claim_9, claim_10), start=1
    )
}


def trained_nets() -> dict[str, dict[str, float]]:
    found = {"cnn": nets.the_cnn(), "mlp": nets.the_mlp(), "cifar": nets.the_cifar_net()}
    return {name: {"epochs": one.epochs, "test_accuracy": one.accuracy} for name, one in found.items()}


def summary(record: Mapping[str, Any]) -> None:
    """One line for each claim: how many of its numbers are within their bounds."""
    print("\nclaim  holds  numbers within their bounds")
    for number, claim in sorted(record.items(), key=lambda item: int(item[0])):
        own = [row["holds"] for row in claim["rows"] if row["holds"] is not None and not row["reason"]]
        holds = "yes" if all(own) else "in part" if any(own) else "no"
        print(f"{number:>5}  {holds:7}{sum(own):>3} of {len(own):<3} {claim['title']}"[:80])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", type=int, nargs="*", choices=list(CLAIMS), default=list(CLAIMS))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    # Claims that are not asked for stay as they were measured, so that a run can be taken up again.
    kept = json.loads(arguments.out.read_text()) if arguments.out and arguments.out.exists() else {}
    claims = kept.get("claims", {})
    for number in arguments.only:
        claim, title = CLAIMS[number]
        start = time.monotonic()
        rows = claim()
        print_rows(str(number), title, rows)
        print(f"claim {number}: {time.monotonic() - start:.0f} s", file=sys.stderr)
        claims[str(number)] = {"title": title, "rows": [row.record() for row in rows]}
        if arguments.out:
            versions = {
                "python": platform.python_version(),
                "torch": torch.__version__,
                "captum": captum.__version__,
            }
            settings = {"images": IMAGES, "draws": DRAWS, "seed": SEED, "nets": trained_nets()}
            record = {"settings": settings, "versions": versions, "claims": claims}
            arguments.out.parent.mkdir(parents=True, exist_ok=True)
            arguments.out.write_text(json.dumps(record, indent=1) + "\n")
    summary(claims)


if __name__ == "__main__":
    main()
