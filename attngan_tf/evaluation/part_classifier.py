"""Classifies the colours of birds' parts; trained when it is needed."""

import sys
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf
import tqdm

import attngan_tf
from attngan_tf import adam
from attngan_tf.data.demo import builder
from attngan_tf.data.input_pipeline import TrainingData
from attngan_tf.data.prepared_data import Data
from attngan_tf.evaluation.cache import cached
from attngan_tf.evaluation.features.extractor import IMAGES, resized
from attngan_tf.evaluation.provenance import weights_digest
from attngan_tf.models import part_classifier

SIDE = 32  # of the images that the network takes, in pixels
STEPS = 400
BATCH = 32
RATE = 5e-3  # learning rate at the start, reduced to 0 by a cosine
NOISE = 0.2  # maximum standard deviation of the noise on training images
SEED = 0  # of the initial weights, the batches and the noise
MEMORY_MB = 200  # 6,000 images, scaled for crops of 32 x 32, take 104


class PartClassifier:
    """Classifies the colours of the parts of the demo data's birds.

    It is trained on the train split: on real images reduced to the size of the
    generated ones, cropped and mirrored as in GAN training. Its weights are
    cached with the prepared data.

    Args:
      data: the prepared demo data.
      size: side of the images to classify, in pixels.
      strategy: its replicas classify.
    """

    def __init__(self, data: Data, size: int, strategy: tf.distribute.Strategy):
        self._size = size = min(size, SIDE)  # larger images are reduced
        self._count = len(data.train)
        records = data.train.digest(range(self._count))
        settings = (size, SIDE, STEPS, BATCH, RATE, NOISE, SEED)
        versions = keras.__version__, tf.__version__, attngan_tf.__version__
        state = (records, settings, versions)
        found = cached(
            data.name, state, ["parts"], lambda: {"parts": _trained(data, size)}
        )
        with strategy.scope():
            self._network = _new_network()
        self._network.set_weights(_unflatten(found["parts"], self._network))

    @property
    def provenance(self) -> dict:
        """How it was trained, as JSON values."""
        return {
            "network": "CNN trained on demo's train split",
            "images": self._count,
            "size": self._size,
            "seed": SEED,
            "sha256": weights_digest(self._network),
        }

    @tf.function(input_signature=[IMAGES], autograph=False)
    def classify(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        """The colours of images float32 [B, H, W, 3] in [-1, 1].

        Returns:
          part_colours: indices of PALETTE, int32 [B, P], by PARTS.
        """
        logits = self._network(resized(images, SIDE), training=False)
        return {"part_colours": tf.argmax(logits, -1, tf.int32)}

    def colours(self, batches: tf.data.Dataset) -> np.ndarray:
        """The same for batches of images: int32 [N, P]."""
        return np.concatenate(
            [self.classify(images)["part_colours"] for images in batches]
        )


def _new_network() -> keras.Model:
    return part_classifier.part_classifier(
        SIDE, len(builder.PARTS), len(builder.PALETTE), seed=SEED
    )


def _unflatten(weights: np.ndarray, network: keras.Model) -> list[np.ndarray]:
    """One vector -> arrays of the shapes of a network's weights."""
    shapes = [x.shape for x in network.get_weights()]
    ends = np.cumsum([np.prod(shape, dtype=int) for shape in shapes])
    parts = np.split(weights, ends[:-1])
    return [x.reshape(s) for x, s in zip(parts, shapes, strict=True)]


def _trained(data: Data, size: int) -> np.ndarray:
    """Weights trained on images of a size, as one vector."""
    network = _new_network()
    step = _training_step(network)
    batches = TrainingData(
        records=data.train,
        vocabulary=data.vocabulary,
        words_num=1,  # the captions are not used
        image_sizes=(size,),
        batch_size=BATCH,
        seed=SEED,
        memory_mb=MEMORY_MB,
    ).whole_batches()
    bar = tqdm.tqdm(
        batches.take(STEPS),
        desc="training the classifier of parts",
        unit="step",
        mininterval=0.5 if sys.stderr.isatty() else 60,
    )
    for number, batch in enumerate(bar):
        colours = builder.part_colours(batch["class_id"].numpy())
        images = batch[f"images_{size}"]
        step(images, tf.constant(colours), tf.constant(number))
    return np.concatenate([x.ravel() for x in network.get_weights()])


def _training_step(network: keras.Model) -> Callable:
    """A step of training on images [B, H, W, 3] and colours [B, P]."""
    rate = keras.optimizers.schedules.CosineDecay(RATE, STEPS)
    optimizer = adam.Adam(rate)
    optimizer.build(network.trainable_variables)

    @tf.function(autograph=False)
    def step(images, colours, number):
        images = _noisy(resized(images, SIDE), number)
        with tf.GradientTape() as tape:
            logits = network(images, training=True)
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(
                colours, logits
            )
            loss = tf.reduce_mean(losses)
        variables = network.trainable_variables
        optimizer.apply(tape.gradient(loss, variables), variables)

    return step


def _noisy(images: tf.Tensor, number: tf.Tensor) -> tf.Tensor:
    """Images [B, S, S, 3] with normal noise of deviations from 0 to NOISE.

    Generated images are not as clean as real ones. With noise of 0.2 on real
    test images, a classifier trained without noise classified 63 % of the
    backs correctly, with it 98 %.

    Args:
      images: the images of a batch.
      number: number of the batch, int32 [].
    """
    B = images.shape[0]
    noise = tf.random.stateless_normal(images.shape, tf.stack([SEED, number]))
    return images + noise * tf.reshape(tf.linspace(0.0, NOISE, B), [B, 1, 1, 1])
