"""Captions of many languages, from files to an exported vocabulary."""

import dataclasses

import pytest
import tensorflow as tf

from attngan_tf.config import Config
from attngan_tf.data import catalog, prepared_data
from attngan_tf.data.vocabulary import Vocabulary

CAPTIONS = {
    "c.Owl/o1": "un été l'oiseau",
    "c.Owl/o2": "красная птица",
    "a.Gull/g1": "طائر أحمر",
    "a.Gull/g2": "लाल चिड़िया",
    "b.Wren/w1": "红色的鸟",
    "b.Wren/w2": "นกสีแดง",
}


@pytest.fixture
def opened(raw_folder, tmp_path):
    """Prepares and opens a folder of six languages with a tokenizer."""
    for name, caption in CAPTIONS.items():
        raw_folder.write(f"text/{name}.txt", f"{caption}\nbird\n")

    def data(tokenizer):
        config = Config(
            dataset="folder",
            data_dir=str(raw_folder.root),
            prepared_dir=str(tmp_path / "prepared"),
            tokenizer=tokenizer,
        )
        builder = catalog.open_configured(config)
        report = catalog.prepare(builder)
        return prepared_data.read_data(builder), report

    return data


def test_each_tokenizer_has_its_own_prepared_data(opened):
    data, report = opened("ascii")
    assert data.vocabulary.words == ["<end>", "bird", "l", "oiseau", "t", "un"]
    assert report.captions == {"train": 4, "test": 3}
    left_out = "captions without a word left out"
    shortened = (
        "captions with letters that --tokenizer=ascii leaves out (unicode "
        "does not)"
    )
    assert report.notes[shortened] == ["text/c.Owl/o1.txt line 1"]
    assert len(report.notes[left_out]) == 5

    data, report = opened("unicode")
    assert report.captions == {"train": 8, "test": 4}
    assert report.notes == {}
    captions = list(CAPTIONS.values())
    assert data.vocabulary.unknown_words(captions) == []
    assert data.vocabulary.known_fraction(captions) == 1
    assert {"été", "птица", "红", "चिड\u093cिया"} <= set(data.vocabulary.words)
    assert data.vocabulary.unknown_words(["Птицы, ÉTÉ"]) == ["птицы"]


def test_an_exported_vocabulary_knows_the_same_words(opened, tmp_path):
    folder = str(tmp_path)
    opened("unicode")[0].vocabulary.save(folder)
    vocabulary = Vocabulary.load(folder, "unicode")
    module = tf.Module()
    module.table = vocabulary.ids_table
    captions = [caption.upper() for caption in CAPTIONS.values()]
    encode = tf.function(
        lambda captions: vocabulary.encode(captions, 9),
        input_signature=[tf.TensorSpec([None], tf.string)],
    )
    tf.saved_model.save(module, f"{folder}/saved", {"encode": encode})
    loaded = tf.saved_model.load(f"{folder}/saved").signatures["encode"]
    ids, lengths = vocabulary.encode(tf.constant(captions), 9)
    found = loaded(tf.constant(captions))
    assert ids.numpy().tolist() == found["output_0"].numpy().tolist()
    assert lengths.numpy().tolist() == [4, 2, 2, 2, 4, 6]
    assert 0 not in ids.numpy()[:, :2]


def test_a_workdir_keeps_its_tokenizer(tmp_path):
    config = Config(workdir=str(tmp_path), tokenizer="unicode")
    config.save(str(tmp_path), {})
    assert Config.load(str(tmp_path)) == config
    other = dataclasses.replace(config, tokenizer="ascii")
    assert other.differences(config) == [
        "tokenizer: 'unicode' there, 'ascii' here"
    ]
