"""A token embedding with learned rows beside a table that stays as it is."""

import torch
from torch import Tensor, nn
from torch.nn import functional


class LearnedVectors(nn.Module):
    """The vectors of one placeholder, a float32 parameter [n, d] of their own.

    Args:
        token: the placeholder.
        first: id of its first token; the others follow.
        rows: where the vectors begin, [n, d].
        max_norm: vectors that are longer are used, shown and saved at this length; None lets them grow.
    """

    initial: Tensor

    def __init__(self, token: str, first: int, rows: Tensor, max_norm: float | None = None) -> None:
        super().__init__()
        self.token, self.first, self.max_norm = token, first, max_norm
        self.weight = nn.Parameter(rows.detach().to(torch.float32, copy=True))
        self.register_buffer("initial", self.weight.detach().clone(), persistent=False)
        self.shows_initial = False

    def __len__(self) -> int:
        return len(self.weight)

    def rows(self) -> Tensor:
        """The vectors as they are used, [n, d]."""
        rows = self.initial if self.shows_initial else self.weight
        if self.max_norm is None:
            return rows
        norms = rows.norm(dim=1, keepdim=True).clamp_min(torch.finfo(rows.dtype).tiny)
        return rows * (self.max_norm / norms).clamp(max=1.0)

    def places(self, ids: Tensor) -> Tensor:
        """Where token ids are those of these vectors: bool, of the shape of ``ids``."""
        return (ids >= self.first) & (ids < self.first + len(self))

    @torch.no_grad()
    def statistics(self) -> dict[str, float]:
        """``norm_<i>`` of vector i, and ``cosine_<i>`` of the angle between it and where it began."""
        rows = self.rows()
        norms, cosines = rows.norm(dim=1).tolist(), functional.cosine_similarity(rows, self.initial).tolist()
        return {**{f"norm_{i}": norm for i, norm in enumerate(norms)},
                **{f"cosine_{i}": cosine for i, cosine in enumerate(cosines)}}


class LearnedEmbedding(nn.Embedding):
    """Takes the place of a text encoder's token embedding.

    The table keeps its size and its values: whatever the optimizer and its weight decay do, they see the learned
    vectors only.

    Args:
        table: the embedding that it takes the place of; its weight is used and not copied.
    """

    def __init__(self, table: nn.Embedding) -> None:
        super().__init__(table.num_embeddings, table.embedding_dim, padding_idx=table.padding_idx, _weight=table.weight)
        self.weight = table.weight
        self.learned = nn.ModuleList()

    def forward(self, input: Tensor) -> Tensor:
        """The vectors [..., d] of token ids, in the dtype of the table."""
        places = [vectors.places(input) for vectors in self._all()]
        known = input
        for mask in places:
            known = known.masked_fill(mask, 0)
        embedded = super().forward(known)
        for vectors, mask in zip(self._all(), places, strict=True):
            rows = functional.embedding((input - vectors.first).masked_fill(~mask, 0), vectors.rows())
            embedded = torch.where(mask.unsqueeze(-1), rows.to(embedded.dtype), embedded)
        return embedded

    def _all(self) -> list[LearnedVectors]:
        return list(self.learned)  # type: ignore[arg-type]

    @torch.no_grad()
    def folded(self) -> nn.Embedding:
        """A plain embedding that gives the same: the table, and the learned rows at their ids.

        It is float32 where the table has a shorter format, so that nothing is rounded.
        """
        count = max([self.num_embeddings, *(vectors.first + len(vectors) for vectors in self._all())])
        dtype = torch.promote_types(self.weight.dtype, torch.float32)
        weight = torch.zeros(count, self.embedding_dim, dtype=dtype, device=self.weight.device)
        weight[:self.num_embeddings] = self.weight
        for vectors in self._all():
            weight[vectors.first:vectors.first + len(vectors)] = vectors.rows()
        return nn.Embedding.from_pretrained(weight, padding_idx=self.padding_idx)


def learn_rows(encoder: nn.Module, vectors: LearnedVectors) -> None:
    """Lets a text encoder look up the vectors of a placeholder, beside those that it learns already.

    Args:
        encoder: a text encoder of transformers.
        vectors: they are moved to its device.
    """
    table = encoder.get_input_embeddings()  # type: ignore[operator]
    if not isinstance(table, LearnedEmbedding):
        table = LearnedEmbedding(table)
        encoder.set_input_embeddings(table)  # type: ignore[operator]
    table.learned.append(vectors.to(table.weight.device))
