"""The libraries under test, which warn while they are imported and may be absent."""

from __future__ import annotations

import importlib.util
import sys
import warnings
from types import ModuleType
from typing import Any

import pytest


def _stand_in(name: str, *members: str) -> None:
    module = ModuleType(name)
    for member in members:
        setattr(module, member, type(member, (), {}))
    sys.modules[name] = module


if importlib.util.find_spec("torchvision") is None:
    # zennit and pytorch-grad-cam import torchvision for its residual networks and its transforms of
    # images, which no test here uses.
    _stand_in("torchvision")
    _stand_in("torchvision.models")
    _stand_in("torchvision.models.resnet", "Bottleneck", "BasicBlock")
    _stand_in("torchvision.models.vgg", "VGG")
    _stand_in("torchvision.transforms", "Compose", "Normalize", "ToTensor")
    _stand_in("torchvision.transforms.functional", "resize")


def library(name: str) -> Any:
    """A library under test, whatever it warns of while it is imported; skips where it is absent."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip(name, reason=f"{name} is not installed")
