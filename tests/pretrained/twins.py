"""A training step here and its peer, which start from the same weights."""

from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
import torch
from paired import arrays, channels_last, give, released, zero_start
from peers import batches, files, networks, sizes, train_step

from attngan_tf.pretrained import layouts
from attngan_tf.training.gan_step import GanStep
from attngan_tf.training.gan_trainer import gan_step

# Tiny networks, but for the image encoder: Keras has the full width only.
TABLE = sizes.TINY | {"trunk_width": 1.0, "trunk_size": 139}
LOSSES = {
    "cub": sizes.CUB_LOSSES,
    "coco": sizes.COCO_LOSSES,
    "dcgan": sizes.DCGAN_LOSSES,
}
B, T = 4, 6
LENGTHS = torch.tensor([6, 2, 4, 1])
CLASSES = torch.tensor([1, 2, 1, 1])
BETA1, BETA2, EPSILON = 0.5, 0.999, 1e-8


class Side(NamedTuple):
    """What one of the two has after a step; arrays by published name.

    weights and gradients are of all trained networks, by names such as
    generator/h_net1.fc.0.weight; gradients are those of the first step only.
    """

    weights: dict[str, np.ndarray]
    average: dict[str, np.ndarray]
    gradients: dict[str, np.ndarray]
    terms: dict[str, float]


class Pair(NamedTuple):
    """Both sides at the same moment."""

    ours: Side
    theirs: Side


class Twins:
    """Both steps.

    Args:
      kind: "cub" or "coco", or "dcgan": AttnDCGAN by CUB's settings.
      encoders: text and image encoder with the weights of the peers'.
    """

    def __init__(self, kind: str, encoders: tuple):
        dcgan = kind == "dcgan"
        self.losses = LOSSES[kind]
        self.classes = None if kind == "coco" else CLASSES
        self.peers = networks.build(TABLE, dcgan=dcgan, released_mask=False)
        self.optimizers = train_step.optimizers(self.peers)
        fields = {"damsm_lambda": 1.0, "generator": "attndcgan"}
        config = released(
            "coco" if kind == "coco" else "cub",
            TABLE,
            **(fields if dcgan else {}),
        )
        with zero_start():
            self.step = gan_step(config, *encoders)
        self.trained = _named(self.peers.generator, self.peers.discriminators)
        self.layouts = _layouts(self.step)
        for name, parts in self.layouts.items():
            give(parts, self.trained[name])
        # The average starts elsewhere: of its way after one step, 1e-3 of
        # 2e-4, float32 would show little.
        elsewhere = networks.generator(TABLE, dcgan)
        networks.randomize(elsewhere, 9)
        self.average = train_step.parameters(elsewhere)
        give(layouts.generator(self.step.average), elsewhere)

    def run(self, number: int) -> Pair:
        """Both take the step of this number, from 1."""
        images = tuple(self.step.discriminators)
        batch = batches.random_batch(TABLE, LENGTHS, T, images, seed=number)
        for adam in (
            self.optimizers.generator,
            *self.optimizers.discriminators,
        ):
            # Until 1.2, PyTorch added epsilon to the root as it is (as Keras
            # does), not to the corrected one: more in the first steps.
            epsilon = EPSILON / (1 - BETA2**number) ** 0.5
            adam.param_groups[0]["eps"] = epsilon
        theirs = train_step.train_step(
            self.peers,
            self.optimizers,
            self.average,
            batch | {"class_ids": self.classes},
            **self.losses,
        )
        ours = self.step(_keras_batch(batch))
        self.step.update_average()
        return self.now({k: float(v) for k, v in ours.items()}, theirs)

    def now(self, our_terms: dict, their_terms: dict) -> Pair:
        """Copies of everything."""
        weights, gradients = {}, {}
        for name, network in self.trained.items():
            weights |= _prefixed(name, arrays(files.state(network)))
            given = {
                k: v.grad
                for k, v in network.named_parameters()
                if v.grad is not None
            }
            gradients |= _prefixed(name, arrays(given))
        average = files.state(self.peers.generator) | self.average
        theirs = Side(weights, arrays(average), gradients, their_terms)
        return Pair(self._ours(our_terms), theirs)

    def _ours(self, terms: dict) -> Side:
        weights, gradients = {}, {}
        moments = _first_moments(self.step)
        for name, parts in self.layouts.items():
            weights |= _prefixed(name, layouts.state_of(parts))
            for part in parts:
                given = (
                    moments.get(id(w), np.zeros(w.shape)) / (1 - BETA1)
                    for w in part.weights
                )
                written = zip(part.names, part.write(*given), strict=True)
                gradients |= _prefixed(name, dict(written))
        average = layouts.state_of(layouts.generator(self.step.average))
        return Side(weights, average, gradients, terms)


def _named(generator: Any, discriminators: list) -> dict[str, Any]:
    names = ["discriminator_64", "discriminator_128", "discriminator_256"]
    names = names[-len(discriminators) :]
    return {
        "generator": generator,
        **dict(zip(names, discriminators, strict=True)),
    }


def _layouts(step: GanStep) -> dict[str, list[layouts.Part]]:
    judges = map(layouts.discriminator, step.discriminators.values())
    return _named(layouts.generator(step.generator), list(judges))


def _first_moments(step: GanStep) -> dict[int, np.ndarray]:
    """Adam's m by the id of its weight: 1 - beta1 of the first gradient."""
    pairs = [(step.generator, step.generator_optimizer)]
    pairs += zip(
        step.discriminators.values(),
        step.discriminator_optimizers.values(),
        strict=True,
    )
    return {
        id(weight): moment.numpy()
        for network, adam in pairs
        for weight, moment in zip(
            network.trainable_variables, adam._momentums, strict=True
        )
    }


def _prefixed(network: str, by_name: dict) -> dict:
    return {f"{network}/{name}": value for name, value in by_name.items()}


def _keras_batch(batch: dict) -> dict[str, tf.Tensor]:
    found = {
        f"images_{images.shape[-1]}": tf.constant(channels_last(images))
        for images in batch["images"]
    }
    for name in ("z", "eps"):
        found[name] = tf.constant(batch[name].numpy())
    for name in ("token_ids", "lengths"):
        found[name] = tf.constant(batch[name].numpy(), tf.int32)
    return found | {"class_id": tf.constant(CLASSES.numpy())}
