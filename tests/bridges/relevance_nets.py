"""Networks of the shapes that model zoos have, small: chains, branches, and what has no rule."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F


def seeded(make):
    """A network whose weights and statistics are drawn from one seed."""
    with torch.random.fork_rng():
        torch.manual_seed(5)
        net = make()
        for part in net.modules():
            if isinstance(part, nn.modules.batchnorm._BatchNorm) and part.running_mean is not None:
                part.running_mean.normal_()
                part.running_var.uniform_(0.5, 2)
                if part.affine:
                    nn.init.uniform_(part.weight, 0.5, 2)
                    nn.init.normal_(part.bias)
    return net.eval()


class Fire(nn.Module):
    """SqueezeNet's block: two convolutions of one input, side by side, their ReLUs in place."""

    def __init__(self, channels=6):
        super().__init__()
        self.squeeze, self.narrow, self.wide = (
            nn.Conv2d(channels, 4, 1),
            nn.Conv2d(4, 3, 1),
            nn.Conv2d(4, 5, 3, padding=1),
        )
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x):
        x = self.relu(self.squeeze(x))
        return torch.cat([self.relu(self.narrow(x)), self.relu(self.wide(x))], 1)


def squeezenet():
    return nn.Sequential(
        nn.Conv2d(2, 6, 3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        Fire(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 3),
    )


def vgg():
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1, bias=False),
        nn.BatchNorm2d(4),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(2),
        nn.Conv2d(4, 6, 3),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Dropout(),
        nn.Linear(24, 3),
    )


class Functions(nn.Module):
    """ReLU, pooling and reshaping as functions; batch normalizations are declared in another order than called."""

    def __init__(self):
        super().__init__()
        self.conv1, self.norm2 = nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4)
        self.conv2, self.norm1 = nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4)
        self.head = nn.Linear(16, 3)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.norm1(self.conv1(x))), 2)
        x = torch.relu_(self.norm2(self.conv2(x)))
        return self.head(x[:, :, :2, :2].permute(0, 2, 3, 1).reshape(len(x), -1))


class DenseBlock(nn.Module):
    """DenseNet's layers: each normalizes all that came before, right behind a convolution by declaration only."""

    def __init__(self):
        super().__init__()
        self.stem, self.norm, self.conv = nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 3, 3, padding=1)
        self.last, self.head = nn.BatchNorm2d(7), nn.Linear(7, 3)
        self.pool = nn.AdaptiveAvgPool2d(1)

    def forward(self, x):
        x = self.stem(x)
        x = torch.cat([x, self.conv(torch.relu(self.norm(x)))], 1)
        return self.head(self.pool(torch.relu(self.last(x))).flatten(1))


class PreNorm(nn.Module):
    """A transformer's block without attention."""

    def __init__(self, width):
        super().__init__()
        self.norm, self.a, self.b = nn.LayerNorm(width), nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, x):
        return x + self.b(torch.relu(self.a(self.norm(x))))


class VisionTransformer(nn.Module):
    def __init__(self, width=8):
        super().__init__()
        self.patches, self.token = nn.Conv2d(2, width, 4, 4), nn.Parameter(torch.randn(1, 1, width))
        self.block = nn.TransformerEncoderLayer(width, 2, 16, batch_first=True, norm_first=True)
        self.head = nn.Linear(width, 3)

    def forward(self, x):
        x = self.patches(x).flatten(2).mT
        return self.head(self.block(torch.cat([self.token.expand(len(x), -1, -1), x], 1))[:, 0])


class ConvNextBlock(nn.Module):
    """A depthwise convolution, then layers on channels that come last meanwhile."""

    def __init__(self, width=6):
        super().__init__()
        self.depthwise = nn.Conv2d(width, width, 3, padding=1, groups=width)
        self.norm, self.up, self.down = nn.LayerNorm(width), nn.Linear(width, 9), nn.Linear(9, width)

    def forward(self, x):
        y = self.norm(self.depthwise(x).permute(0, 2, 3, 1))
        return x + self.down(F.gelu(self.up(y))).permute(0, 3, 1, 2)


class Around(nn.Module):
    """A chain with something around or inside it: `forward(net, layers, x)` says what."""

    def __init__(self, forward, *layers):
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.computed = forward

    def forward(self, x):
        return self.computed(self.layers, x)
