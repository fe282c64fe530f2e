"""Names of explainers, from the names of classes."""

from __future__ import annotations

import re


def snake_case(name: str) -> str:
    """The name of a class, as an explainer is named in results.

    Example:
        >>> snake_case("LayerGradCam")
        'layer_grad_cam'
    """
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
