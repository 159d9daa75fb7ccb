"""Published scores of AttnGAN and of later models, 30,000 pictures each."""

from collections.abc import Mapping
from typing import NamedTuple

from attngan_tf.config import Config

N = 30_000
PAPER = "Xu et al., CVPR 2018, Table 2 (the epoch of the best Inception score)"
FID = "FID by the authors of DM-GAN (github.com/MinfengZhu/DM-GAN)"
USERS = "github.com/taoxugit/AttnGAN/issues/17 and other users' reports"
TISE = "Dinh et al., ECCV 2022 (TISE, arXiv 2112.01398)"
DM_GAN = "Zhu et al., CVPR 2019 (DM-GAN, arXiv 1904.01310)"
DF_GAN = "Tao et al., CVPR 2022 (DF-GAN, arXiv 2008.05865)"


class Published(NamedTuple):
    """Scores of a model.

    Fields:
      name: of the model.
      dataset: that it was trained and scored on.
      num_stages: of AttnGAN; 3 (256 x 256 pictures) for other models.
      damsm_lambda: Eq. 3; None: of another model, any lambda is beside it.
      scores: texts by the scores' names in metrics.jsonl.
      source: who published them.
    """

    name: str
    dataset: str
    num_stages: int
    damsm_lambda: float | None
    scores: Mapping[str, str]
    source: str

    @property
    def side(self) -> int:
        """Of the scored pictures, in pixels."""
        return 64 * 2 ** (self.num_stages - 1)

    def belongs_to(self, config: Config) -> bool:
        """Whether a run is of the same data set, lambda and stages.

        Without DAMSM, the paper's text encoder is trained by another loss.
        """
        if self.damsm_lambda == 0 and config.text_training == "damsm":
            return False
        return (
            config.generator == "attngan"
            and config.attention == "words"
            and config.dataset == self.dataset
            and config.num_stages == self.num_stages
            and self.damsm_lambda in (None, config.damsm_lambda)
        )


def _attngan1(name: str, damsm_lambda: float, score: str, precision: str):
    scores = {"inception_score": score, "r_precision": precision}
    return Published(f"AttnGAN1, {name}", "cub", 2, damsm_lambda, scores, PAPER)


PUBLISHED = (
    _attngan1("no DAMSM", 0, "3.98 +- 0.04", "10.37 +- 5.88"),
    _attngan1("lambda 0.1", 0.1, "4.19 +- 0.06", "16.55 +- 4.83"),
    _attngan1("lambda 1", 1, "4.35 +- 0.05", "34.96 +- 4.02"),
    _attngan1("lambda 5", 5, "4.35 +- 0.04", "58.65 +- 5.41"),
    _attngan1("lambda 10", 10, "4.29 +- 0.05", "63.87 +- 4.85"),
    Published(
        "AttnGAN2, lambda 5",
        "cub",
        3,
        5,
        {
            "inception_score": "4.36 +- 0.03",
            "r_precision": "67.82 +- 4.43",
            "frechet": "23.98 (PyTorch), 14.01 (TensorFlow)",
        },
        f"{PAPER}; {FID}",
    ),
    Published(
        "AttnGAN2, lambda 50",
        "coco",
        3,
        50,
        {
            "inception_score": "25.89 +- 0.47",
            "r_precision": "85.47 +- 3.69",
            "frechet": "35.49 (PyTorch), 29.53 (TensorFlow)",
        },
        f"{PAPER}; {FID}",
    ),
    Published(
        "AttnGAN2, released weights, scored by others",
        "cub",
        3,
        5,
        {
            "inception_score": "4.15 to 4.17",
            "r_precision": "62 to 65",
            "frechet": "24.27",
        },
        f"{USERS}; FID: {TISE}",
    ),
    Published(
        "AttnGAN2, released weights, scored by others",
        "coco",
        3,
        50,
        {"inception_score": "23.45 to 23.91", "frechet": "36.90"},
        f"{USERS}; FID: {TISE}",
    ),
    Published(
        "AttnGAN++ (spectral norm in D)",
        "cub",
        3,
        None,
        {"r_precision": "77.31", "frechet": "15.01"},
        TISE,
    ),
    Published(
        "AttnGAN++ (spectral norm in D)",
        "coco",
        3,
        None,
        {"frechet": "26.58"},
        TISE,
    ),
    Published(
        "DM-GAN",
        "cub",
        3,
        None,
        {
            "inception_score": "4.75 +- 0.07",
            "r_precision": "72.31 +- 0.91",
            "frechet": "16.09",
        },
        DM_GAN,
    ),
    Published(
        "DM-GAN",
        "coco",
        3,
        None,
        {
            "inception_score": "30.49 +- 0.57",
            "r_precision": "88.56 +- 0.28",
            "frechet": "32.64",
        },
        DM_GAN,
    ),
    Published(
        "DF-GAN",
        "cub",
        3,
        None,
        {"inception_score": "5.10", "frechet": "14.81"},
        DF_GAN,
    ),
    Published("DF-GAN", "coco", 3, None, {"frechet": "19.32"}, DF_GAN),
)
