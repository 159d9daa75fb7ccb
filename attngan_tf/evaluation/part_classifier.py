"""The colours of birds' parts by a classifier, trained when it is needed."""

import hashlib
import inspect
import os
import sys
import zipfile
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf
import tqdm

from attngan_tf import adam
from attngan_tf.data import input_pipeline, memory, views
from attngan_tf.data.demo import builder, drawing
from attngan_tf.data.input_pipeline import TrainingData
from attngan_tf.data.prepared_data import Data
from attngan_tf.data.views import changes_as_user_errors
from attngan_tf.evaluation.features.extractor import IMAGES, resized
from attngan_tf.evaluation.provenance import weights_digest
from attngan_tf.evaluation.reference import FOLDER, SCRATCH, writable
from attngan_tf.io import scratch
from attngan_tf.io.disk import writing
from attngan_tf.models import part_classifier

SIDE = 32  # of the images that the network takes, in pixels
STEPS = 400
BATCH = 32
RATE = 5e-3  # learning rate at the start; a cosine brings it to 0
NOISE = 0.2  # largest standard deviation of the noise on training images
SEED = 0  # of the first weights, the batches and the noise
MEMORY_MB = 200  # 6,000 drawings, scaled for crops of 32 x 32, take 104
# What the weights depend on beside the records and the numbers above.
_CODE = (builder, drawing, memory, input_pipeline, views, adam, part_classifier)


class PartClassifier:
    """Classifies the colours of the parts of the demo data's birds.

    It is trained on the train split: on real drawings scaled to the size of
    the generated images, cropped and mirrored as for training a GAN. Its
    weights are cached beside the prepared data, under the hash of all that
    they depend on.

    Args:
      data: the prepared demo data.
      size: side of the images to classify, in pixels.
      strategy: its replicas classify.
    """

    def __init__(self, data: Data, size: int, strategy: tf.distribute.Strategy):
        self._size = min(size, SIDE)  # larger ones are reduced to SIDE
        self._count = len(data.train)
        weights = self._weights(data)
        with strategy.scope():
            self._network = _new_network()
        self._network.set_weights(weights)

    def _weights(self, data: Data) -> list[np.ndarray]:
        """The trained network's, from the cache if they are there."""
        folder = writable(os.path.join(data.name, FOLDER))
        path = os.path.join(folder, f"{self._key(data)}_parts.npz")
        weights = _read(path)
        if weights is None:
            weights = _trained(data, self._size).get_weights()
            with (
                writing("the classifier of parts", folder),
                scratch.folder(folder, SCRATCH) as new,
            ):
                new = os.path.join(new, "parts.npz")
                np.savez(new, *weights)
                os.replace(new, path)
        return weights

    def _key(self, data: Data) -> str:
        records = data.train.digest(range(len(data.train)))
        settings = (self._size, SIDE, STEPS, BATCH, RATE, NOISE, SEED)
        versions = keras.__version__, tf.__version__
        modules = *_CODE, sys.modules[__name__]
        code = [inspect.getsource(module) for module in modules]
        state = repr((records, settings, versions, code))
        return hashlib.sha256(state.encode()).hexdigest()

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


def _read(path: str) -> list[np.ndarray] | None:
    """A file's arrays, in order; None: it is not there, or is damaged."""
    try:
        # np.load leaves a damaged file open that it opened itself.
        with open(path, "rb") as file, np.load(file) as arrays:
            return [arrays[name] for name in arrays.files]
    except (OSError, ValueError, EOFError, zipfile.BadZipFile):
        return None


def _new_network() -> keras.Model:
    return part_classifier.part_classifier(
        SIDE, len(builder.PARTS), len(builder.PALETTE), seed=SEED
    )


def _trained(data: Data, size: int) -> keras.Model:
    """A network trained on images of a size; a bar shows how far it is."""
    network = _new_network()
    step = _training_step(network)
    with changes_as_user_errors():
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
    return network


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

    Generated images are not as clean as real ones. Without it, noise of 0.2 on
    real test images left 63 % of the backs right, with it 98 %.

    Args:
      images: of a batch.
      number: of the batch, int32 [].
    """
    B = images.shape[0]
    noise = tf.random.stateless_normal(images.shape, tf.stack([SEED, number]))
    return images + noise * tf.reshape(tf.linspace(0.0, NOISE, B), [B, 1, 1, 1])
