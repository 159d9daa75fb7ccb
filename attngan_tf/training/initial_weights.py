"""Starts a run from the trained networks of another one (--init_from)."""

from attngan_tf.config import Config
from attngan_tf.data.vocabulary import Vocabulary
from attngan_tf.encoders import check_image_encoder, load_encoders
from attngan_tf.errors import UserError
from attngan_tf.models.image_encoder import ImageEncoder
from attngan_tf.models.text_encoder import TextEncoder
from attngan_tf.runs import checkpoint
from attngan_tf.training import assembly
from attngan_tf.training.gan_step import GanStep

# Fields that determine the weights of encoders and generator.
NETWORK_FIELDS = (
    *assembly.ENCODER_SIZES,
    "generator",
    "attention",
    "base_size",
    "num_stages",
    "gf",
    "z_size",
    "condition_size",
    "residual_blocks",
)
# Further fields of the discriminators, which otherwise start untrained. The
# seed is that of projected discriminators' fixed kernels.
DISCRIMINATOR_FIELDS = ("discriminator", "discriminator_stages", "df", "seed")


def check(config: Config) -> None:
    """Checks that the run of `config.init_from` has networks of these sizes.

    Raises:
      UserError: it has not, or its encoders would not be used.
    """
    if config.encoders:
        raise UserError(
            "--init_from must be used without --encoders, which it replaces; "
            f"received {config.init_from} and {config.encoders}"
        )
    source = Config.load(config.init_from)
    assembly.check_equal_fields(config, source, "init_from", NETWORK_FIELDS)
    if source.discriminator_stages == "last" != config.discriminator_stages:
        raise UserError(
            "--discriminator_stages must be last, as in "
            f"--init_from={config.init_from}, whose first stages generate no "
            f"images; received {config.discriminator_stages}"
        )
    if config.stage != "gan":
        check_image_encoder(config.init_from)
    if config.stage != "damsm":
        checkpoint.find(config.init_from, "gan")


def start_encoders(
    config: Config,
    vocabulary: Vocabulary,
    text_encoder: TextEncoder,
    image_encoder: ImageEncoder,
) -> None:
    """Copies trained encoders; words that are new keep their random embedding.

    Args:
      config: names the other run.
      vocabulary: the words of this run.
      text_encoder: receives the weights.
      image_encoder: receives the weights.
    """
    _, captions, images = load_encoders(config.init_from)
    image_encoder.set_weights(images.get_weights())
    text_encoder.lstm.set_weights(captions.text_encoder.lstm.get_weights())
    ids = {word: i for i, word in enumerate(captions.vocabulary.words)}
    known = [i for i, word in enumerate(vocabulary.words) if word in ids]
    theirs = [ids[vocabulary.words[i]] for i in known]
    (trained,) = captions.text_encoder.embedding.get_weights()
    (embeddings,) = text_encoder.embedding.get_weights()
    embeddings[known] = trained[theirs]
    text_encoder.embedding.set_weights([embeddings])
    print(
        f"{len(known)} of {len(vocabulary)} words have the embeddings of "
        f"--init_from={config.init_from}; the others are new"
    )


def start_gan(config: Config, step: GanStep) -> None:
    """Restores the other run's GAN; the optimizers start anew.

    Discriminators that it does not have, as some converted models, or that
    have other settings, are new.
    """
    source = Config.load(config.init_from)
    path = checkpoint.find(config.init_from, "gan")
    stored = checkpoint.parts(path)
    discriminators = {}
    if all(
        getattr(source, name) == getattr(config, name)
        for name in DISCRIMINATOR_FIELDS
    ):
        discriminators = {
            name: network
            for size, network in step.discriminators.items()
            if (name := f"discriminator_{size}") in stored
        }
    checkpoint.restore_part(
        path, average=step.average, generator=step.generator, **discriminators
    )
    new = len(step.discriminators) - len(discriminators)
    print(
        f"the generator starts from step {checkpoint.step_of(path)} of "
        f"--init_from={config.init_from}; untrained discriminators: {new}"
    )
