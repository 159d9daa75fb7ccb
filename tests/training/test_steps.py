"""What one training step changes, and what it leaves unchanged."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from attngan_tf import losses
from attngan_tf.models import build
from attngan_tf.training import assembly, augmentation
from attngan_tf.training.damsm_step import DamsmStep, EpochDecay
from attngan_tf.training.gan_trainer import gan_step

B, T = 4, 6
FEATURES = ("region_features", "image_features")
FEATURES += ("word_features", "sentence_features")


def make_batch(seed: int = 0) -> dict[str, tf.Tensor]:
    """A batch of random images and words."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, T + 1, B)
    token_ids = rng.integers(1, 9, (B, T)) * (np.arange(T) < lengths[:, None])
    batch = {
        f"images_{size}": rng.uniform(-1, 1, (B, size, size, 3))
        for size in (8, 16, 32)
    }
    batch |= {
        "z": rng.normal(size=(B, 8)),
        "eps": rng.normal(size=(B, 6)),
        "dropout_draws": rng.uniform(size=(B, T, 8)),
        "augmentation": rng.uniform(size=(B, 2, augmentation.NUMBERS)),
    }
    batch = {k: tf.constant(v, tf.float32) for k, v in batch.items()}
    return batch | {
        "token_ids": tf.constant(token_ids, tf.int32),
        "lengths": tf.constant(lengths, tf.int32),
        "class_id": tf.constant([0, 1, 1, 2], tf.int64),
    }


@pytest.fixture
def make_gan(tiny_config):
    def make(**fields):
        config = tiny_config(**fields)
        keras.utils.set_random_seed(0)
        text_encoder = build.text_encoder(config, 9)
        image_encoder = build.image_encoder(config, None)
        return gan_step(config, text_encoder, image_encoder)

    return make


def weights(network) -> list[np.ndarray]:
    return [w.numpy() for w in network.weights]


def equal(before, network) -> bool:
    return all(map(np.array_equal, before, weights(network)))


def generator_inputs(step, batch) -> dict[str, tf.Tensor]:
    text = step.text_encoder(batch["token_ids"], batch["lengths"])
    return text | {k: batch[k] for k in ("lengths", "z", "eps")}


def slow(*values, name):
    return pytest.param(*values, marks=pytest.mark.slow, id=name)


PROJECTED = {"discriminator": "projected"}
RELEASED = {
    "gan_mismatched_pairs": True,
    "gan_loss_scale": "released",
    "word_score": "released",
    "damsm_same_class_mask": True,
    "discriminator_augmentation": True,
}


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({}, id="paper"),
        pytest.param(
            PROJECTED | {"num_stages": 1, "precision": "mixed_bfloat16"},
            id="projected one stage",
        ),
        slow(RELEASED, name="released"),
    ],
)
def test_a_step_updates_every_network_but_the_encoders(make_gan, fields):
    """Other networks and losses take steps in test_flagfiles.py."""
    step, batch = make_gan(**fields), make_batch()
    networks = [step.generator, *step.discriminators.values()]
    before = [weights(network) for network in networks]
    fixed = weights(step.text_encoder), weights(step.image_encoder)
    # A second generator with the same weights: its BN statistics move once.
    step.average(generator_inputs(step, batch), training=True)
    terms = step(batch)
    assert all(np.isfinite(value) for value in terms.values())
    for old, network in zip(before, networks, strict=True):
        for a, w in zip(old, network.weights, strict=True):
            assert not np.array_equal(a, w.numpy()), w.path
    assert equal(fixed[0], step.text_encoder)
    assert equal(fixed[1], step.image_encoder)
    for a, b in zip(
        step.generator.non_trainable_variables,
        step.average.non_trainable_variables,
        strict=True,
    ):
        np.testing.assert_allclose(a.numpy(), b.numpy(), atol=1e-6)


def test_a_discriminator_update_leaves_other_networks_unchanged(make_gan):
    step, batch = make_gan(), make_batch()
    text = step.text_encoder(batch["token_ids"], batch["lengths"])
    generator, other = weights(step.generator), weights(step.discriminators[8])
    before = weights(step.discriminators[16])
    fake = tf.random.stateless_uniform([B, 16, 16, 3], [0, 0], -1, 1)
    real = batch["images_16"]
    step._update_discriminator(16, {"images": real}, {"images": fake}, text)
    assert equal(generator, step.generator)
    assert equal(other, step.discriminators[8])
    assert not equal(before, step.discriminators[16])


def freeze_discriminators(step) -> None:
    """Sets their learning rates to 0, and lets spectral norms converge."""
    for optimizer in step.discriminator_optimizers.values():
        optimizer.learning_rate.assign(0.0)
    for network in step.discriminators.values():
        for layer in network._flatten_layers():
            if hasattr(layer, "direction"):
                for _ in range(200):
                    layer._normalized_kernel(training=True)


def eq_3(step, batch, config, tape_variables):
    """The generator's loss by one tape, and its gradient.

    Images are augmented before the backbone, as the step does it, if the
    discriminator of their size reads maps.
    """
    text = step.text_encoder(batch["token_ids"], batch["lengths"])
    sentence = text["sentence_features"]
    with tf.GradientTape() as tape:
        fakes = step.generator(generator_inputs(step, batch), training=True)
        total = losses.kl_loss(fakes["mu"], fakes["logvar"])
        for size, network in step.discriminators.items():
            images = fakes[f"images_{size}"]
            encoder_images = images
            if step.augment:
                numbers = batch["augmentation"][:, 1]
                images = augmentation.augment(images, numbers)
            if network.reads == "maps":
                encoder_images = images
            features, maps = step.image_encoder.features_and_maps(
                encoder_images
            )
            if network.reads == "maps":
                images = network.project(images, maps)
            code = network.features(images, training=True)
            total += losses.generator_loss(
                network.unconditional_logits(code),
                network.conditional(code, sentence, training=True),
            ).total
            if size in step.damsm_sizes:
                found = step.image_encoder.project(features) | text
                damsm = losses.damsm_loss(
                    *(found[name] for name in FEATURES),
                    batch["lengths"],
                    **assembly.damsm_options(config),
                )
                total += config.damsm_lambda * damsm.total
    return total, tape.gradient(total, tape_variables)


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"damsm_stages": "all"}, id="paper"),
        pytest.param(
            PROJECTED
            | {"discriminator_stages": "last", "damsm_lambda": 0.01}
            | {"discriminator_augmentation": True},
            id="projected",
        ),
    ],
)
def test_the_generator_gradient_is_that_of_eq_3(
    make_gan, tiny_config, monkeypatch, fields
):
    """Also, a pass of the image encoder serves the DAMSM and Eq. 4 alike."""
    step, batch = make_gan(**fields), make_batch()
    freeze_discriminators(step)
    before = [
        w.numpy()
        for network in step.discriminators.values()
        for w in network.trainable_variables
    ]
    variables = [w.value for w in step.generator.trainable_variables]
    total, gradient = eq_3(step, batch, tiny_config(**fields), variables)
    rows, one_pass = [], step.image_encoder.features_and_maps

    def counting(images, training=False):
        rows.append(len(images))
        return one_pass(images, training)

    monkeypatch.setattr(step.image_encoder, "features_and_maps", counting)
    terms = step(batch)
    # Paper: generated images of both sizes. Projected: real ones as well.
    assert rows == [B, B]
    assert float(terms["generator/total"]) == pytest.approx(
        float(total), rel=1e-4
    )
    after = [
        w.numpy()
        for network in step.discriminators.values()
        for w in network.trainable_variables
    ]
    assert all(map(np.array_equal, before, after))  # G's update moves no D
    # The first moment after one step is half of the gradient (beta 0.5).
    for moment, g in zip(
        step.generator_optimizer._momentums, gradient, strict=True
    ):
        size = np.abs(g).max()
        np.testing.assert_allclose(moment.numpy(), 0.5 * g, atol=2e-3 * size)


def test_the_damsm_weight_rises_from_0(make_gan):
    step = make_gan(damsm_lambda=4.0, damsm_ramp_steps=2, num_stages=1)
    for number, weight in enumerate((0.0, 2.0, 4.0, 4.0)):
        step.generator_optimizer.iterations.assign(number)
        assert float(step._damsm_weight()) == weight
    step.generator_optimizer.iterations.assign(1)
    terms = {k: float(v) for k, v in step(make_batch()).items()}
    others = terms["generator/kl"] + terms["generator_8/total"]
    assert terms["generator/total"] - others == pytest.approx(
        2.0 * terms["damsm/total"], rel=1e-4, abs=1e-4
    )


def test_the_average_follows_the_generator(make_gan):
    """With the warm-up; without it, it is compared with the reference."""
    step = make_gan(ema_decay=0.9, ema_warmup=True, num_stages=1)
    expected = [w.numpy() for w in step.average.trainable_variables]
    rng = np.random.default_rng(0)
    for number in range(1, 4):
        for w in step.generator.weights:
            w.assign(rng.normal(size=w.shape))
        step.generator_optimizer.iterations.assign(number)
        step.update_average()
        decay = min(0.9, (1 + number) / (10 + number))
        expected = [
            decay * a + (1 - decay) * w.numpy()
            for a, w in zip(
                expected, step.generator.trainable_variables, strict=True
            )
        ]
    for a, b in zip(expected, step.average.trainable_variables, strict=True):
        np.testing.assert_allclose(a, b.numpy(), atol=1e-6)


@pytest.fixture
def make_damsm(tiny_config):
    def make(optimizer) -> DamsmStep:
        config = tiny_config()
        keras.utils.set_random_seed(1)
        return DamsmStep(
            text_encoder=build.text_encoder(config, 9),
            image_encoder=build.image_encoder(config, None),
            optimizer=optimizer,
            text_clip=0.25,
            loss=assembly.damsm_loss(config),
            image_size=config.image_encoder_size,
        )

    return make


def test_the_text_encoder_gradient_is_clipped_before_loss_scaling(make_damsm):
    descent = keras.optimizers.SGD(1.0)
    step = make_damsm(keras.optimizers.LossScaleOptimizer(descent, 2.0**15))
    networks = (step.text_encoder, step.image_encoder)
    before = [[w.numpy() for w in x.trainable_variables] for x in networks]
    norm = step(make_batch())["text_gradient_norm"]
    text, image = (
        np.sqrt(
            sum(
                np.sum((w.numpy() - o) ** 2)
                for w, o in zip(x.trainable_variables, old, strict=True)
            )
        )
        for x, old in zip(networks, before, strict=True)
    )
    assert 1 < norm < 1000
    assert text == pytest.approx(0.25, rel=1e-3)
    assert image > 1  # only the text encoder's gradient is clipped


def test_encoder_steps_lower_the_loss_and_not_move_padding(
    make_damsm, tiny_config
):
    step = make_damsm(assembly.adam(tiny_config(), 0.01))
    embeddings = step.text_encoder.embedding.embeddings
    before = embeddings.numpy()
    compiled = tf.function(step, autograph=False)
    totals = [float(compiled(make_batch())["total"]) for _ in range(31)]
    assert totals[-1] < 0.6 * totals[0]
    after = embeddings.numpy()
    np.testing.assert_array_equal(before[0], after[0])
    assert not np.array_equal(before[1:], after[1:])


def test_the_encoder_learning_rate_decays_to_a_tenth():
    schedule = EpochDecay(0.002, 0.98, steps_per_epoch=10)
    assert float(schedule(9)) == pytest.approx(0.002)
    assert float(schedule(10)) == pytest.approx(0.002 * 0.98)
    assert float(schedule(255)) == pytest.approx(0.002 * 0.98**25)
    assert float(schedule(10_000)) == pytest.approx(0.0002)


def test_the_joint_embedding_trains_sentences_and_images(tiny_config):
    config = tiny_config(text_training="joint_embedding", damsm_lambda=0.0)
    encoders = build.text_encoder(config, 9), build.image_encoder(config, None)
    step = assembly.encoder_step(config, *encoders, 0.01, 32)
    before = [weights(network) for network in encoders]
    batch = make_batch()
    text = encoders[0](
        batch["token_ids"], batch["lengths"], batch["dropout_draws"]
    )
    image = encoders[1](batch["images_32"], training=True)
    expected = losses.joint_embedding_loss(
        image["image_features"], text["sentence_features"], batch["class_id"]
    )
    # The pass above has moved the BN statistics, which training does not use.
    terms = step(batch)
    assert float(terms["total"]) == pytest.approx(float(expected.total), 1e-4)
    assert set(terms) == {
        *("image_to_text", "text_to_image", "total", "text_gradient_norm"),
    }
    unused = encoders[1].region_projection.kernel
    for network, old in zip(encoders, before, strict=True):
        for a, w in zip(old, network.weights, strict=True):
            assert np.array_equal(a, w.numpy()) == (w is unused), w.path


JOINT_EMBEDDING = {"text_training": "joint_embedding", "damsm_lambda": 0.0}


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({}, id="damsm"),
        slow(JOINT_EMBEDDING, name="joint embedding"),
    ],
)
def test_finetuned_encoders_are_updated_before_the_gan(make_gan, fields):
    fields = {"num_stages": 1, **fields}
    tuned = make_gan(finetune_damsm=True, **fields)
    fixed = make_gan(**fields)
    alone = make_gan(finetune_damsm=True, **fields).encoder_step
    batch = make_batch()
    alone(batch)
    before = weights(fixed.text_encoder)
    fixed.text_encoder.set_weights(alone.text_encoder.get_weights())
    fixed.image_encoder.set_weights(alone.image_encoder.get_weights())
    assert not equal(before, fixed.text_encoder)
    expected = fixed(batch)
    terms = tuned(batch)
    names = {name for name in terms if name.startswith("encoders/")}
    assert {"encoders/total", "encoders/text_gradient_norm"} < names
    assert terms.keys() - names == expected.keys()
    for name, value in expected.items():
        assert float(terms[name]) == pytest.approx(float(value), rel=1e-4)
    pairs = [(tuned.text_encoder, alone.text_encoder)]
    pairs += [(tuned.image_encoder, alone.image_encoder)]
    pairs += [(tuned.generator, fixed.generator)]
    for ours, theirs in pairs:
        for a, b in zip(ours.weights, theirs.weights, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)
    rate = tuned.encoder_step.optimizer.learning_rate
    assert float(rate) == pytest.approx(2e-4)  # a tenth of 2e-3


def test_steps_accept_captions_without_known_words(make_gan):
    step = make_gan(finetune_damsm=True, num_stages=1)
    batch = make_batch()
    batch["token_ids"] *= 0
    batch["lengths"] *= 0
    terms = step(batch)
    assert all(np.isfinite(value) for value in terms.values())
    for network in (step.generator, step.text_encoder, step.image_encoder):
        assert all(np.isfinite(w).all() for w in weights(network))


def test_a_batch_of_one_class_has_no_mismatched_pairs():
    """Every negative of Eq. 11-13 is masked: loss and gradient are 0."""
    rng = np.random.default_rng(0)
    features = [
        tf.constant(rng.normal(size=shape), tf.float32)
        for shape in ((3, 4, 5), (3, 5), (3, 2, 5), (3, 5))
    ]
    with tf.GradientTape() as tape:
        tape.watch(features)
        terms = losses.damsm_loss(
            *features,
            tf.constant([2, 1, 2]),
            tf.constant([7, 7, 7]),
            **{"gamma1": 4.0, "gamma2": 5.0, "gamma3": 10.0},
        )
    np.testing.assert_array_equal(terms, np.zeros(5))
    for gradient in tape.gradient(terms.total, features):
        np.testing.assert_array_equal(gradient, np.zeros(gradient.shape))
