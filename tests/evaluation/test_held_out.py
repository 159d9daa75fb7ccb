"""Held-out captions and their candidates, without networks."""

import numpy as np
import pytest

from attngan_tf.data.vocabulary import Vocabulary
from attngan_tf.errors import UserError
from attngan_tf.evaluation.held_out import HeldOut


class Rows:
    """Records without images."""

    split = "test"

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

    def row(self, index):
        return self.rows[index]


def held_out(class_ids):
    return HeldOut(
        records=Rows(class_ids),
        vocabulary=Vocabulary.build(["bird"]),
        words_num=3,
        count=1000,
    )


@pytest.mark.parametrize(
    ("class_ids", "candidates"),
    [
        ([0, 0, 1, 2], 5),  # class 0 has four captions of others
        ([7, 7, 7], 5),  # one class: each image is its own group
        (range(60), 100),
    ],
)
def test_candidates_are_limited_by_the_split(class_ids, candidates):
    found = held_out(class_ids)
    assert found.candidates == candidates
    rows = found.caption_rows(12)
    features = np.random.default_rng(0).normal(size=(len(found.owners), 8))
    score = found.r_precision(features[rows], features, rows)
    assert (score.mean, score.n) == (100, 12)


def test_captions_are_taken_in_turns():
    found = held_out(range(3))
    rows = found.caption_rows(8)
    lines = [found.lines[i] for i in rows]
    first, second = ([f"bird {i} {j}" for i in range(3)] for j in (0, 1))
    assert lines == [*first, *second, *first[:2]]
    assert found.owners[rows].tolist() == [0, 1, 2, 0, 1, 2, 0, 1]


def test_a_split_of_one_image_is_rejected():
    with pytest.raises(UserError, match=r"at least 2 images .* received 1"):
        held_out([0])
