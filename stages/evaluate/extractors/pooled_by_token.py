"""Many tokens become one: a layer of attention with a learned token, as Synchformer puts it behind both of its feature networks."""

import torch
from torch import Tensor, nn


class PooledByToken(nn.TransformerEncoderLayer):
    """What the learned token has gathered of the others."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__(width, heads, 4 * width, dropout=0.0, activation=nn.GELU(), layer_norm_eps=1e-6, batch_first=True, norm_first=True)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))

    def pooled(self, x: Tensor) -> Tensor:
        """[b, n, d] -> [b, d]."""
        return self(torch.cat([self.cls_token.expand(len(x), -1, -1), x], dim=1))[:, 0]
