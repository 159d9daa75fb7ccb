"""Random batches for the training step."""

import torch


def random_batch(
    sizes: dict,
    lengths: torch.Tensor,
    words_num: int,
    image_sizes: tuple[int, ...],
    seed: int,
) -> dict:
    """What `train_step.train_step` takes, but for class_ids.

    Args:
      sizes: such as `sizes.TINY`.
      lengths: int64 [B], of the captions.
      words_num: T.
      image_sizes: sides of the real pictures, small to large.
      seed: of all that is drawn.
    """
    draw = torch.Generator().manual_seed(seed)
    B, V = len(lengths), sizes["vocabulary_size"]
    ids = torch.randint(1, V, (B, words_num), generator=draw)
    real = torch.arange(words_num) < lengths[:, None]
    return {
        "images": [
            torch.rand(B, 3, size, size, generator=draw) * 2 - 1
            for size in image_sizes
        ],
        "token_ids": ids.where(real, 0),
        "lengths": lengths,
        "z": torch.randn(B, sizes["z_size"], generator=draw),
        "eps": torch.randn(B, sizes["condition_size"], generator=draw),
    }
