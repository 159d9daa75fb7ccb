"""A GAN step of the project and of the reference, from the same weights."""

from typing import NamedTuple

import numpy as np
import tensorflow as tf
import torch

from attngan_tf.models import build
from attngan_tf.pretrained import layouts
from attngan_tf.training.gan_trainer import gan_step
from tests.reference import files, networks, pairing, training
from tests.reference.pairing import arrays, channels_last, give, released

SIZES = networks.TINY | {"image_encoder_size": 139}
LAMBDAS = {"cub": 5.0, "coco": 50.0, "dcgan": 1.0}
B, T = 4, 6
LENGTHS = torch.tensor([6, 2, 4, 1])
CLASSES = torch.tensor([1, 2, 1, 1])


class Side(NamedTuple):
    """The state of one implementation after a step, by published name.

    `weights` and `gradients` are of all trained networks, such as
    generator/h_net1.fc.0.weight; gradients are of the first step.
    """

    weights: dict[str, np.ndarray]
    average: dict[str, np.ndarray]
    gradients: dict[str, np.ndarray]
    terms: dict[str, float]


class Pair(NamedTuple):
    """Both implementations after the same step."""

    ours: Side
    reference: Side


def fixed_encoders(reference: networks.Networks) -> tuple:
    """The project's encoders, with the weights of the reference's."""
    config = released("cub", SIZES)
    text_encoder = build.text_encoder(config, SIZES["vocabulary_size"])
    with pairing.shared_inception():
        image_encoder = build.image_encoder(config, None)
    give(layouts.text_encoder(text_encoder), reference.text_encoder)
    give(layouts.image_encoder(image_encoder), reference.image_encoder)
    text_encoder.trainable = image_encoder.trainable = False
    return text_encoder, image_encoder


class PairedStep:
    """Both steps.

    Args:
      kind: "cub", "coco", or "dcgan": AttnDCGAN with CUB's settings.
      encoders: see `fixed_encoders`.
      image_encoder: the reference's.
    """

    def __init__(self, kind: str, encoders: tuple, image_encoder):
        dcgan = kind == "dcgan"
        reference = networks.build(SIZES, dcgan)
        reference = reference._replace(image_encoder=image_encoder)
        self.classes = None if kind == "coco" else CLASSES
        fields = {"generator": "attndcgan"} if dcgan else {}
        config = released(
            "coco" if kind == "coco" else "cub",
            SIZES,
            damsm_lambda=LAMBDAS[kind],
            **fields,
        )
        with pairing.zero_start():
            self.step = gan_step(config, *encoders)
        sizes = [f"discriminator_{size}" for size in self.step.discriminators]
        self.trained = {"generator": reference.generator}
        self.trained |= zip(sizes, reference.discriminators, strict=True)
        parts = map(layouts.discriminator, self.step.discriminators.values())
        self.layouts = {"generator": layouts.generator(self.step.generator)}
        self.layouts |= zip(sizes, parts, strict=True)
        for name, layout in self.layouts.items():
            give(layout, self.trained[name])
        # The average starts elsewhere: what it moves by in one step, 1e-3 of
        # 2e-4, would show little.
        elsewhere = networks.Generator(SIZES, dcgan)
        networks.randomize(elsewhere, 9)
        give(layouts.generator(self.step.average), elsewhere)
        average = {k: v.detach() for k, v in elsewhere.named_parameters()}
        self.reference = training.GanStep(reference, LAMBDAS[kind], average)

    def run(self, number: int) -> Pair:
        """Both take a step on the batch of this number."""
        sizes = tuple(self.step.discriminators)
        batch = training.random_batch(SIZES, LENGTHS, T, sizes, number)
        expected = self.reference(batch | {"class_ids": self.classes})
        terms = self.step(keras_batch(batch))
        self.step.update_average()
        return self.now({k: float(v) for k, v in terms.items()}, expected)

    def now(self, our_terms: dict, terms: dict) -> Pair:
        """Copies of both states."""
        weights, gradients = {}, {}
        for name, network in self.trained.items():
            weights |= _prefixed(name, arrays(files.state(network)))
            parameters = dict(network.named_parameters())
            given = {k: v.grad for k, v in parameters.items()}
            given = {k: v for k, v in given.items() if v is not None}
            gradients |= _prefixed(name, arrays(given))
        average = files.state(self.trained["generator"])
        average = arrays(average | self.reference.average)
        reference = Side(weights, average, gradients, terms)
        return Pair(self._ours(our_terms), reference)

    def _ours(self, terms: dict) -> Side:
        weights, gradients, moments = {}, {}, self._first_moments()
        for name, parts in self.layouts.items():
            weights |= _prefixed(name, layouts.state_of(parts))
            for part in parts:
                given = [
                    moments.get(id(w), np.zeros(w.shape)) for w in part.weights
                ]
                written = zip(part.names, part.write(*given), strict=True)
                gradients |= _prefixed(name, dict(written))
        average = layouts.state_of(layouts.generator(self.step.average))
        return Side(weights, average, gradients, terms)

    def _first_moments(self) -> dict[int, np.ndarray]:
        """The first step's gradients, from Adam's m, by the weight's id."""
        step = self.step
        networks = [step.generator, *step.discriminators.values()]
        adams = step.discriminator_optimizers.values()
        return {
            id(weight): moment.numpy() / (1 - training.BETAS[0])
            for network, adam in zip(
                networks, [step.generator_optimizer, *adams], strict=True
            )
            for weight, moment in zip(
                network.trainable_variables, adam._momentums, strict=True
            )
        }


def _prefixed(network: str, by_name: dict) -> dict:
    return {f"{network}/{name}": value for name, value in by_name.items()}


def keras_batch(batch: dict) -> dict[str, tf.Tensor]:
    """The reference's batch as the project's steps take it."""
    found = {
        f"images_{images.shape[-1]}": tf.constant(channels_last(images))
        for images in batch["images"]
    }
    found |= {k: tf.constant(batch[k].numpy()) for k in ("z", "eps")}
    for name in ("token_ids", "lengths"):
        found[name] = tf.constant(batch[name].numpy(), tf.int32)
    return found | {"class_id": tf.constant(CLASSES.numpy())}
