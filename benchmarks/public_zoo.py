"""Nets of public model zoos: coverage by what a forward pass reads, full randomization, LRP and GradCAM by name.

Usage: python benchmarks/public_zoo.py [--out results/public_zoo.json] [NAME ...]

Needs torchvision, timm and transformers, installed with --no-deps beside torch (no weights are loaded: nets are
built with random ones, which is what coverage is about).
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

import agnostic_rand as ar
from agnostic_rand.errors import AgnosticRandError

BY_NAME = ("gradcam", "lrp_epsilon", "lrp_zplus", "guided_backprop")
VISION = (
    *("alexnet", "vgg11", "vgg11_bn", "resnet18", "resnext50_32x4d", "densenet121", "squeezenet1_0", "googlenet"),
    *(
        "mobilenet_v2",
        "mobilenet_v3_small",
        "efficientnet_b0",
        "mnasnet0_5",
        "shufflenet_v2_x0_5",
        "regnet_y_400mf",
    ),
    *("inception_v3", "vit_b_16", "swin_t", "convnext_tiny"),
)


def load_torchvision() -> Any:
    """torchvision without its compiled operators, which only detection models call."""
    library = torch.library.Library("torchvision", "DEF")
    pooled = [
        f"{a}{name}{b}"
        for name in ("roi_align", "roi_pool", "ps_roi_align", "ps_roi_pool", "deform_conv2d")
        for a, b in (("", ""), ("_", "_backward"))
    ]
    for name in ("nms", "qnms", "qroi_align", *pooled):
        library.define(f"{name}(Tensor a) -> Tensor")
    import torchvision

    torchvision.kept_library = library
    return torchvision


def images(side: int = 64) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((2, 3, side, side)).astype("f4")


def vision(name: str) -> Callable[[], tuple[Any, Any, dict[str, Any]]]:
    def build() -> tuple[Any, Any, dict[str, Any]]:
        models = load_torchvision_once().models
        options = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
        side = 224 if name.startswith(("vit", "swin")) else 128 if name == "inception_v3" else 64
        return getattr(models, name)(num_classes=10, **options).eval(), images(side), {}

    return build


_loaded: list[Any] = []


def load_torchvision_once() -> Any:
    if not _loaded:
        _loaded.append(load_torchvision())
    return _loaded[0]


def timm_net(name: str, side: int, **options: Any) -> Callable[[], tuple[Any, Any, dict[str, Any]]]:
    def build() -> tuple[Any, Any, dict[str, Any]]:
        load_torchvision_once()
        import timm

        return timm.create_model(name, pretrained=False, num_classes=10, **options).eval(), images(side), {}

    return build


def bert() -> tuple[Any, Any, dict[str, Any]]:
    load_torchvision_once()
    from transformers import BertConfig, BertForSequenceClassification

    config = BertConfig(
        vocab_size=99, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64
    )
    net = BertForSequenceClassification(config).eval()
    tokens = np.random.default_rng(0).integers(0, 99, (2, 7))
    return (
        net,
        tokens,
        {"forward": lambda model, ids: model(input_ids=ids).logits, "wrt_layer": "bert.embeddings.word_embeddings"},
    )


def gpt2() -> tuple[Any, Any, dict[str, Any]]:
    load_torchvision_once()
    from transformers import GPT2Config, GPT2ForSequenceClassification

    net = GPT2ForSequenceClassification(
        GPT2Config(vocab_size=99, n_embd=32, n_layer=2, n_head=4, pad_token_id=0)
    ).eval()
    tokens = np.random.default_rng(0).integers(1, 99, (2, 7))
    return net, tokens, {"forward": lambda model, ids: model(input_ids=ids).logits, "wrt_layer": "transformer.wte"}


def wav2vec2() -> tuple[Any, Any, dict[str, Any]]:
    load_torchvision_once()
    from transformers import Wav2Vec2Config, Wav2Vec2ForSequenceClassification

    config = Wav2Vec2Config(
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        conv_dim=(16, 16),
        conv_kernel=(10, 3),
        conv_stride=(5, 2),
        num_conv_pos_embeddings=8,
        num_conv_pos_embedding_groups=4,
        classifier_proj_size=16,
    )
    sound = np.random.default_rng(0).standard_normal((2, 800)).astype("f4")
    return Wav2Vec2ForSequenceClassification(config).eval(), sound, {"forward": lambda model, x: model(x).logits}


NETS: dict[str, Callable[[], tuple[Any, Any, dict[str, Any]]]] = {
    **{name: vision(name) for name in VISION},
    "timm vit_tiny": timm_net("vit_tiny_patch16_224", 224),
    "timm swin_tiny": timm_net("swin_tiny_patch4_window7_224", 224),
    "timm convnext_atto": timm_net("convnext_atto", 64),
    "timm mixer_s32": timm_net("mixer_s32_224", 224),
    "bert": bert,
    "gpt2": gpt2,
    "wav2vec2": wav2vec2,
}


def told(call: Callable[[], Any]) -> Any:
    try:
        return call()
    except AgnosticRandError as error:
        return f"refused: {error}"
    except Exception as error:  # noqa: BLE001 - a raw error is what this script looks for
        return f"RAW {type(error).__name__}: {error}"


def examined(build: Callable[[], tuple[Any, Any, dict[str, Any]]]) -> dict[str, Any]:
    torch.manual_seed(0)
    net, inputs, options = build()
    start = time.perf_counter()

    def run(explainer: str) -> Any:
        metric = ar.ModelRandomizationMetric(
            net, inputs, randomization_strategy=ar.FullRandomization(), seed=0, batch_size=2, **options
        )
        return metric.run(explainer)

    result = told(lambda: run("gradient"))
    if isinstance(result, str):
        return {"gradient": result}
    found = {
        "parameters": sum(p.numel() for p in net.parameters()),
        "listed": result.settings["parameters"],
        "coverage": result.steps[-1].coverage,
        "unused": result.settings["unused_parameters"],
        "other arrays": result.settings["other_arrays"],
        "order": result.settings["layer_order"],
        "gradient": float(result.mean()[-1]),
    }
    for name in BY_NAME:
        outcome = told(lambda name=name: run(name))
        found[name] = (
            outcome if isinstance(outcome, str) else f"{outcome.mean()[-1]:.3f} {outcome.settings['explainer']}"
        )
    return {**found, "seconds": round(time.perf_counter() - start, 1)}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path)
    parser.add_argument("names", nargs="*")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    found = {}
    for name, build in NETS.items():
        if not arguments.names or name in arguments.names:
            found[name] = examined(build)
            print(name, json.dumps(found[name], indent=2), flush=True)
            if arguments.out:
                arguments.out.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
