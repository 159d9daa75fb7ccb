"""What one step changes, and what it leaves alone."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from attngan_tf import losses
from attngan_tf.config import Config
from attngan_tf.models import build
from attngan_tf.training import assembly, augmentation
from attngan_tf.training.damsm_step import DamsmStep, EpochDecay
from attngan_tf.training.gan_trainer import gan_step

B, T = 4, 6
FEATURES = ("region_features", "image_features")
FEATURES += ("word_features", "sentence_features")


def make_batch(seed: int = 0) -> dict[str, tf.Tensor]:
    """A batch of noise pictures and random words."""
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
        "augmentation": rng.uniform(size=(B, 2, augmentation.DRAWS)),
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
        text_encoder = build.text_encoder(config, 9)
        image_encoder = build.image_encoder(config, None)
        return gan_step(config, text_encoder, image_encoder)

    return make


def weights(network) -> list[np.ndarray]:
    return [w.numpy() for w in network.weights]


def equal(before, network) -> bool:
    return all(
        np.array_equal(a, b)
        for a, b in zip(before, weights(network), strict=True)
    )


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
        {},
        RELEASED,
        {"generator": "attndcgan"},
        {"attention": "none"},
        {"discriminator_stages": "last"},
        PROJECTED,
        PROJECTED | RELEASED | {"damsm_stages": "all"},
        PROJECTED | {"discriminator_stages": "last", "damsm_lambda": 0.0},
        PROJECTED | {"generator": "attndcgan", "gan_mismatched_pairs": True},
        PROJECTED | {"num_stages": 1, "precision": "mixed_bfloat16"},
    ],
    ids=[
        *("paper", "released", "attndcgan", "no attention", "last stage"),
        *("projected", "projected released", "projected last stage"),
        *("projected attndcgan", "projected one stage"),
    ],
)
def test_a_step_moves_every_weight_it_should(make_gan, fields):
    step = make_gan(**fields)
    networks = [step.generator, *step.discriminators.values()]
    before = [weights(network) for network in networks]
    fixed = weights(step.text_encoder), weights(step.image_encoder)
    terms = step(make_batch())
    assert all(np.isfinite(value) for value in terms.values())
    for old, network in zip(before, networks, strict=True):
        for a, w in zip(old, network.weights, strict=True):
            assert not np.array_equal(a, w.numpy()), w.path
    assert equal(fixed[0], step.text_encoder)
    assert equal(fixed[1], step.image_encoder)


def test_a_discriminators_update_leaves_the_generator_alone(make_gan):
    step = make_gan()
    text = step.text_encoder(make_batch()["token_ids"], make_batch()["lengths"])
    generator, other = weights(step.generator), weights(step.discriminators[8])
    before = weights(step.discriminators[16])
    fake = tf.random.stateless_uniform([B, 16, 16, 3], [0, 0], -1, 1)
    real = make_batch()["images_16"]
    step._update_discriminator(16, {"images": real}, {"images": fake}, text)
    assert equal(generator, step.generator)
    assert equal(other, step.discriminators[8])
    assert not equal(before, step.discriminators[16])


def test_the_generators_update_leaves_the_discriminators_weights_alone(
    make_gan,
):
    step = make_gan()
    for optimizer in step.discriminator_optimizers.values():
        optimizer.learning_rate.assign(0.0)
    before = [
        [w.numpy() for w in network.trainable_variables]
        for network in step.discriminators.values()
    ]
    generator = weights(step.generator)
    step(make_batch())
    after = [
        [w.numpy() for w in network.trainable_variables]
        for network in step.discriminators.values()
    ]
    for old, new in zip(before, after, strict=True):
        for a, b in zip(old, new, strict=True):
            np.testing.assert_array_equal(a, b)
    assert not equal(generator, step.generator)


def test_batch_norm_moves_once_in_a_step(make_gan):
    step, again = make_gan(), make_gan()
    again.generator.set_weights(step.generator.get_weights())
    batch = make_batch()
    text = again.text_encoder(batch["token_ids"], batch["lengths"])
    again.text_encoder.set_weights(step.text_encoder.get_weights())
    text = again.text_encoder(batch["token_ids"], batch["lengths"])
    again.generator(
        {**text, **{k: batch[k] for k in ("lengths", "z", "eps")}},
        training=True,
    )
    step(batch)
    for a, b in zip(
        step.generator.non_trainable_variables,
        again.generator.non_trainable_variables,
        strict=True,
    ):
        np.testing.assert_allclose(a.numpy(), b.numpy(), atol=1e-6)


def test_the_generators_gradient_has_lambda_times_the_damsms(make_gan):
    moments = []
    for damsm_lambda in (0.0, 2.0, 4.0):
        keras.utils.set_random_seed(0)
        step = make_gan(damsm_lambda=damsm_lambda)
        step(make_batch())
        found = step.generator_optimizer._momentums
        moments.append(np.concatenate([m.numpy().ravel() for m in found]))
    without, two, four = moments
    assert np.linalg.norm(two - without) > 1e-3 * np.linalg.norm(without)
    difference = (four - without) - 2.0 * (two - without)
    assert np.linalg.norm(difference) < 1e-3 * np.linalg.norm(four - without)


def first_moments(step) -> list[np.ndarray]:
    """Half of the generator's gradient, after one step (beta 0.5)."""
    return [m.numpy() for m in step.generator_optimizer._momentums]


def test_all_stages_add_lambda_times_the_first_pictures_damsm(make_gan):
    """By one tape from the generator's weights to the loss of 8 x 8."""
    found = {}
    for stages in ("last", "all"):
        keras.utils.set_random_seed(0)
        step = make_gan(damsm_stages=stages, damsm_lambda=4.0)
        batch = make_batch()
        text = step.text_encoder(batch["token_ids"], batch["lengths"])
        inputs = text | {k: batch[k] for k in ("lengths", "z", "eps")}
        with tf.GradientTape() as tape:
            image = step.generator(inputs, training=True)["images_8"]
            features = step.image_encoder(image) | text
            loss = losses.damsm_loss(
                *(features[name] for name in FEATURES),
                batch["lengths"],
                **assembly.damsm_options(Config(dataset="demo")),
            )
        gradient = tape.gradient(
            loss.total, [w.value for w in step.generator.trainable_variables]
        )
        terms = step(batch)
        found[stages] = terms, first_moments(step)
    last, all_stages = (terms for terms, _ in found.values())
    assert {n for n in all_stages if n not in last} == {
        f"damsm_8/{name}" for name in losses.DamsmLoss._fields
    }
    added = float(all_stages["generator/total"] - last["generator/total"])
    value = pytest.approx(float(loss.total), rel=1e-3)
    assert float(all_stages["damsm_8/total"]) == value
    assert added / 4.0 == value
    for a, b, g in zip(
        *(moments for _, moments in found.values()), gradient, strict=True
    ):
        if g is None:  # of the second stage
            np.testing.assert_array_equal(b, a)
        else:
            size = np.abs(g).max()
            np.testing.assert_allclose(b - a, 2.0 * g, atol=1e-3 * size)


@pytest.mark.parametrize("augmented", [False, True])
def test_one_pass_of_the_encoder_serves_eq_4_and_the_damsm(
    make_gan, monkeypatch, augmented
):
    """The gradient is that of one tape from G's weights to both losses."""
    keras.utils.set_random_seed(0)
    step = make_gan(
        **PROJECTED,
        discriminator_stages="last",
        discriminator_augmentation=augmented,
        damsm_lambda=0.01,  # or it would hide what Eq. 4 adds
    )
    for optimizer in step.discriminator_optimizers.values():
        optimizer.learning_rate.assign(0.0)
    network, encoder = step.discriminators[16], step.image_encoder
    for convolution in network._flatten_layers():
        if hasattr(convolution, "direction"):  # until it does not move
            for _ in range(200):
                convolution._normalized_kernel(training=True)
    batch = make_batch()
    text = step.text_encoder(batch["token_ids"], batch["lengths"])
    inputs = text | {k: batch[k] for k in ("lengths", "z", "eps")}
    with tf.GradientTape() as tape:
        fakes = step.generator(inputs, training=True)
        images = fakes["images_16"]
        if augmented:
            draws = batch["augmentation"][:, 1]
            images = augmentation.augment(images, draws)
        features, maps = encoder.features_and_maps(images)
        code = network.features(network.project(images, maps))
        judged = losses.generator_loss(
            network.unconditional_logits(code),
            network.conditional(code, text["sentence_features"]),
        )
        damsm = losses.damsm_loss(
            *((encoder.project(features) | text)[name] for name in FEATURES),
            batch["lengths"],
            **assembly.damsm_options(Config(dataset="demo")),
        )
        kl = losses.kl_loss(fakes["mu"], fakes["logvar"])
        total = kl + judged.total + 0.01 * damsm.total
    gradient = tape.gradient(
        total, [w.value for w in step.generator.trainable_variables]
    )
    rows = []
    one_pass = encoder.features_and_maps

    def counting(images, training=False):
        rows.append(len(images))
        return one_pass(images, training)

    monkeypatch.setattr(encoder, "features_and_maps", counting)
    terms = step(batch)
    assert rows == [B, B]  # generated images, and real ones
    assert float(terms["generator/total"]) == pytest.approx(
        float(total), rel=1e-4
    )
    for moment, g in zip(first_moments(step), gradient, strict=True):
        size = np.abs(g).max()
        np.testing.assert_allclose(moment, 0.5 * g, atol=2e-3 * size)


def test_the_damsms_weight_rises_from_0(make_gan):
    step = make_gan(damsm_lambda=4.0, damsm_ramp_steps=2)
    for number in range(4):
        terms = {k: float(v) for k, v in step(make_batch(number)).items()}
        others = sum(terms[name] for name in ("generator/kl", *judged(terms)))
        added = terms["generator/total"] - others
        weight = 4.0 * min(1, number / 2)
        assert added == pytest.approx(
            weight * terms["damsm/total"], rel=1e-4, abs=1e-4
        )


def judged(terms) -> list[str]:
    """Names of Eq. 4's terms, one a stage."""
    return [x for x in terms if x.startswith("generator_") and "total" in x]


@pytest.mark.parametrize("warmup", [False, True])
def test_the_average_follows(make_gan, warmup):
    step = make_gan(ema_decay=0.9, ema_warmup=warmup)
    expected = [w.numpy() for w in step.average.trainable_variables]
    for number in range(1, 4):
        step(make_batch(number))
        step.update_average()
        decay = min(0.9, (1 + number) / (10 + number)) if warmup else 0.9
        expected = [
            decay * a + (1 - decay) * w.numpy()
            for a, w in zip(
                expected, step.generator.trainable_variables, strict=True
            )
        ]
    for a, b in zip(expected, step.average.trainable_variables, strict=True):
        np.testing.assert_allclose(a, b.numpy(), atol=1e-6)
    for a, b in zip(
        step.generator.non_trainable_variables,
        step.average.non_trainable_variables,
        strict=True,
    ):
        np.testing.assert_array_equal(
            a.numpy(), b.numpy()
        )  # BN statistics are the live ones


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


@pytest.fixture
def damsm_step(make_damsm, tiny_config) -> DamsmStep:
    return make_damsm(assembly.adam(tiny_config(), 0.01))


@pytest.mark.parametrize("scale", [None, 2.0**15])
def test_the_text_encoders_gradient_is_clipped_as_it_is(make_damsm, scale):
    """Not as a loss scale of float16 makes it."""
    optimizer = keras.optimizers.SGD(1.0)
    if scale:
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer, scale)
    step = make_damsm(optimizer)
    networks = (step.text_encoder, step.image_encoder)
    before = [[w.numpy() for w in x.trainable_variables] for x in networks]
    norm = step(make_batch())["text_gradient_norm"]
    text, image = (
        np.sqrt(sum(np.sum((w - o) ** 2) for w, o in zip(x, old, strict=True)))
        for x, old in zip(
            [[w.numpy() for w in x.trainable_variables] for x in networks],
            before,
            strict=True,
        )
    )
    assert 1 < norm < 1000
    assert text == pytest.approx(0.25, rel=1e-3)
    assert image > 1  # only the text encoder's is clipped


def test_an_encoder_step_lowers_the_loss(damsm_step):
    compiled = tf.function(damsm_step)
    first = compiled(make_batch())["total"].numpy()
    for _ in range(30):
        last = compiled(make_batch())["total"].numpy()
    assert last < 0.6 * first


def test_the_embedding_of_padding_does_not_move(damsm_step):
    embeddings = damsm_step.text_encoder.embedding.embeddings
    before = embeddings.numpy()
    damsm_step(make_batch())
    after = embeddings.numpy()
    np.testing.assert_array_equal(before[0], after[0])
    assert not np.array_equal(before[1:], after[1:])


def test_the_encoders_rate_decays_to_a_tenth():
    schedule = EpochDecay(0.002, 0.98, steps_per_epoch=10)
    assert float(schedule(9)) == pytest.approx(0.002)
    assert float(schedule(10)) == pytest.approx(0.002 * 0.98)
    assert float(schedule(255)) == pytest.approx(0.002 * 0.98**25)
    assert float(schedule(10_000)) == pytest.approx(0.0002)


def test_the_joint_embedding_trains_sentences_and_pictures(tiny_config):
    config = tiny_config(text_training="joint_embedding", damsm_lambda=0.0)
    encoders = build.text_encoder(config, 9), build.image_encoder(config, None)
    step = assembly.encoder_step(config, *encoders, 0.01, 32)
    before = [weights(network) for network in encoders]
    batch = make_batch()
    text = encoders[0](
        batch["token_ids"], batch["lengths"], batch["dropout_draws"]
    )
    image = encoders[1](batch["images_32"], training=True)
    scores = image["image_features"] @ tf.transpose(text["sentence_features"])
    others = batch["class_id"][:, None] != batch["class_id"]
    own = tf.linalg.diag_part(scores)
    rows = np.maximum(0, 1 + scores - own[:, None]) * others.numpy()
    expected = np.mean(rows.sum(1) / others.numpy().sum(1))
    # BN of the trunk has moved, which training does not see.
    terms = step(batch)
    assert float(terms["image_to_text"]) == pytest.approx(expected, rel=1e-4)
    assert set(terms) == {
        *("image_to_text", "text_to_image", "total", "text_gradient_norm"),
    }
    unused = encoders[1].region_projection.kernel
    for network, old in zip(encoders, before, strict=True):
        for a, w in zip(old, network.weights, strict=True):
            assert np.array_equal(a, w.numpy()) == (w is unused), w.path


@pytest.mark.parametrize(
    "fields", [{}, {"text_training": "joint_embedding", "damsm_lambda": 0.0}]
)
def test_tuned_encoders_take_a_step_of_their_own_first(make_gan, fields):
    """Then the GAN's, on encoders that are fixed."""
    keras.utils.set_random_seed(0)
    tuned = make_gan(finetune_damsm=True, **fields)
    keras.utils.set_random_seed(0)
    fixed = make_gan(**fields)
    keras.utils.set_random_seed(0)
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
