"""One step of GAN training and one of encoder training, as released."""

import torch
from torch import nn

from tests.reference import losses
from tests.reference.networks import Networks

GAMMAS = {"gamma1": 4.0, "gamma2": 5.0, "gamma3": 10.0}
EMA_DECAY = 0.999
TEXT_CLIP = 0.25  # greatest norm of the text encoder's gradient
BETAS = (0.5, 0.999)
EPSILON = 1e-8


def rows(features):
    """[B, D, T] or [B, D, h, w] -> [B, T or h * w, D]."""
    return features.flatten(2).transpose(1, 2)


def random_batch(sizes, lengths, T: int, image_sizes, seed: int) -> dict:
    """A random batch; `lengths` is int64 [B]."""
    generator = torch.Generator().manual_seed(seed)
    B, V = len(lengths), sizes["vocabulary_size"]
    ids = torch.randint(1, V, (B, T), generator=generator)
    return {
        "images": [
            torch.rand(B, 3, size, size, generator=generator) * 2 - 1
            for size in image_sizes
        ],
        "token_ids": ids.where(torch.arange(T) < lengths[:, None], 0),
        "lengths": lengths,
        "z": torch.randn(B, sizes["z_size"], generator=generator),
        "eps": torch.randn(B, sizes["condition_size"], generator=generator),
    }


class Adam(torch.optim.Adam):
    """Adam of PyTorch until 1.2: epsilon is added to the uncorrected root."""

    def __init__(self, parameters, rate: float):
        super().__init__(list(parameters), lr=rate, betas=BETAS)
        self.number = 0

    def minimize(self, loss) -> None:
        """Updates the parameters; no others get a gradient."""
        self.number += 1
        (group,) = self.param_groups
        group["eps"] = EPSILON / (1 - BETAS[1] ** self.number) ** 0.5
        self.zero_grad()
        loss.backward(inputs=group["params"])
        self.step()


class GanStep:
    """Updates each discriminator, then the generator, then the average.

    Args:
      networks: see `networks.build`.
      damsm_lambda: weight of the DAMSM loss.
      average: the first average, by parameter name; None: the parameters.
    """

    def __init__(self, networks: Networks, damsm_lambda: float, average=None):
        self.networks = networks
        self.damsm_lambda = damsm_lambda
        self.generator_adam = Adam(networks.generator.parameters(), 2e-4)
        self.discriminator_adams = [
            Adam(network.parameters(), 2e-4)
            for network in networks.discriminators
        ]
        parameters = networks.generator.named_parameters()
        self.average = average or {
            name: value.detach().clone() for name, value in parameters
        }

    def __call__(self, batch: dict) -> dict[str, float]:
        """One step on a `random_batch` with class_ids [B] or None.

        Returns:
          The loss terms, unweighted, and the weighted totals. Afterwards each
          parameter's .grad is the gradient of its own network's loss.
        """
        nets, terms = self.networks, {}
        with torch.no_grad():
            words, sentences = nets.text_encoder(
                batch["token_ids"], batch["lengths"]
            )
        fakes = nets.generator(
            batch["z"], batch["eps"], sentences, words, batch["token_ids"] == 0
        )
        pairs = list(zip(nets.discriminators, fakes.images, strict=True))
        for (network, fake), adam, real in zip(
            pairs, self.discriminator_adams, batch["images"], strict=True
        ):
            loss = _discriminator_loss(network, real, fake, sentences)
            adam.minimize(loss["total"])
            terms |= _named(f"discriminator_{fake.shape[-1]}", loss)
        kl = losses.kl_loss(fakes.mu, fakes.logvar)
        total = kl
        for network, fake in pairs:
            features = network(fake)
            loss = losses.generator_loss(
                network.unconditional(features),
                network.COND_DNET(features, sentences),
            )
            total = total + loss["total"]
            terms |= _named(f"generator_{fake.shape[-1]}", loss)
        damsm = damsm_terms(
            nets.image_encoder, fakes.images[-1], words, sentences, batch
        )
        total = total + self.damsm_lambda * damsm["total"]
        self.generator_adam.minimize(total)
        with torch.no_grad():
            for name, value in nets.generator.named_parameters():
                average = self.average[name].mul_(EMA_DECAY)
                average.add_(value, alpha=1.0 - EMA_DECAY)
        terms |= _named("damsm", damsm)
        terms |= {"generator/kl": kl, "generator/total": total}
        return {name: value.item() for name, value in terms.items()}


def _discriminator_loss(network, real, fake, sentences) -> dict:
    """Eq. 5 as released: wrong pairs are real image i with sentence i + 1."""
    real, fake = network(real), network(fake.detach())
    return losses.discriminator_loss(
        network.unconditional(real),
        network.COND_DNET(real, sentences),
        network.unconditional(fake),
        network.COND_DNET(fake, sentences),
        network.COND_DNET(real[:-1], sentences[1:]),
    )


def damsm_terms(image_encoder, images, words, sentences, batch) -> dict:
    """The terms of Eq. 14 and their sum."""
    regions, pooled = image_encoder(images)
    terms = losses.damsm_loss(
        rows(regions),
        pooled,
        rows(words),
        sentences,
        batch["lengths"],
        batch["class_ids"],
        **GAMMAS,
    )
    return terms | {"total": sum(terms.values())}


class DamsmStep:
    """Updates the text encoder and the heads of the image encoder."""

    def __init__(self, text_encoder: nn.Module, image_encoder: nn.Module):
        self.text_encoder = text_encoder.train()
        self.image_encoder = image_encoder.eval().requires_grad_(False)
        for head in (image_encoder.emb_features, image_encoder.emb_cnn_code):
            head.requires_grad_()
        self.text = [p for p in text_encoder.parameters() if p.requires_grad]
        heads = [p for p in image_encoder.parameters() if p.requires_grad]
        self.adam = Adam(self.text + heads, 2e-3)
        self.adam.register_step_pre_hook(self._clip)

    def _clip(self, *_) -> None:
        nn.utils.clip_grad_norm_(self.text, TEXT_CLIP)

    def __call__(self, batch: dict) -> dict[str, float]:
        """One update; returns the terms of Eq. 14 and their sum."""
        words, sentences = self.text_encoder(
            batch["token_ids"], batch["lengths"]
        )
        terms = damsm_terms(
            self.image_encoder, batch["images"][-1], words, sentences, batch
        )
        self.adam.minimize(terms["total"])
        return {name: value.item() for name, value in terms.items()}


def _named(prefix: str, terms: dict) -> dict:
    return {f"{prefix}/{name}": value for name, value in terms.items()}
