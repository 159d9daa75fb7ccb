"""Tests of attngan_tf.evaluation.held_out.HeldOut, without networks."""

import numpy as np
import pytest

from attngan_tf.data.vocabulary import Vocabulary
from attngan_tf.errors import UserError
from attngan_tf.evaluation.held_out import HeldOut


class Rows:
    """Records without pictures."""

    def __init__(self, class_ids, captions=2):
        self.rows = [
            {
                "class_id": k,
                "captions": [f"bird {i} {j}".encode() for j in range(captions)],
            }
            for i, k in enumerate(class_ids)
        ]

    def __len__(self):
        return len(self.rows)

    def row(self, place):
        return self.rows[place]


@pytest.mark.parametrize(
    ("class_ids", "candidates"),
    [
        ([0, 0, 1, 2], 5),  # class 0 has four captions of others
        ([7, 7, 7], 5),  # one class: pictures are their own
        (range(60), 100),
    ],
)
def test_candidates_are_as_many_as_there_are(class_ids, candidates):
    held_out = HeldOut(
        records=Rows(class_ids),
        vocabulary=Vocabulary.build(["bird"]),
        words_num=3,
        count=1000,
    )
    assert held_out.candidates == candidates
    rows = held_out.caption_rows(12)
    features = np.random.default_rng(0).normal(size=(len(held_out.owners), 8))
    score = held_out.r_precision(features[rows], features, rows)
    assert (score.mean, score.n) == (100, 12)


def test_a_split_of_one_picture_is_refused():
    with pytest.raises(UserError, match="at least 2 images; received 1"):
        HeldOut(
            records=Rows([0]),
            vocabulary=Vocabulary.build(["bird"]),
            words_num=3,
            count=1000,
        )
