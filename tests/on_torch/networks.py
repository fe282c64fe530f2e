"""Small networks, each with one thing that tools which randomize weights get wrong."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 12), nn.ReLU(), nn.Linear(12, 4))


def cnn_with_norm() -> nn.Module:
    """Normalization, dropout, and a head that is declared after what it is used with."""
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(8, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(inplace=True),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Dropout(0.5),
        nn.Linear(8, 4),
    )


class ResNet(nn.Module):
    """Functional and in-place ReLU; declared from output to input."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(8, 4)
        self.second = nn.Conv2d(8, 8, 3, padding=1)
        self.second_norm = nn.BatchNorm2d(8)
        self.first = nn.Conv2d(8, 8, 3, padding=1)
        self.first_norm = nn.BatchNorm2d(8)
        self.stem = nn.Conv2d(3, 8, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.stem(x), inplace=True)
        y = F.relu(self.first_norm(self.first(x)))
        y = self.second_norm(self.second(y))
        y += x
        return self.head(y.relu_().mean((2, 3)))


class Block(nn.Module):
    """Attention and a layer scale, as in DINO and CaiT."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.attention = nn.MultiheadAttention(width, 2, batch_first=True)
        self.scale = nn.Parameter(torch.full((width,), 0.1))
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(x)
        x = x + self.scale * self.attention(y, y, y, need_weights=False)[0]
        return x + self.mlp(x)


class VisionTransformer(nn.Module):
    """A class token and a position table, which no submodule owns."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.token = nn.Parameter(torch.zeros(1, 1, width))
        self.positions = nn.Parameter(torch.zeros(1, 17, width))
        self.patches = nn.Conv2d(3, width, 2, stride=2)
        self.blocks = nn.ModuleList([Block(width), Block(width)])
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(len(x), -1, -1), x], 1) + self.positions
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x[:, 0]))


class TiedAutoencoder(nn.Module):
    """The decoder is the encoder's weight, transposed."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Linear(6, 5)
        self.decoder_bias = nn.Parameter(torch.zeros(6))

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(torch.relu(self.encoder(x)), self.encoder.weight.t(), self.decoder_bias)


class TiedHead(nn.Module):
    """A language model whose head and embedding are one `Parameter`."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(7, 5)
        self.body = nn.Linear(5, 5)
        self.head = nn.Linear(5, 7)
        self.head.weight = self.embedding.weight

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(torch.tanh(self.body(self.embedding(tokens).mean(1))))


class TiedByMemory(nn.Module):
    """Two `Parameter` objects over one memory: a deep copy separates them."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(6, 6)
        self.second = nn.Linear(6, 6, bias=False)
        self.second.weight.data = self.first.weight.data
        self.head = nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.relu(self.second(torch.relu(self.first(x)))))


class Recurrent(nn.Module):
    """A sequence classifier on `nn.LSTM` or `nn.GRU`."""

    def __init__(self, kind: type[nn.RNNBase]) -> None:
        super().__init__()
        self.cell = kind(3, 6, num_layers=2, batch_first=True, bidirectional=True)
        self.head = nn.Linear(12, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.cell(x)[0][:, -1])


class BareParameters(nn.Module):
    """Parameters of the model itself, in a list, in a dictionary, and one without dimensions."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(6))
        self.temperature = nn.Parameter(torch.tensor(2.0))
        self.prompts = nn.ParameterList([torch.ones(6), torch.ones(6)])
        self.tables = nn.ParameterDict({"left": torch.ones(6), "right": torch.ones(6)})
        self.head = nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = x * self.gain + self.prompts[0] - self.prompts[1] * self.tables["left"] + self.tables["right"]
        return self.head(torch.relu(x)) / self.temperature


class UncalledModule(nn.Module):
    """A submodule that holds weights but whose forward is never called."""

    def __init__(self) -> None:
        super().__init__()
        self.weights = nn.Linear(8, 4)
        self.body = nn.Linear(6, 8)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(torch.relu(self.body(x)), self.weights.weight, self.weights.bias)


class SharedModule(nn.Module):
    """One module under two names, called twice."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(6, 6)
        self.again = self.first
        self.norm = nn.BatchNorm1d(6)
        self.head = nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.norm(self.first(x)))
        return self.head(torch.relu(self.norm(self.again(x))))


class SingleOutput(nn.Module):
    """Regression: an output of shape `(n,)`."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Linear(6, 8)
        self.head = nn.Linear(8, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.relu(self.body(x)))[:, 0]


class DictionaryOutput(nn.Module):
    """Outputs as a dictionary, as detection models have them."""

    def __init__(self) -> None:
        super().__init__()
        self.body = mlp()

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"logits": self.body(x), "input": x}


def grouped_convolutions() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(4, 8, 3, groups=2),
        nn.ReLU(),
        nn.Conv2d(8, 8, 3, padding=1, groups=8),
        nn.ReLU(),
        nn.ConvTranspose2d(8, 6, 2, stride=2, groups=2),
        nn.ReLU(),
        nn.Flatten(),
        nn.LazyLinear(4),
    )


def convolutions_1d() -> nn.Module:
    return nn.Sequential(
        nn.LazyConv1d(6, 3),
        nn.LazyBatchNorm1d(),
        nn.ReLU(),
        nn.ConvTranspose1d(6, 4, 3),
        nn.InstanceNorm1d(4, affine=True, track_running_stats=True),
        nn.ReLU(),
        nn.AdaptiveAvgPool1d(1),
        nn.Flatten(),
        nn.Linear(4, 4),
    )


def convolutions_3d() -> nn.Module:
    return nn.Sequential(
        nn.Conv3d(2, 4, 3, padding=1),
        nn.GroupNorm(2, 4),
        nn.ReLU(),
        nn.ConvTranspose3d(4, 3, 2),
        nn.BatchNorm3d(3, affine=False),
        nn.PReLU(3),
        nn.AdaptiveAvgPool3d(1),
        nn.Flatten(),
        nn.Linear(3, 4),
    )


def transformer_encoder() -> nn.Module:
    """torch's own block, which takes a fused path when nothing is recorded."""
    layer = nn.TransformerEncoderLayer(6, 2, 12, batch_first=True)
    return nn.Sequential(nn.TransformerEncoder(layer, 1), nn.Flatten(), nn.Linear(30, 4))
