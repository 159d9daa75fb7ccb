"""Every setting of a run: one frozen dataclass."""

import dataclasses
import json
import os

from attngan_tf.errors import UserError
from attngan_tf.io.files import replacing
from attngan_tf.options import check_option, option

# What may judge images: a name of --discriminator, and the class in models/.
DISCRIMINATORS = {
    "paper": "attngan_tf.models.discriminator:Discriminator",
    "projected": (
        "attngan_tf.models.projected_discriminator:ProjectedDiscriminator"
    ),
}
CONFIG_FILE = "config.json"
METRICS_FILE = "metrics.jsonl"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """The settings of a run; the defaults are the paper's for CUB.

    Raises:
      UserError: a value breaks its field's rule, or two fields do not fit.
    """

    # Where things lie, and what this run does.
    workdir: str = option(
        "runs/attngan",
        "folder for checkpoints, logs and pictures",
        may_change=True,
    )
    dataset: str = option(
        "cub",
        "which data set to train on",
        choices=("demo", "folder", "cub", "coco"),
    )
    data_dir: str = option(
        "", "folder of the raw data (demo needs none)", may_change=True
    )
    prepared_dir: str = option(
        "",
        "folder of the prepared data; empty: $TFDS_DATA_DIR, or "
        "~/tensorflow_datasets",
        may_change=True,
    )
    memory_mb: int = option(
        1000,
        "keep scaled training pictures in memory if they take about so many "
        "MB at most; else they are decoded at every step",
        least=0,
        may_change=True,
    )
    captions_per_image: int = option(
        0,
        "captions every picture must have; 0: as many as the data set says "
        "(10 in CUB, 5 in COCO, at least one elsewhere)",
        least=0,
    )
    stage: str = option(
        "all",
        "what to train: the encoders (damsm), the GAN on trained encoders "
        "(gan), or one after the other (all)",
        choices=("all", "damsm", "gan"),
        may_change=True,
    )
    encoders: str = option(
        "",
        "workdir whose trained encoders to use, so that the GAN alone is "
        "trained; empty: train them here",
    )
    seed: int = option(
        0, "seed of every random draw of the run", least=0, most=2**31 - 1
    )

    # How long to train. Steps win over epochs when they are set.
    damsm_epochs: int = option(
        200, "epochs of encoder training", least=0, may_change=True
    )
    damsm_steps: int | None = option(
        None, "steps of encoder training", least=0, may_change=True
    )
    gan_epochs: int = option(
        600, "epochs of GAN training", least=0, may_change=True
    )
    gan_steps: int | None = option(
        None, "steps of GAN training", least=0, may_change=True
    )

    # Pictures and captions.
    base_size: int = option(
        64, "side of the first stage's picture, in pixels", least=8
    )
    num_stages: int = option(
        3,
        "number of stages; each doubles the side of the picture",
        least=1,
        most=4,
    )
    words_num: int = option(
        18, "words of a caption used in training (T)", least=1
    )
    words_num_test: int = option(
        25, "words of a caption used after training", least=1
    )

    # Sizes of the networks.
    feature_size: int = option(
        256, "size of word and region features (D)", least=2
    )
    embedding_size: int = option(300, "size of a word embedding", least=1)
    gf: int = option(32, "channels of the generator's maps (GF)", least=1)
    df: int = option(
        64, "channels of the discriminators' first maps (DF)", least=1
    )
    z_size: int = option(100, "size of the noise vector (Z)", least=1)
    condition_size: int = option(
        100, "size of the conditioning vector", least=1
    )
    residual_blocks: int = option(
        2, "residual blocks in each stage after the first", least=0
    )
    generator: str = option(
        "attngan",
        "which generator: the paper's, or AttnDCGAN of the released code",
        choices=("attngan", "attndcgan"),
    )
    attention: str = option(
        "words",
        "what the later stages attend to; none makes it StackGAN-v2's "
        "generator",
        choices=("words", "none"),
    )

    # Image encoder.
    image_encoder: str = option(
        "inception_v3",
        "network of the image encoder: inception_v3 is fixed and made for "
        "photographs; small_cnn is trained with the text encoder",
        choices=("inception_v3", "small_cnn"),
    )
    inception_weights: str = option(
        "imagenet",
        "weights of Inception-v3: imagenet (downloaded), none, or the path "
        "of a Keras weights file without top",
        may_change=True,
    )
    image_region_layer: str = option(
        "mixed6",
        "layer of Inception-v3 that gives the regions; the paper's 'mixed "
        "6e' is mixed7",
        choices=("mixed6", "mixed7"),
    )
    inception_padding: str = option(
        "keras",
        "what Inception-v3's average pools do at the border: leave the "
        "padding out as Keras does, or count it as torchvision does (released "
        "code)",
        choices=("keras", "torch"),
    )
    image_encoder_resize: str = option(
        "half_pixel",
        "how pictures are resized for the image encoder: with the corner "
        "pixels' areas or their centres aligned (released code)",
        choices=("half_pixel", "aligned_corners"),
    )
    image_encoder_size: int = option(
        299, "side of the picture the image encoder sees, in pixels", least=16
    )
    damsm_cached_views: int = option(
        0,
        "views of each training picture (crops and flips) whose Inception "
        "features are kept on disk for encoder training; 0: features are "
        "computed at every step from fresh views",
        least=0,
        most=64,
    )

    # DAMSM: Eq. 7-14.
    text_training: str = option(
        "damsm",
        "what the encoders are trained by: the DAMSM loss (Eq. 14), or the "
        "joint embedding of Reed et al. 2016 (Table 2: no DAMSM)",
        choices=("damsm", "joint_embedding"),
    )
    damsm_batch_size: int = option(
        50, "pairs in a batch of encoder training (M)", least=2
    )
    damsm_gamma1: float = option(
        5.0, "sharpness of a word's attention over regions (Eq. 9)", least=0
    )
    damsm_gamma2: float = option(
        5.0, "weight of the best matching words (Eq. 10)", least=1e-6
    )
    damsm_gamma3: float = option(
        10.0, "sharpness of the match over the batch (Eq. 11)", least=0
    )
    damsm_same_class_mask: bool = option(
        False,
        "leave pairs of one class out of each other's mismatches (released "
        "code)",
    )
    word_score: str = option(
        "paper",
        "Eq. 10 as printed, or without its 1/gamma2 as in the released code",
        choices=("paper", "released"),
    )
    damsm_learning_rate: float = option(
        2e-3, "Adam's step for the encoders, at the start", least=0
    )
    damsm_learning_rate_decay: float = option(
        0.98,
        "factor on the encoders' learning rate after each epoch, down to a "
        "tenth",
        least=0.1,
        most=1.0,
    )
    damsm_dropout: float = option(
        0.5, "share of each word embedding dropped", least=0, most=0.95
    )
    text_encoder_clip: float = option(
        0.25, "greatest norm of the text encoder's gradient", least=1e-6
    )

    # GAN: Eq. 3-5.
    discriminator: str = option(
        "paper",
        "what judges images: the paper's discriminators, or, for the last "
        "stage, one on fixed maps of the image encoder (Sauer et al., "
        "Projected GANs, 2021), which needs far fewer steps",
        choices=tuple(DISCRIMINATORS),
    )
    discriminator_stages: str = option(
        "all",
        "which stages' images are judged, each by a discriminator of its own: "
        "all, or the last; the other stages then make no image",
        choices=("all", "last"),
    )
    batch_size: int = option(
        20, "pictures in a batch of GAN training, over all replicas", least=1
    )
    damsm_lambda: float = option(
        5.0, "weight of the DAMSM loss in the generator's (Eq. 3)", least=0
    )
    damsm_ramp_steps: int = option(
        0,
        "steps over which the weight of the DAMSM loss rises linearly from 0 "
        "to --damsm_lambda; 0: it is the same from the start (paper)",
        least=0,
    )
    damsm_stages: str = option(
        "last",
        "which stages' pictures the generator's DAMSM loss is of: the last "
        "one, or all, summed",
        choices=("last", "all"),
    )
    finetune_damsm: bool = option(
        False,
        "train the encoders on with the GAN, on the real pictures of its "
        "batches, at a tenth of --damsm_learning_rate",
    )
    gan_loss_scale: str = option(
        "paper",
        "Eq. 4 as printed, or without its 1/2 as in the released code",
        choices=("paper", "released"),
    )
    gan_mismatched_pairs: bool = option(
        False,
        "show discriminators real pictures with another's caption, too "
        "(released code)",
    )
    gan_learning_rate: float = option(
        2e-4, "Adam's step for the generator", least=0
    )
    discriminator_learning_rate: float = option(
        2e-4, "Adam's step for the discriminators", least=0
    )
    discriminator_augmentation: bool = option(
        False,
        "shift and cut the discriminators' pictures, real and generated alike "
        "(DiffAugment): for small data sets",
    )
    ema_decay: float = option(
        0.999,
        "decay of the generator's moving average",
        least=0,
        most=0.999999,
    )
    ema_warmup: bool = option(
        False, "let the moving average forget faster in the first steps"
    )
    condition_noise: bool = option(
        True,
        "draw the conditioning noise eps in sampling, too (released code); "
        "otherwise the mean is used",
    )

    # How to compute.
    precision: str = option(
        "float32",
        "number format of the networks",
        choices=("float32", "mixed_bfloat16", "mixed_float16"),
    )
    jit_compile: bool = option(False, "compile the training steps by XLA")
    distribution: str = option(
        "auto",
        "devices to train on: auto takes every GPU, or the CPU; multi_worker "
        "joins the hosts that TF_CONFIG names, over the network",
        choices=("auto", "one_device", "mirrored", "multi_worker"),
        may_change=True,
    )
    virtual_devices: int = option(
        0,
        "split the CPU into so many devices, to try several replicas",
        least=0,
        most=64,
        may_change=True,
    )

    intra_op_threads: int = option(
        0,
        "threads that share one operation; 0: TensorFlow's choice, one for "
        "each core; small networks train faster with 1",
        least=0,
        may_change=True,
    )

    # What to write, and when.
    log_interval: int = option(
        50, "steps between two reports", least=1, may_change=True
    )
    sample_interval: int = option(
        500, "steps between two sample grids", least=1, may_change=True
    )
    checkpoint_interval: int = option(
        500,
        "steps between two checkpoints of the GAN",
        least=1,
        may_change=True,
    )
    evaluation_interval: int = option(
        1000,
        "steps of the GAN between two scorings of generated pictures",
        least=1,
        may_change=True,
    )
    evaluation_images: int = option(
        1000,
        "pictures of the test split that scorings during training use",
        least=100,
        may_change=True,
    )
    keep_checkpoints: int = option(
        3, "last checkpoints to keep", least=1, may_change=True
    )

    def __post_init__(self):
        for field in dataclasses.fields(self):
            check_option(field, getattr(self, field.name))
        _check_combinations(self)

    @property
    def image_sizes(self) -> tuple[int, ...]:
        """Sides of the pictures, one a stage, in pixels."""
        return tuple(self.base_size * 2**i for i in range(self.num_stages))

    def save(self, workdir: str, versions: dict[str, str]) -> None:
        """Writes config.json: every field, and the versions in use."""
        fields = {**dataclasses.asdict(self), "versions": versions}
        path = os.path.join(workdir, CONFIG_FILE)
        with replacing(path) as file:
            json.dump(fields, file, indent=2)

    @classmethod
    def load(cls, workdir: str) -> "Config":
        """The configuration that a workdir was made with.

        Raises:
          UserError: there is no config.json, or it is not one of ours.
        """
        path = os.path.join(workdir, CONFIG_FILE)
        try:
            with open(path, encoding="utf-8") as file:
                fields = json.load(file)
        except FileNotFoundError:
            raise UserError(
                f"a workdir holds a {CONFIG_FILE}; found none in {workdir!r}; "
                "name the --workdir of a training run"
            ) from None
        except OSError as error:
            raise UserError(f"{path} must be a file to read; {error}") from None
        except ValueError as error:
            raise UserError(f"{path} is not valid JSON: {error}") from None
        if not isinstance(fields, dict):
            raise UserError(
                f"{path} must hold the fields of a configuration; received "
                f"{fields!r}; name the --workdir of a training run"
            )
        fields.pop("versions", None)
        known = {field.name for field in dataclasses.fields(cls)}
        if unknown := sorted(set(fields) - known):
            raise UserError(
                f"{path} has fields that this version does not know: "
                f"{', '.join(unknown)}; use the version that wrote it"
            )
        return dataclasses.replace(cls(**fields), workdir=workdir)

    def differences(self, other: "Config") -> list[str]:
        """Lines `name: ours, other's` of fields that must not change."""
        return [
            f"{field.name}: {getattr(other, field.name)!r} there, "
            f"{getattr(self, field.name)!r} here"
            for field in dataclasses.fields(self)
            if not field.metadata["may_change"]
            and getattr(self, field.name) != getattr(other, field.name)
        ]


def _check_combinations(config: Config) -> None:
    quarter = config.base_size // 4
    if config.base_size % 4 or quarter & (quarter - 1):
        raise UserError(
            "--base_size must be 4 times a power of two (the first map is 4 "
            f"x 4 and doubles); received {config.base_size}; 64 is the paper's"
        )
    if config.batch_size < 2:
        raise UserError(
            "--batch_size must be at least 2, for batch normalization and for "
            "the DAMSM loss, which compares the pairs of a batch; received "
            f"{config.batch_size}"
        )
    if config.feature_size % 2:
        raise UserError(
            "--feature_size must be even (half of it for each direction of "
            f"the LSTM); received {config.feature_size}"
        )
    if config.text_training == "joint_embedding" and config.damsm_lambda:
        raise UserError(
            "--damsm_lambda must be 0 with --text_training=joint_embedding, "
            "whose encoders know no DAMSM loss; received "
            f"{config.damsm_lambda}; add --damsm_lambda=0"
        )
    if config.discriminator_stages == "last" and config.damsm_stages == "all":
        raise UserError(
            "--damsm_stages must be last with --discriminator_stages=last, "
            "where only the last stage makes an image; received 'all'"
        )
    _check_image_encoder(config)


def _check_image_encoder(config: Config) -> None:
    if config.image_encoder == "inception_v3":
        if config.image_encoder_size < 75:
            raise UserError(
                "--image_encoder_size must be at least 75 for inception_v3; "
                f"received {config.image_encoder_size}"
            )
    elif config.damsm_cached_views:
        raise UserError(
            "--damsm_cached_views must be 0 with --image_encoder=small_cnn, "
            "whose features change as it trains; received "
            f"{config.damsm_cached_views}"
        )
    if (
        config.discriminator == "projected"
        and config.finetune_damsm
        and config.image_encoder == "small_cnn"
    ):
        raise UserError(
            "--finetune_damsm must be off with --discriminator=projected and "
            "--image_encoder=small_cnn: the discriminator reads that network's "
            "maps, which must stay as they are; received --finetune_damsm"
        )
