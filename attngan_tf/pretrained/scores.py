"""Published scores of AttnGAN and of later models, each of 30,000 images."""

from collections.abc import Mapping
from typing import NamedTuple

from attngan_tf.config import Config

N = 30_000
PAPER = "Xu et al., CVPR 2018, Table 2 (the epoch of the best Inception score)"
FID = "FID by the authors of DM-GAN (github.com/MinfengZhu/DM-GAN)"
USERS = "github.com/taoxugit/AttnGAN/issues/17 and other users' reports"
TISE = "Dinh et al., ECCV 2022 (TISE, arXiv 2112.01398)"
OTHERS = f"{USERS}; FID: {TISE}"
DM_GAN = "Zhu et al., CVPR 2019 (DM-GAN, arXiv 1904.01310)"
DF_GAN = "Tao et al., CVPR 2022 (DF-GAN, arXiv 2008.05865)"


class Published(NamedTuple):
    """Scores of a model.

    Attributes:
      name: name of the model.
      dataset: the data set of training and scoring.
      source: who published them.
      scores: the scores as text, by their names in metrics.jsonl.
      damsm_lambda: Eq. 3's lambda, or None for other models, which are shown
        beside runs of any lambda.
      num_stages: stages of AttnGAN; 3 (256 x 256 images) for other models.
    """

    name: str
    dataset: str
    source: str
    scores: Mapping[str, str]
    damsm_lambda: float | None = None
    num_stages: int = 3

    @property
    def side(self) -> int:
        """Side of the scored images, in pixels."""
        return 64 * 2 ** (self.num_stages - 1)

    def belongs_to(self, config: Config) -> bool:
        """Whether a run has the same data set, lambda and stages.

        Without DAMSM, the paper's text encoder is trained with another loss.
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


def _entry(
    name: str,
    dataset: str,
    source: str,
    inception_score: str = "",
    r_precision: str = "",
    frechet: str = "",
    **model,
) -> Published:
    scores = {
        "inception_score": inception_score,
        "r_precision": r_precision,
        "frechet": frechet,
    }
    scores = {name: text for name, text in scores.items() if text}
    return Published(name, dataset, source, scores, **model)


_RERUN = "AttnGAN2, released weights, scored by others"
_SPECTRAL = "AttnGAN++ (spectral norm in D)"
PUBLISHED = (
    *(
        _entry(
            f"AttnGAN1, {name}",
            "cub",
            PAPER,
            *scores,
            damsm_lambda=damsm_lambda,
            num_stages=2,
        )
        for name, damsm_lambda, *scores in [
            ("no DAMSM", 0, "3.98 +- 0.04", "10.37 +- 5.88"),
            ("lambda 0.1", 0.1, "4.19 +- 0.06", "16.55 +- 4.83"),
            ("lambda 1", 1, "4.35 +- 0.05", "34.96 +- 4.02"),
            ("lambda 5", 5, "4.35 +- 0.04", "58.65 +- 5.41"),
            ("lambda 10", 10, "4.29 +- 0.05", "63.87 +- 4.85"),
        ]
    ),
    _entry(
        "AttnGAN2, lambda 5",
        "cub",
        f"{PAPER}; {FID}",
        "4.36 +- 0.03",
        "67.82 +- 4.43",
        "23.98 (PyTorch), 14.01 (TensorFlow)",
        damsm_lambda=5,
    ),
    _entry(
        "AttnGAN2, lambda 50",
        "coco",
        f"{PAPER}; {FID}",
        "25.89 +- 0.47",
        "85.47 +- 3.69",
        "35.49 (PyTorch), 29.53 (TensorFlow)",
        damsm_lambda=50,
    ),
    _entry(
        _RERUN,
        "cub",
        OTHERS,
        "4.15 to 4.17",
        "62 to 65",
        "24.27",
        damsm_lambda=5,
    ),
    _entry(
        _RERUN,
        "coco",
        OTHERS,
        inception_score="23.45 to 23.91",
        frechet="36.90",
        damsm_lambda=50,
    ),
    _entry(_SPECTRAL, "cub", TISE, r_precision="77.31", frechet="15.01"),
    _entry(_SPECTRAL, "coco", TISE, frechet="26.58"),
    _entry("DM-GAN", "cub", DM_GAN, "4.75 +- 0.07", "72.31 +- 0.91", "16.09"),
    _entry("DM-GAN", "coco", DM_GAN, "30.49 +- 0.57", "88.56 +- 0.28", "32.64"),
    _entry("DF-GAN", "cub", DF_GAN, "5.10", frechet="14.81"),
    _entry("DF-GAN", "coco", DF_GAN, frechet="19.32"),
)
