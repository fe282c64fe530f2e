"""Which layer the class activation maps take by default, in nets of the shapes that model zoos have."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import agnostic_rand as ar
from agnostic_rand.errors import ArgumentError, InputError
from agnostic_rand.explainers import GradCAM, GuidedGradCAM, HiResCAM, LayerCAM, SmoothGrad

RNG = np.random.default_rng(2)
METHODS = {"gradcam": GradCAM, "hirescam": HiResCAM, "layercam": LayerCAM}


class Permute(nn.Module):
    def __init__(self, *order):
        super().__init__()
        self.order = order

    def forward(self, x):
        return x.permute(self.order)


class Mean(nn.Module):
    def forward(self, x):
        return x.mean(tuple(range(2, x.ndim)))


class Attention(nn.Module):
    """Self-attention whose weights pass through a module: (samples, heads, tokens, tokens)."""

    def __init__(self, width, heads=2):
        super().__init__()
        self.q, self.k, self.weights, self.heads = (
            nn.Linear(width, width),
            nn.Linear(width, width),
            nn.Softmax(-1),
            heads,
        )
        self.split = nn.Identity()

    def forward(self, x):
        q, k, v = (
            self.split(one.unflatten(2, (self.heads, -1)).transpose(1, 2)) for one in (self.q(x), self.k(x), x)
        )
        return (self.weights(q @ k.mT) @ v).transpose(1, 2).flatten(2)


class Tokens(nn.Module):
    """A vision transformer with a class token, on patches that `stem` makes."""

    def __init__(self, stem, width=8):
        super().__init__()
        self.stem, self.token, self.attention = stem, nn.Parameter(torch.zeros(1, 1, width)), Attention(width)
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, 4)

    def forward(self, x):
        x = self.stem(x)
        x = torch.cat([self.token.expand(len(x), -1, -1), x], 1)
        return self.head(self.norm(x + self.attention(x))[:, 0])


class PooledTokens(nn.Module):
    """Few tokens of an image that was pooled, split into heads: `(samples, heads, tokens, width / heads)`."""

    def __init__(self, heads, width, grid):
        super().__init__()
        self.stem, self.widen, self.split = nn.Conv2d(2, 8, 2, 2), nn.Linear(8, width), nn.Identity()
        self.heads, self.grid, self.head = heads, grid, nn.Linear(width, 4)

    def forward(self, x):
        pooled = nn.functional.adaptive_avg_pool2d(self.stem(x), self.grid)
        heads = self.split(self.widen(pooled.flatten(2).mT).unflatten(2, (self.heads, -1)).transpose(1, 2))
        return self.head(heads.transpose(1, 2).flatten(2).relu().mean(1))


class TalkingHeads(nn.Module):
    """A convolution that mixes the heads of attention, whose matrix is no image."""

    def __init__(self):
        super().__init__()
        self.stem, self.talk, self.head = nn.Conv2d(2, 6, 4, 4), nn.Conv2d(3, 3, 1), nn.Linear(6, 4)

    def forward(self, x):
        tokens = self.stem(x).flatten(2).mT
        split = tokens.unflatten(2, (3, -1)).transpose(1, 2)
        mixed = self.talk((split @ split.mT).softmax(-1)) @ split
        return self.head(mixed.transpose(1, 2).flatten(2).mean(1))


class Patches(nn.Module):
    """Patches by reshaping and a linear layer, without a convolution."""

    def __init__(self, side, width=8):
        super().__init__()
        self.side, self.embed = side, nn.Linear(2 * side * side, width)

    def forward(self, x):
        n, c, h, w = x.shape
        cut = x.reshape(n, c, h // self.side, self.side, w // self.side, self.side)
        return self.embed(cut.permute(0, 2, 4, 1, 3, 5).reshape(n, -1, c * self.side**2))


class ConvNextBlock(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.depthwise = nn.Conv2d(width, width, 3, padding=1, groups=width)
        self.last, self.norm, self.mix, self.first = (
            Permute(0, 2, 3, 1),
            nn.LayerNorm(width),
            nn.Linear(width, width),
            Permute(0, 3, 1, 2),
        )

    def forward(self, x):
        return x + self.first(self.mix(self.norm(self.last(self.depthwise(x)))))


class DenseLayer(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.norm, self.conv = nn.BatchNorm2d(width), nn.Conv2d(width, 3, 3, padding=1)

    def forward(self, x):
        return torch.cat([x, self.conv(torch.relu(self.norm(x)))], 1)


class Gate(nn.Module):
    """Squeeze and excitation, and a spatial gate of one channel."""

    def __init__(self, width):
        super().__init__()
        self.pool, self.channels, self.place = (
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(width, width, 1),
            nn.Conv2d(width, 1, 3, padding=1),
        )

    def forward(self, x):
        return x * torch.sigmoid(self.channels(self.pool(x))) * torch.sigmoid(self.place(x))


def swin(side, width):
    """Stages with channels last; `side` and `width` may coincide."""
    return [
        nn.Conv2d(2, width, 16 // side, 16 // side),
        Permute(0, 2, 3, 1),
        nn.LayerNorm(width),
        nn.Linear(width, width),
        nn.GELU(),
    ]


def vgg():
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(4, 6, 3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(6, 4),
    )


def head(width):
    return [Mean(), nn.Linear(width, 4)]


SQUARE, WIDE, SEQUENCE, VOLUME = (3, 2, 16, 16), (3, 2, 18, 12), (3, 2, 40), (3, 2, 6, 12, 12)
TAKEN = {
    "vgg": (vgg, SQUARE, "5"),
    # Six channels could be three times two of space: the layer before the last pooling is sure.
    "vgg, not square": (vgg, WIDE, "4"),
    "densenet": (
        lambda: nn.Sequential(nn.Conv2d(2, 4, 3), DenseLayer(4), DenseLayer(7), nn.AdaptiveAvgPool2d(1), *head(10)),
        SQUARE,
        "2",
    ),
    "gated": (lambda: nn.Sequential(nn.Conv2d(2, 5, 3), Gate(5), *head(5)), SQUARE, "1"),
    "class token": (
        lambda: Tokens(nn.Sequential(nn.Conv2d(2, 8, 4, 4), nn.Flatten(2), Permute(0, 2, 1))),
        SQUARE,
        "stem.0",
    ),
    "few heads of pooled tokens": (lambda: PooledTokens(2, 8, 2), SQUARE, "stem"),
    "many heads of pooled tokens": (lambda: PooledTokens(8, 32, (2, 3)), SQUARE, "stem"),
    "talking heads": (TalkingHeads, SQUARE, "stem"),
    "convnext": (
        lambda: nn.Sequential(nn.Conv2d(2, 6, 4, 4), ConvNextBlock(6), nn.AdaptiveAvgPool2d(1), *head(6)),
        SQUARE,
        "1",
    ),
    # The same sizes in all places: only the convolution's channels are sure.
    "convnext, a cube": (
        lambda: nn.Sequential(nn.Conv2d(2, 4, 4, 4), ConvNextBlock(4), *head(4)),
        SQUARE,
        "1.depthwise",
    ),
    "swin, back at the end": (
        lambda: nn.Sequential(*swin(4, 6), Permute(0, 3, 1, 2), nn.AdaptiveAvgPool2d(1), *head(6)),
        SQUARE,
        "5",
    ),
    "swin": (lambda: nn.Sequential(*swin(4, 6), nn.Flatten(1, 2), Permute(0, 2, 1), *head(6)), SQUARE, "0"),
    "swin, a cube": (lambda: nn.Sequential(*swin(8, 8), nn.Flatten(1, 2), Permute(0, 2, 1), *head(8)), SQUARE, "0"),
    "strides of one direction": (
        lambda: nn.Sequential(nn.Conv2d(2, 5, 3, (1, 4)), nn.ReLU(), *head(5)),
        SQUARE,
        "1",
    ),
    "sequence": (
        lambda: nn.Sequential(nn.Conv1d(2, 20, 5, 2), nn.ReLU(), nn.Conv1d(20, 24, 3, 2), nn.ReLU(), *head(24)),
        SEQUENCE,
        "3",
    ),
    "sequence, then tokens": (
        lambda: nn.Sequential(
            nn.Conv1d(2, 6, 4, 4),
            Permute(0, 2, 1),
            nn.ConstantPad2d((0, 0, 1, 0), 0),
            nn.Linear(6, 6),
            nn.GELU(),
            Permute(0, 2, 1),
            *head(6),
        ),
        SEQUENCE,
        "0",
    ),
    "volume": (
        lambda: nn.Sequential(nn.Conv3d(2, 5, 3), nn.ReLU(), nn.AvgPool3d(2), nn.AdaptiveAvgPool3d(1), *head(5)),
        VOLUME,
        "2",
    ),
}


def make(build):
    torch.manual_seed(4)
    return build().eval()


@pytest.mark.parametrize("case", TAKEN)
def test_the_layer_is_image_like_and_the_map_is_the_formula_there(case):
    build, shape, layer = TAKEN[case]
    net, inputs = make(build), RNG.standard_normal(shape).astype(np.float32)
    labels = np.array([0, 1, 3])
    output, gradient = at_layer(net, layer, inputs, labels)
    space = tuple(range(2, output.ndim))
    due = {
        "gradcam": torch.relu((gradient.mean(space, keepdim=True) * output).sum(1)),
        "hirescam": (gradient * output).sum(1),
        "layercam": torch.relu((torch.relu(gradient) * output).sum(1)),
    }
    mode = {3: "linear", 4: "bilinear", 5: "trilinear"}[output.ndim]
    for name, coarse in due.items():
        fine = nn.functional.interpolate(coarse[:, None], shape[2:], mode=mode)[:, 0].numpy()
        found = ar.explain(net, inputs, labels, name)
        assert found.shape == (shape[0], *shape[2:])
        np.testing.assert_allclose(found, fine, atol=1e-5 * max(np.abs(fine).max(), 1e-3))
    metric = ar.ModelRandomizationMetric(net, inputs, labels, randomization_strategy=ar.FullRandomization(), seed=0)
    assert metric.run("gradcam").settings["explainer"] == f"GradCAM(layer={layer!r})"


def at_layer(net, layer, inputs, labels):
    """A layer's output and the chosen outputs' gradient with respect to it, in double precision."""
    seen = []
    twin = net.double()
    handle = twin.get_submodule(layer).register_forward_hook(lambda _, __, output: seen.append(output))
    chosen = twin(torch.from_numpy(inputs).double()).gather(1, torch.from_numpy(labels)[:, None]).sum()
    (gradient,) = torch.autograd.grad(chosen, seen[-1])
    handle.remove()
    net.float()
    return seen[-1].detach(), gradient


class WithBias(nn.Module):
    """A table of positions, larger than a batch of one, that a module puts out before there is an image."""

    def __init__(self):
        super().__init__()
        self.table, self.embed, self.head = nn.Identity(), nn.Linear(16, 6), nn.Linear(6, 4)
        self.bias = nn.Parameter(torch.randn(1, 2, 16, 16))

    def forward(self, x):
        return self.head(torch.relu(self.embed((x + self.table(self.bias)).mean((1, 2)))))


@pytest.mark.parametrize(
    ("build", "shape"),
    [
        # 16 patches and 16 pixels a side: the weights of attention are as large as the image.
        (lambda: Tokens(Patches(4)), SQUARE),
        (WithBias, SQUARE),
        (lambda: nn.Sequential(nn.Flatten(), nn.Linear(80, 4)), SEQUENCE),
    ],
)
def test_a_model_without_an_image_inside_is_refused(build, shape):
    net, inputs = make(build), RNG.standard_normal(shape).astype(np.float32)
    for method in (*METHODS, GuidedGradCAM()):
        with pytest.raises(ArgumentError, match=r"a model with a convolution.*(layer=|gradient method)"):
            ar.explain(net, inputs, np.zeros(3, int), method)


def test_a_named_layer_with_channels_elsewhere_is_refused_with_one_that_works():
    net = make(TAKEN["swin, back at the end"][0])
    inputs = RNG.standard_normal(SQUARE).astype(np.float32)
    for layer in ("1", "4"):
        with pytest.raises(ArgumentError, match=rf"layer='{layer}'.*channels at axis 1.*\(3, 4, 4, 6\).*layer='5'"):
            ar.explain(net, inputs, np.zeros(3, int), GradCAM(layer))
    with pytest.raises(ArgumentError, match="layer='5'"):
        ar.explain(net, inputs, np.zeros(3, int), LayerCAM("8"))
    with pytest.raises(InputError, match="three to five dimensions"):
        ar.explain(nn.Linear(6, 4), np.ones((3, 6), np.float32), np.zeros(3, int), GradCAM())


def test_inputs_whose_channels_come_last_leave_the_layers_where_torch_has_them():
    net = make(vgg)
    inputs = RNG.standard_normal(SQUARE).astype(np.float32)
    last = nn.Sequential(Permute(0, 3, 1, 2), *net)
    options = {"randomization_strategy": ar.FullRandomization(), "seed": 0, "targets": np.array([0, 1, 2])}
    found = ar.ModelRandomizationMetric(last, np.moveaxis(inputs, 1, -1), channel_axis=-1, **options).run(
        "hirescam"
    )
    due = ar.ModelRandomizationMetric(net, inputs, **options).run("hirescam")
    assert found.settings["explainer"] == "HiResCAM(layer='6')"
    np.testing.assert_allclose(found.self_similarity["spearman"], 1)
    assert np.isfinite(due.scores["spearman"]).all()
    # The same shapes in the same order draw the same weights.
    np.testing.assert_allclose(found.scores["spearman"], due.scores["spearman"], atol=1e-5)


def test_every_result_names_the_layer_also_where_a_method_is_inside_another():
    net, inputs = make(vgg), RNG.standard_normal((4, 2, 16, 16)).astype(np.float32)
    strategy = ar.FullRandomization()
    metric = ar.ModelRandomizationMetric(net, inputs, randomization_strategy=strategy, seed=0)
    for explainer in (SmoothGrad("gradcam", samples=2), "guided_gradcam"):
        assert "layer='5'" in metric.run(explainer).settings["explainer"]
    assert metric.run(GradCAM("1")).settings["explainer"] == "GradCAM(layer='1')"
    logit = ar.RandomLogit().run(ar.Subject(net, inputs, seed=0), "layercam")
    assert logit.settings["explainers"] == {"layercam": "LayerCAM(layer='5')"}
