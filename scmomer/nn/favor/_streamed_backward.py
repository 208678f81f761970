"""The backward pass of a Performer block, which recomputes most of the forward pass."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from scmomer.nn.favor._attention import EPS
from scmomer.nn.favor._streamed import Attention, BlockWeights, Keys, Streamed
from scmomer.nn.favor._tiles import Tile, add_product, tile_tokens, wide_product


class KeySums(NamedTuple):
    """Sums over keys, or their gradients, as columns of features."""

    context: Tensor  # phi(k)^T v: (n, heads, m, d)
    phi_sum: Tensor  # sum of phi(k): (n, heads, m, 1)


class StreamedBackward(Streamed):
    """Gradients of a block from its input and the sums over keys."""

    def gradients(self, x: Tensor, keys: Keys, dy: Tensor) -> list[Tensor]:
        """Return the gradients of `x` and of the parameters, given that of the output."""
        grads = BlockWeights(*(torch.zeros_like(w) for w in self.weights))
        dx = torch.empty_like(x)
        dh = torch.empty_like(x)  # of the input of queries, keys and values
        shape = (self.n, self.heads, self.m)
        # Products are faster with contiguous matrices than with transposed ones.
        context = self._narrow(keys.context.mT.contiguous())
        sums = KeySums(context[..., : self.d].contiguous(), context[..., self.d :])
        grad = KeySums(x.new_zeros(*shape, self.d), x.new_zeros(*shape, 1))
        for tile in self.tiles:
            residual = tile_tokens(x, tile)
            found = self._attend(residual, keys, tile)
            middle = self.work.take("middle", *residual.shape)
            self._add_attended(residual, found.attended, tile, middle)
            dmiddle = self._feed_forward_backward(middle, dy, tile, grads, tile_tokens(dx, tile))
            self._queries_backward(found, sums, dmiddle, tile, grads, grad, tile_tokens(dh, tile))
        dkv = torch.zeros_like(self.kv, dtype=x.dtype)
        narrow = self._narrow(grad.context)
        transposed = narrow.mT.contiguous()
        grad = KeySums(narrow, grad.phi_sum)
        for tile in self.tiles:
            self._keys_backward(
                x, keys, grad, transposed, tile, grads, dkv, dh, tile_tokens(dx, tile)
            )
        grads.k.copy_(dkv[: len(grads.k)])
        grads.v.copy_(dkv[len(grads.k) :])
        return [dx, *grads]

    def _feed_forward_backward(
        self, residual: Tensor, dy: Tensor, tile: Tile, grads: BlockWeights, dx: Tensor
    ) -> Tensor:
        """Write the gradient of the residual stream after attention, ``(t, dim)``, to `dx`."""
        w, dy = self.weights, tile_tokens(dy, tile)
        h, *moments = self._norm(residual, w.norm2, w.norm2_bias)
        h, d = self._narrow(h), self._narrow(dy)
        before = self._wide("before", self.w1, h.T).add_(w.b1[:, None])  # (dim * ff_mult, t)
        hidden = self.work.take("hidden", *before.shape)
        torch.ops.aten.gelu.out(before, out=hidden)
        add_product(grads.w2, d.T, self._narrow(hidden).T)
        grads.b2.add_(dy.sum(0))
        dhidden = self._wide("dhidden", self.w2.T, d.T)
        dbefore = torch.ops.aten.gelu_backward.grad_input(dhidden, before, grad_input=hidden)
        grads.b1.add_(dbefore.sum(1))
        dbefore = self._narrow(dbefore)
        add_product(grads.w1, dbefore, h)
        dh = self._wide("dh", dbefore.T, self.w1)
        dx_norm = self._norm_backward(dh, residual, moments, w.norm2, grads.norm2, grads.norm2_bias)
        return torch.add(dx_norm, dy, out=dx)

    def _norm_backward(
        self,
        dh: Tensor,
        x: Tensor,
        moments: list[Tensor],
        weight: Tensor,
        dweight: Tensor,
        dbias: Tensor,
    ) -> Tensor:
        dx, dw, db = torch.ops.aten.native_layer_norm_backward(
            dh, x, (x.shape[-1],), *moments, weight, dbias, [True, True, True]
        )
        dweight.add_(dw)
        dbias.add_(db)
        return dx

    def _features_backward(self, dphi: Tensor, phi: Tensor, x: Tensor) -> Tensor:
        """Return the gradient of queries or keys, ``(b, d, l)``, with a constant stabilizer."""
        dprojected = dphi.mul_(phi)
        norm = dprojected.sum(-2, keepdim=True)
        dx = self._wide("dx", self.features_t[: len(x)], self._narrow(dprojected))
        return dx.addcmul_(x.to(dx.dtype), norm, value=-(self.d**-0.5))

    def _queries_backward(
        self,
        found: Attention,
        sums: KeySums,
        dmiddle: Tensor,
        tile: Tile,
        grads: BlockWeights,
        grad: KeySums,
        dh: Tensor,
    ) -> None:
        h, q, phi, attended, denominator = found
        d = self._narrow(dmiddle)
        add_product(grads.out, d.T, self._narrow(self._join(attended, tile)).T)
        grads.out_bias.add_(dmiddle.sum(0))
        dattended = self._split(self._wide("dattended", self.out.T, d.T), tile)  # (b, d, l)
        dnumerator = torch.div(
            dattended, denominator, out=self.work.take("dnumerator", *dattended.shape)
        )
        products = torch.mul(
            dnumerator, attended, out=self.work.take("products", *dnumerator.shape)
        )
        ddenominator = products.sum(-2, keepdim=True).neg_()  # (b, 1, l)
        dnumerator = self._narrow(dnumerator)
        dphi = self.work.take("dphi", *phi.shape)  # first for the sum over tokens
        tile_grad = KeySums(*(self._part(part, tile) for part in grad))
        tile_grad.phi_sum.add_(torch.mul(phi, ddenominator, out=dphi).sum(-1, keepdim=True))
        tile_grad.phi_sum.add_(ddenominator.sum(-1, keepdim=True), alpha=EPS)
        add_product(tile_grad.context, self._narrow(phi), dnumerator.mT)
        tile_grad.context.add_(dnumerator.sum(-1, dtype=phi.dtype)[:, None], alpha=EPS)
        dphi = self._wide("dphi", self._part(sums.context, tile), dnumerator)  # (b, m, l)
        dphi.addcmul_(self._part(sums.phi_sum, tile).to(dphi.dtype), ddenominator)
        dq = self._narrow(self._join(self._features_backward(dphi, phi, q), tile))
        add_product(grads.q, dq, h)
        wide_product(dq.T, self.q, out=dh)

    def _keys_backward(
        self,
        x: Tensor,
        keys: Keys,
        grad: KeySums,
        transposed: Tensor,
        tile: Tile,
        grads: BlockWeights,
        dkv: Tensor,
        dh: Tensor,
        dx: Tensor,
    ) -> None:
        w, residual = self.weights, tile_tokens(x, tile)
        h, *moments = self._norm(residual, w.norm1, w.norm1_bias)
        h = self._narrow(h)
        dcontext, dphi_sum = (self._part(part, tile) for part in grad)  # (b, m, d), (b, m, 1)
        k, v, projected, norm = self._keys_and_values(h, tile)
        phi = projected.sub_(norm.add_(self._part(keys.top, tile))).exp2_()
        dv = self._wide("dv", self._part(transposed, tile), self._narrow(phi))
        dv.add_(dcontext.sum(-2, dtype=dv.dtype)[..., None], alpha=EPS)
        if (mask := self._mask(tile)) is not None:
            dv *= mask
        dphi = self._wide("dphi", dcontext, v).add_(dphi_sum)
        dk = self._features_backward(dphi, phi, k)
        d = self.work.take("dkv", len(dkv), len(h))
        torch.cat([self._join(dk, tile), self._join(dv, tile)], out=d)
        d = self._narrow(d)
        add_product(dkv, d, h)
        dh = tile_tokens(dh, tile).add_(self._wide("dh", d.T, self.kv))
        dx += self._norm_backward(dh, residual, moments, w.norm1, grads.norm1, grads.norm1_bias)
