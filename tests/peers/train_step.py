"""One step of GAN training, as the released trainer does it."""

from typing import NamedTuple

import torch

from peers import losses
from peers.attention import padding_mask
from peers.networks import Networks

EMA_DECAY = 0.999


class Optimizers(NamedTuple):
    """One Adam for the generator, one for each discriminator."""

    generator: torch.optim.Adam
    discriminators: list[torch.optim.Adam]


def adam(network: torch.nn.Module) -> torch.optim.Adam:
    """Adam with the released settings."""
    return torch.optim.Adam(
        network.parameters(), lr=2e-4, betas=(0.5, 0.999), eps=1e-8
    )


def optimizers(networks: Networks) -> Optimizers:
    """Fresh optimizers of the trained networks."""
    return Optimizers(
        adam(networks.generator),
        [adam(network) for network in networks.discriminators],
    )


def parameters(generator: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Copies of a generator's parameters: where the average starts."""
    return {
        name: value.detach().clone()
        for name, value in generator.named_parameters()
    }


def update_average(
    average: dict[str, torch.Tensor],
    generator: torch.nn.Module,
    decay: float = EMA_DECAY,
) -> None:
    """Average <- decay average + (1 - decay) parameter, in place."""
    with torch.no_grad():
        for name, value in generator.named_parameters():
            average[name].mul_(decay).add_(value, alpha=1.0 - decay)


def average_state(
    average: dict[str, torch.Tensor], generator: torch.nn.Module
) -> dict[str, torch.Tensor]:
    """What is saved: averaged parameters, live BN statistics; in order."""
    state = generator.state_dict()
    return {
        name: average.get(name, value).clone() for name, value in state.items()
    }


def train_step(
    networks: Networks,
    optimizers: Optimizers,
    average: dict[str, torch.Tensor],
    batch: dict,
    *,
    gamma1: float,
    gamma2: float,
    gamma3: float,
    damsm_lambda: float,
) -> dict[str, float]:
    """Updates each discriminator, then the generator, then the average.

    Args:
      networks: see `networks.build`.
      optimizers: of these networks.
      average: from `parameters`; changed in place.
      batch: images (a list [B, 3, S, S] in [-1, 1], one a discriminator),
        token_ids int64 [B, T], lengths int64 [B], class_ids int64 [B] or None,
        z [B, Z], eps [B, C]. B is at least 2.
      gamma1: see `losses.words_loss`.
      gamma2: see `losses.words_loss`.
      gamma3: see `losses.words_loss`.
      damsm_lambda: weight of the DAMSM loss.

    Returns:
      Every loss term, not weighted, and the weighted totals: such as
      discriminator_64/fake_conditional, generator_64/total, generator/kl,
      damsm/words_image_to_text, damsm/total, generator/total. Afterwards each
      trained parameter's .grad is the gradient of its own network's loss.
    """
    with torch.no_grad():
        words, sentences = networks.text_encoder(
            batch["token_ids"], batch["lengths"]
        )
    mask = padding_mask(batch["token_ids"])
    fakes = networks.generator(batch["z"], batch["eps"], sentences, words, mask)
    terms = {}
    for network, optimizer, real, fake in zip(
        networks.discriminators,
        optimizers.discriminators,
        batch["images"],
        fakes.images,
        strict=True,
    ):
        loss = losses.discriminator_loss(network, real, fake, sentences)
        _minimize(loss.total, network, optimizer)
        terms |= _named(f"discriminator_{fake.shape[-1]}", loss)

    stages = _stage_terms(networks.discriminators, fakes.images, sentences)
    gammas = {"gamma1": gamma1, "gamma2": gamma2, "gamma3": gamma3}
    damsm = _damsm_terms(
        networks.image_encoder,
        fakes.images[-1],
        words,
        sentences,
        batch,
        gammas,
    )
    kl = losses.kl_loss(fakes.mu, fakes.logvar)
    total = sum(v for k, v in stages.items() if k.endswith("/total"))
    total = total + damsm_lambda * damsm["damsm/total"] + kl
    _minimize(total, networks.generator, optimizers.generator)
    update_average(average, networks.generator)
    terms |= stages | damsm | {"generator/kl": kl, "generator/total": total}
    return {name: value.item() for name, value in terms.items()}


def _stage_terms(discriminators, images, sentences):
    """Eq. 4's terms of each stage, by name."""
    terms = {}
    for network, fake in zip(discriminators, images, strict=True):
        loss = losses.generator_loss(network, fake, sentences)
        terms |= _named(f"generator_{fake.shape[-1]}", loss)
    return terms


def _damsm_terms(image_encoder, images, words, sentences, batch, gammas):
    """The four terms of Eq. 14 and their sum, by name."""
    regions, codes = image_encoder(images)
    w = losses.words_loss(
        regions, words, batch["lengths"], batch["class_ids"], **gammas
    )
    s = losses.sent_loss(
        codes, sentences, batch["class_ids"], gamma3=gammas["gamma3"]
    )
    terms = _named("damsm/words", w, "_") | _named("damsm/sentences", s, "_")
    return terms | {"damsm/total": sum(terms.values())}


def _minimize(loss, network, optimizer):
    """One update of one network; others get no gradient."""
    optimizer.zero_grad()
    loss.backward(inputs=list(network.parameters()))
    optimizer.step()


def _named(prefix, terms, joint="/"):
    return {
        f"{prefix}{joint}{name}": value
        for name, value in terms._asdict().items()
        if value is not None
    }
