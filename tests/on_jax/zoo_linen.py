"""Small Flax Linen models."""

from __future__ import annotations

import jax.numpy as jnp
from flax import linen as nn


class Mlp(nn.Module):
    @nn.compact
    def __call__(self, x):
        x = nn.relu(nn.Dense(5, name="zz_hidden")(x))
        return nn.Dense(3, name="aa_head")(x)


class Cnn(nn.Module):
    @nn.compact
    def __call__(self, x, train: bool = False):
        x = nn.Conv(6, (3, 3))(x)
        x = nn.relu(nn.BatchNorm(use_running_average=not train)(x))
        x = nn.relu(nn.Conv(6, (3, 3), feature_group_count=6)(x)).mean((1, 2))
        x = nn.Dropout(0.5, deterministic=not train)(x)
        return nn.Dense(4)(x)


class Upsampling(nn.Module):
    @nn.compact
    def __call__(self, x):
        x = nn.relu(nn.ConvTranspose(5, (3, 2), (2, 1), transpose_kernel=True, name="up")(x)).mean((1, 2))
        return nn.Dense(4, name="head")(x)


class Block(nn.Module):
    @nn.compact
    def __call__(self, x):
        y = nn.LayerNorm()(x)
        x = x + nn.MultiHeadDotProductAttention(num_heads=2)(y, y)
        y = nn.gelu(nn.Dense(16)(nn.LayerNorm()(x)))
        scale = self.param("layer_scale", nn.initializers.constant(0.5), (8,))
        return x + scale * nn.Dense(8)(y)


class Vit(nn.Module):
    @nn.compact
    def __call__(self, x):
        x = nn.Conv(8, (4, 4), strides=(4, 4), name="patches")(x)
        x = x.reshape(x.shape[0], -1, 8)
        token = self.param("token", nn.initializers.normal(1.0), (1, 1, 8))
        x = jnp.concatenate([jnp.broadcast_to(token, (x.shape[0], 1, 8)), x], axis=1)
        x = x + self.param("positions", nn.initializers.normal(0.1), (1, x.shape[1], 8))
        for _ in range(2):
            x = Block()(x)
        return nn.Dense(3, name="head")(nn.LayerNorm(name="norm")(x)[:, 0])
