"""C2: layers come in the order in which the forward pass first uses them."""

from __future__ import annotations

import numpy as np
import torch
from networks import UncalledModule
from torch import nn
from torch.nn import functional as F
from zoo import BY_NAME, Case, cases

import agnostic_rand as ar

_BLOCK = ("norm", "attention", "attention.out_proj", "", "mlp.0", "mlp.2")
USED = {
    "resnet with functional relu": ["stem", "first", "first_norm", "second", "second_norm", "head"],
    "vision transformer": [
        "patches",
        "token",
        "positions",
        *(f"blocks.{i}.{part}".rstrip(".") for i in range(2) for part in _BLOCK),
        "norm",
        "head",
    ],
    "uncalled module": ["body", "weights"],
    "tied autoencoder": ["encoder", "decoder_bias"],
    "tied head": ["embedding", "body", "head"],
    "bare parameters": ["gain", "prompts", "tables", "head", "temperature"],
    "shared module": ["first", "norm", "head"],
    "transformer encoder": [
        *("0.layers.0.self_attn", "0.layers.0.self_attn.out_proj", "0.layers.0.norm1"),
        *("0.layers.0.linear1", "0.layers.0.linear2", "0.layers.0.norm2", "2"),
    ],
    "weight_norm hooks lstm": ["cell", "head"],
    "spectral_norm": ["0", "2", "6"],
    "compiled inside": ["0.0", "1"],
}


@cases(*USED)
def test_the_order_is_that_of_the_forward_pass(case: Case) -> None:
    adapter = case.adapter()
    assert [layer.name for layer in adapter.layers()] == USED[case.name]
    assert adapter.order_source == "traced"


@cases("resnet with functional relu", "uncalled module")
def test_without_inputs_the_order_is_that_of_declaration(case: Case) -> None:
    adapter = ar.adapt(case.model())
    assert [layer.name for layer in adapter.layers()] != USED[case.name]
    assert sorted(layer.name for layer in adapter.layers()) == sorted(USED[case.name])
    assert adapter.order_source == "declared"


def test_the_first_use_counts() -> None:
    class Loop(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.last, self.twice, self.start = (nn.Linear(4, 4) for _ in range(3))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.last(self.twice(F.linear(self.start(self.twice(x)), self.twice.weight)))

    adapter = ar.adapt(Loop(), example_inputs=np.ones((1, 4), "f"))
    assert [layer.name for layer in adapter.layers()] == ["twice", "start", "last"]


def test_an_unused_layer_follows_the_one_declared_before_it() -> None:
    class Auxiliary(UncalledModule):
        def __init__(self) -> None:
            super().__init__()
            self.unused = nn.Linear(2, 2)

    adapter = ar.adapt(Auxiliary(), example_inputs=np.ones((1, 6), "f"))
    assert [layer.name for layer in adapter.layers()] == ["body", "unused", "weights"]


def test_the_inside_of_a_scripted_module_is_seen() -> None:
    case = BY_NAME["scripted"]
    assert case.adapter().order_source == "traced"


def test_a_clone_has_the_same_order() -> None:
    adapter = BY_NAME["resnet with functional relu"].adapter()
    twin = adapter.clone()
    assert twin.layers() == adapter.layers()
    assert twin.order_source == "traced"


def test_the_result_says_where_the_order_comes_from() -> None:
    case = BY_NAME["resnet with functional relu"]
    result = ar.ModelRandomizationMetric(
        case.model(), case.inputs(2), randomization_strategy=ar.CascadingRandomization(), seed=0
    ).run("random_map")
    assert result.settings["layer_order"] == "traced"
    assert [step.name for step in result.steps] == USED[case.name][::-1]
