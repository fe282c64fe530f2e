"""The adapter keeps to the contract of agnostic_rand."""

import numpy as np
from agnostic_rand_example_numpy.network import BatchNorm, Dense, Network, ReLU

from agnostic_rand.testing import AdapterConformance, Case, Facts, Native

LEARNED = ("weight", "bias", "scale", "shift")
NATIVE = Native(
    parameters=lambda net: [vars(m)[key] for m in net.modules.values() for key in LEARNED if key in vars(m)],
    flags=lambda net: net.training,
)


class TestNumPyBackend(AdapterConformance):
    def make_cases(self) -> list[Case]:
        rng = np.random.default_rng(0)
        first, head, norm = Dense.create(5, 8, rng), Dense.create(8, 3, rng), BatchNorm(8)
        x = rng.standard_normal((8, 5)).astype("float32")
        mlp = Network({"first": first, "relu": ReLU(), "head": head})
        deep = Network({"head": Dense.create(8, 3, rng), "first": Dense.create(5, 8, rng), "norm": norm})
        deep.path, deep.training = ("first", "norm", "head"), False
        return [
            Case("mlp", mlp, x, facts=Facts(parameter_count=75, dense_relu=True), native=NATIVE),
            Case("deep", deep, x, facts=Facts(order=deep.path), native=NATIVE),
        ]
