"""Published scores of AttnGAN, each of 30,000 images."""

from collections.abc import Mapping
from typing import NamedTuple

from attngan_tf.config import Config

N = 30_000
PAPER = "Xu et al., CVPR 2018, Table 2 (the epoch of the best Inception score)"
FID = "FID by the authors of DM-GAN (github.com/MinfengZhu/DM-GAN)"
OTHERS = (
    "github.com/taoxugit/AttnGAN/issues/17 and other users' reports; FID: Dinh "
    "et al., ECCV 2022 (TISE, arXiv 2112.01398)"
)


class Published(NamedTuple):
    """Scores of a model.

    Attributes:
      name: name of the model.
      dataset: the data set of training and scoring.
      damsm_lambda: Eq. 3's lambda.
      source: who published them.
      scores: the scores as text, by their names in metrics.jsonl.
      num_stages: stages of the generator.
    """

    name: str
    dataset: str
    damsm_lambda: float
    source: str
    scores: Mapping[str, str]
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
            and config.damsm_lambda == self.damsm_lambda
        )


def _scores(
    inception_score: str, r_precision: str = "", frechet: str = ""
) -> dict[str, str]:
    scores = {
        "inception_score": inception_score,
        "r_precision": r_precision,
        "frechet": frechet,
    }
    return {name: text for name, text in scores.items() if text}


_RERUN = "AttnGAN2, released weights, scored by others"
PUBLISHED = (
    *(
        Published(
            f"AttnGAN1, {name}", "cub", damsm_lambda, PAPER, _scores(*scores), 2
        )
        for name, damsm_lambda, *scores in [
            ("no DAMSM", 0, "3.98 +- 0.04", "10.37 +- 5.88"),
            ("lambda 0.1", 0.1, "4.19 +- 0.06", "16.55 +- 4.83"),
            ("lambda 1", 1, "4.35 +- 0.05", "34.96 +- 4.02"),
            ("lambda 5", 5, "4.35 +- 0.04", "58.65 +- 5.41"),
            ("lambda 10", 10, "4.29 +- 0.05", "63.87 +- 4.85"),
        ]
    ),
    Published(
        "AttnGAN2, lambda 5",
        "cub",
        5,
        f"{PAPER}; {FID}",
        _scores(
            "4.36 +- 0.03",
            "67.82 +- 4.43",
            "23.98 (PyTorch), 14.01 (TensorFlow)",
        ),
    ),
    Published(
        "AttnGAN2, lambda 50",
        "coco",
        50,
        f"{PAPER}; {FID}",
        _scores(
            "25.89 +- 0.47",
            "85.47 +- 3.69",
            "35.49 (PyTorch), 29.53 (TensorFlow)",
        ),
    ),
    Published(
        _RERUN, "cub", 5, OTHERS, _scores("4.15 to 4.17", "62 to 65", "24.27")
    ),
    Published(
        _RERUN, "coco", 50, OTHERS, _scores("23.45 to 23.91", frechet="36.90")
    ),
)
