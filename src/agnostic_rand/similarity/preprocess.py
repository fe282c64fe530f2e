"""What is done to maps before they are compared; declared, and recorded in results."""

from __future__ import annotations

from typing import Literal, TypeAlias

from array_api_compat import array_namespace

from agnostic_rand.adapters import Array

Sign: TypeAlias = Literal["signed", "absolute"]


def reduce_channels(maps: Array, channel_axis: int | None, sign: Sign) -> Array:
    """Absolute values where asked for, then the mean over channels.

    Args:
        maps: `(n, ...)`.
        channel_axis: The axis to average over, or `None` for maps without channels.
        sign: `"absolute"` takes absolute values first, so that channels of opposite sign do not
            cancel (Adebayo et al. 2018, appendix).

    Returns:
        Maps without the channel axis.

    Example:
        >>> import numpy as np
        >>> maps = np.array([[[1.0, -2.0], [-3.0, 2.0]]])
        >>> reduce_channels(maps, 1, "signed"), reduce_channels(maps, 1, "absolute")
        (array([[-1.,  0.]]), array([[2., 2.]]))
    """
    xp = array_namespace(maps)
    if sign == "absolute":
        maps = xp.abs(maps)
    if channel_axis is None:
        return maps
    if maps.shape[channel_axis] == 1:
        return xp.squeeze(maps, axis=channel_axis)
    return xp.mean(maps, axis=channel_axis)
