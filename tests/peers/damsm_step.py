"""One step of encoder training, as the released trainer does it."""

import torch
from torch import nn

from peers import losses, sizes

CLIP = 0.25  # greatest norm of the text encoder's gradient


class DamsmStep:
    """Updates the text encoder and the two projections; the trunk is fixed.

    Args:
      text_encoder: trained.
      image_encoder: its emb_* are trained.
    """

    def __init__(self, text_encoder: nn.Module, image_encoder: nn.Module):
        self.text_encoder = text_encoder.train()
        self.image_encoder = image_encoder.eval()
        self.text = list(text_encoder.parameters())
        projections = []
        for name, value in image_encoder.named_parameters():
            value.requires_grad_(name.startswith("emb_"))
            if value.requires_grad:
                projections.append(value)
        self.adam = torch.optim.Adam(
            self.text + projections, lr=2e-3, betas=(0.5, 0.999), eps=1e-8
        )

    def __call__(self, batch: dict) -> dict[str, float]:
        """One update; returns the four terms of Eq. 14.

        Args:
          batch: images (a list, of one [B, 3, S, S]), token_ids, lengths and
            class_ids, see `train_step.train_step`.
        """
        gammas = {k: v for k, v in sizes.CUB_LOSSES.items() if "gamma" in k}
        words, sentences = self.text_encoder(
            batch["token_ids"], batch["lengths"]
        )
        regions, codes = self.image_encoder(batch["images"][-1])
        classes = batch["class_ids"]
        w = losses.words_loss(
            regions, words, batch["lengths"], classes, **gammas
        )
        s = losses.sent_loss(codes, sentences, classes, gamma3=gammas["gamma3"])
        total = sum((*w, *s))
        self.adam.zero_grad()
        total.backward()
        nn.utils.clip_grad_norm_(self.text, CLIP)
        self.adam.step()
        names = ("w_text", "w_image", "s_text", "s_image")
        return {
            name: term.item()
            for name, term in zip(names, (*w, *s), strict=True)
        }
