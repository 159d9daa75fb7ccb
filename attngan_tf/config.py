"""All settings of a run, in one frozen dataclass."""

import dataclasses
import json
import os

from attngan_tf.errors import UserError
from attngan_tf.io.files import replacing
from attngan_tf.options import check_option, option

# The class for each value of --discriminator.
DISCRIMINATORS = {
    "paper": "attngan_tf.models.discriminator:Discriminator",
    "projected": (
        "attngan_tf.models.projected_discriminator:ProjectedDiscriminator"
    ),
}
CONFIG_FILE = "config.json"
METRICS_FILE = "metrics.jsonl"
VOCABULARY_FILE = "vocab.txt"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """The settings of a run; the defaults are the paper's for CUB.

    Raises:
      UserError: a value breaks the rule of its field, or two fields conflict.
    """

    # Folders, data, and what this run does.
    workdir: str = option(
        "runs/attngan",
        "folder for checkpoints, logs and images",
        may_change=True,
    )
    dataset: str = option(
        "cub",
        "data set to train on",
        choices=("demo", "folder", "cub", "coco"),
    )
    data_dir: str = option(
        "", "folder of the raw data (not used by demo)", may_change=True
    )
    prepared_dir: str = option(
        "",
        "folder of the prepared data; empty: $TFDS_DATA_DIR, or "
        "~/tensorflow_datasets",
        may_change=True,
    )
    memory_mb: int = option(
        1000,
        "maximum size in MB of the scaled training images that are cached in "
        "memory; larger data sets are decoded at every step",
        minimum=0,
        may_change=True,
    )
    captions_per_image: int = option(
        0,
        "minimum number of captions of each image; 0: the number in the data "
        "set (10 in CUB, 5 in COCO, one in others)",
        minimum=0,
    )
    test_fraction: float = option(
        0.0,
        "fraction of the images that become the test split, of data without a "
        "split (--dataset=folder); whole classes, chosen by --seed, and "
        "recorded in --prepared_dir; 0: the data has a split",
        minimum=0,
        maximum=0.5,
    )
    stage: str = option(
        "all",
        "what to train: the encoders (damsm), the GAN with trained encoders "
        "(gan), or the encoders and then the GAN (all)",
        choices=("all", "damsm", "gan"),
        may_change=True,
    )
    encoders: str = option(
        "",
        "workdir with trained encoders to use, so that only the GAN is "
        "trained; empty: train the encoders in this run",
    )
    init_from: str = option(
        "",
        "workdir with a trained model of the same sizes, whose networks this "
        "run starts from; words that it does not know start untrained, and so "
        "do the optimizers; empty: start from random weights",
    )
    seed: int = option(
        0, "seed of all random numbers of the run", minimum=0, maximum=2**31 - 1
    )

    # How long to train. Steps, if set, take precedence over epochs.
    damsm_epochs: int = option(
        200, "epochs of encoder training", minimum=0, may_change=True
    )
    damsm_steps: int | None = option(
        None,
        "steps of encoder training; overrides --damsm_epochs",
        minimum=0,
        may_change=True,
    )
    gan_epochs: int = option(
        600, "epochs of GAN training", minimum=0, may_change=True
    )
    gan_steps: int | None = option(
        None,
        "steps of GAN training; overrides --gan_epochs",
        minimum=0,
        may_change=True,
    )

    # Images and captions.
    base_size: int = option(
        64, "side of the first stage's images, in pixels", minimum=8
    )
    num_stages: int = option(
        3,
        "number of stages; each doubles the side of the images",
        minimum=1,
        maximum=4,
    )
    tokenizer: str = option(
        "ascii",
        "which words captions have: those of the released code, which drops "
        "all letters but a to z (ascii), or those of any language (unicode; "
        "Chinese, Japanese and Thai by character)",
        choices=("ascii", "unicode"),
    )
    words_num: int = option(
        18, "maximum number of words of a caption in training (T)", minimum=1
    )
    words_num_test: int = option(
        25, "maximum number of words of a caption after training", minimum=1
    )

    # Sizes of the networks.
    feature_size: int = option(
        256, "size of word and region features (D)", minimum=2
    )
    embedding_size: int = option(300, "size of a word embedding", minimum=1)
    gf: int = option(32, "channels of the generator's maps (GF)", minimum=1)
    df: int = option(
        64, "channels of the discriminators' first maps (DF)", minimum=1
    )
    z_size: int = option(100, "size of the noise vector (Z)", minimum=1)
    condition_size: int = option(
        100, "size of the conditioning vector", minimum=1
    )
    residual_blocks: int = option(
        2, "residual blocks in each stage after the first", minimum=0
    )
    generator: str = option(
        "attngan",
        "generator: the paper's, or AttnDCGAN of the released code",
        choices=("attngan", "attndcgan"),
    )
    attention: str = option(
        "words",
        "what the later stages attend to; none gives StackGAN-v2's generator",
        choices=("words", "none"),
    )

    # Image encoder.
    image_encoder: str = option(
        "inception_v3",
        "network of the image encoder: inception_v3 is fixed and suited to "
        "photographs; small_cnn is trained with the text encoder",
        choices=("inception_v3", "small_cnn"),
    )
    inception_weights: str = option(
        "imagenet",
        "weights of Inception-v3: imagenet (downloaded), none (random), or the "
        "path of a Keras weights file without top",
        may_change=True,
    )
    image_region_layer: str = option(
        "mixed6",
        "layer of Inception-v3 whose output gives the regions; mixed7 is the "
        "layer that the paper calls 'mixed 6e' (released code)",
        choices=("mixed6", "mixed7"),
    )
    inception_padding: str = option(
        "keras",
        "whether Inception-v3's average pooling excludes the padding (keras), "
        "or includes it as torchvision does (torch, released code)",
        choices=("keras", "torch"),
    )
    image_encoder_resize: str = option(
        "half_pixel",
        "how images are resized for the image encoder: half_pixel aligns the "
        "edges of the images, aligned_corners the centres of their corner "
        "pixels (released code)",
        choices=("half_pixel", "aligned_corners"),
    )
    image_encoder_size: int = option(
        299, "side of the image encoder's input, in pixels", minimum=16
    )
    damsm_cached_views: int = option(
        0,
        "number of views (crops and flips) of each training image whose "
        "Inception-v3 features are cached on disk for encoder training; 0: "
        "features of new views are computed at every step",
        minimum=0,
        maximum=64,
    )

    # DAMSM: Eq. 7-14.
    text_training: str = option(
        "damsm",
        "loss of the encoders: the DAMSM loss (Eq. 14), or the joint "
        "embedding of Reed et al. 2016 (Table 2: no DAMSM)",
        choices=("damsm", "joint_embedding"),
    )
    damsm_batch_size: int = option(
        50, "pairs in a batch of encoder training (M)", minimum=2
    )
    damsm_gamma1: float = option(
        5.0, "sharpness of a word's attention over regions (Eq. 9)", minimum=0
    )
    damsm_gamma2: float = option(
        5.0, "how much the best matching words dominate (Eq. 10)", minimum=1e-6
    )
    damsm_gamma3: float = option(
        10.0, "sharpness of the match over the batch (Eq. 11)", minimum=0
    )
    damsm_same_class_mask: bool = option(
        False,
        "do not count pairs of the same class as mismatched (released code)",
    )
    word_score: str = option(
        "paper",
        "Eq. 10 as printed (paper), or without its factor 1/gamma2 (released)",
        choices=("paper", "released"),
    )
    damsm_learning_rate: float = option(
        2e-3, "initial learning rate of the encoders", minimum=0
    )
    damsm_learning_rate_decay: float = option(
        0.98,
        "factor of the encoders' learning rate after each epoch, down to a "
        "tenth of the initial rate",
        minimum=0.1,
        maximum=1.0,
    )
    damsm_dropout: float = option(
        0.5, "dropout rate of the word embeddings", minimum=0, maximum=0.95
    )
    text_encoder_clip: float = option(
        0.25, "maximum norm of the text encoder's gradient", minimum=1e-6
    )

    # GAN: Eq. 3-5.
    discriminator: str = option(
        "paper",
        "discriminators: the paper's; or, with projected, the last stage's "
        "reads feature maps of the fixed image encoder and needs far fewer "
        "steps (Sauer et al., Projected GANs, 2021)",
        choices=tuple(DISCRIMINATORS),
    )
    discriminator_stages: str = option(
        "all",
        "stages that have a discriminator: all, or the last; with last, the "
        "other stages generate no image",
        choices=("all", "last"),
    )
    batch_size: int = option(
        20, "images in a batch of GAN training, over all replicas", minimum=2
    )
    damsm_lambda: float = option(
        5.0,
        "weight of the DAMSM loss in the generator's loss (Eq. 3)",
        minimum=0,
    )
    damsm_ramp_steps: int = option(
        0,
        "steps over which the weight of the DAMSM loss rises linearly from 0 "
        "to --damsm_lambda; 0: it is constant (paper)",
        minimum=0,
    )
    damsm_stages: str = option(
        "last",
        "stages whose images the generator's DAMSM loss is computed for: the "
        "last, or the sum over all",
        choices=("last", "all"),
    )
    finetune_damsm: bool = option(
        False,
        "continue training the encoders with the GAN, on the real images of "
        "its batches, at a tenth of --damsm_learning_rate",
    )
    gan_loss_scale: str = option(
        "paper",
        "Eq. 4 as printed (paper), or without its factor 1/2 (released)",
        choices=("paper", "released"),
    )
    gan_mismatched_pairs: bool = option(
        False,
        "also train discriminators with mismatched pairs: a real image and "
        "the caption of another (released code)",
    )
    gan_learning_rate: float = option(
        2e-4, "learning rate of the generator", minimum=0
    )
    discriminator_learning_rate: float = option(
        2e-4, "learning rate of the discriminators", minimum=0
    )
    discriminator_augmentation: bool = option(
        False,
        "augment the discriminators' images, real and generated, by "
        "translation and cutout (DiffAugment); for small data sets",
    )
    ema_decay: float = option(
        0.999,
        "decay of the moving average of the generator's weights",
        minimum=0,
        maximum=0.999999,
    )
    ema_warmup: bool = option(
        False, "use a smaller decay of the moving average in the first steps"
    )
    ema_statistics: str = option(
        "copied",
        "batch normalization's statistics with averaged weights: those of the "
        "last step's weights (copied, released code), or measured on generated "
        "images before each preview, score and checkpoint",
        choices=("copied", "measured"),
        may_change=True,
    )
    condition_noise: bool = option(
        True,
        "sample the conditioning noise eps also after training (released "
        "code); otherwise use the mean",
    )

    # Precision and devices.
    precision: str = option(
        "float32",
        "number format of the networks",
        choices=("float32", "mixed_bfloat16", "mixed_float16"),
    )
    jit_compile: bool = option(False, "compile the training steps with XLA")
    distribution: str = option(
        "auto",
        "devices to train on: auto uses all GPUs, or the CPU; multi_worker "
        "connects the hosts of TF_CONFIG over the network",
        choices=("auto", "one_device", "mirrored", "multi_worker"),
        may_change=True,
    )
    virtual_devices: int = option(
        0,
        "number of virtual devices that the CPU is split into, to try several "
        "replicas; 0: do not split it",
        minimum=0,
        maximum=64,
        may_change=True,
    )

    intra_op_threads: int = option(
        0,
        "number of threads that one operation uses; 0: TensorFlow's default, "
        "one per core; small networks train faster with 1",
        minimum=0,
        may_change=True,
    )

    # Reports and checkpoints.
    log_interval: int = option(
        50, "steps between two reports of losses", minimum=1, may_change=True
    )
    sample_interval: int = option(
        500, "steps between two sample grids", minimum=1, may_change=True
    )
    checkpoint_interval: int = option(
        500,
        "steps between two checkpoints of the GAN",
        minimum=1,
        may_change=True,
    )
    evaluation_interval: int = option(
        1000,
        "steps of the GAN between two evaluations of generated images",
        minimum=1,
        may_change=True,
    )
    evaluation_images: int = option(
        1000,
        "images of the test split that evaluations during training use",
        minimum=100,
        may_change=True,
    )
    keep_checkpoints: int = option(
        3,
        "number of the last checkpoints that are retained",
        minimum=1,
        may_change=True,
    )

    def __post_init__(self):
        for field in dataclasses.fields(self):
            check_option(field, getattr(self, field.name))
        _check_combinations(self)

    @property
    def image_sizes(self) -> tuple[int, ...]:
        """Side of each stage's images, in pixels."""
        return tuple(self.base_size * 2**i for i in range(self.num_stages))

    def save(self, workdir: str, versions: dict[str, str]) -> None:
        """Writes config.json: every field, and the versions of packages."""
        fields = {**dataclasses.asdict(self), "versions": versions}
        path = os.path.join(workdir, CONFIG_FILE)
        with replacing(path) as file:
            json.dump(fields, file, indent=2)

    @classmethod
    def load(cls, workdir: str) -> "Config":
        """The configuration of a workdir.

        Raises:
          UserError: there is no config.json, or it is not valid.
        """
        path = os.path.join(workdir, CONFIG_FILE)
        try:
            with open(path, encoding="utf-8") as file:
                fields = {**json.load(file)}
        except FileNotFoundError:
            raise UserError(
                f"a workdir holds a {CONFIG_FILE}; found none in "
                f"{workdir!r}; use the --workdir of a training run"
            ) from None
        except (OSError, ValueError, TypeError) as error:
            raise UserError(
                f"{path} must hold a JSON object; {error}; use the --workdir "
                "of a training run"
            ) from None
        fields.pop("versions", None)
        known = {field.name for field in dataclasses.fields(cls)}
        if unknown := sorted(set(fields) - known):
            raise UserError(
                f"{path} has fields that are unknown to this version: "
                f"{', '.join(unknown)}; use the version that wrote it"
            )
        return dataclasses.replace(cls(**fields), workdir=workdir)

    def differences(self, other: "Config") -> list[str]:
        """The conflicting fields, such as "gf: 64 there, 32 here".

        "There" is the other configuration. Fields that may change when a run
        is resumed do not conflict.
        """
        return [
            f"{field.name}: {getattr(other, field.name)!r} there, "
            f"{getattr(self, field.name)!r} here"
            for field in dataclasses.fields(self)
            if not field.metadata["may_change"]
            and getattr(self, field.name) != getattr(other, field.name)
        ]


def _check_combinations(config: Config) -> None:
    fixed_encoder = config.image_encoder == "inception_v3"
    for broken, rule in (
        (
            config.base_size.bit_count() != 1,
            "--base_size must be a power of two (the first feature map is "
            f"4 x 4 and doubles); received {config.base_size}; the paper uses "
            "64",
        ),
        (
            config.feature_size % 2,
            "--feature_size must be even (half of it for each direction of "
            f"the LSTM); received {config.feature_size}",
        ),
        (
            config.text_training == "joint_embedding" and config.damsm_lambda,
            "--damsm_lambda must be 0 with --text_training=joint_embedding, "
            "whose encoders are not trained for the DAMSM loss; received "
            f"{config.damsm_lambda}; add --damsm_lambda=0",
        ),
        (
            config.discriminator_stages == "last"
            and config.damsm_stages == "all",
            "--damsm_stages must be last with --discriminator_stages=last, "
            "where only the last stage generates an image; received 'all'",
        ),
        (
            fixed_encoder and config.image_encoder_size < 75,
            "--image_encoder_size must be at least 75 for inception_v3; "
            f"received {config.image_encoder_size}",
        ),
        (
            not fixed_encoder and config.damsm_cached_views,
            "--damsm_cached_views must be 0 with --image_encoder=small_cnn, "
            "whose features change as it trains; received "
            f"{config.damsm_cached_views}",
        ),
        (
            not fixed_encoder
            and config.discriminator == "projected"
            and config.finetune_damsm,
            "--finetune_damsm must be off with --discriminator=projected and "
            "--image_encoder=small_cnn: the discriminator reads that network's "
            "feature maps, which must stay fixed; received --finetune_damsm",
        ),
    ):
        if broken:
            raise UserError(rule)
