"""The files: their formats, and that the bad ones are what they say."""

import pickle
import zipfile

import pytest
import torch

from peers import bad_files, files, networks, sizes


def generator_state(**options):
    network = networks.generator(sizes.TINY)
    networks.randomize(network, seed=1)
    return files.state(network, **options)


def same(found, expected):
    assert list(found) == list(expected)
    for name, value in expected.items():
        assert found[name].dtype == value.dtype
        assert found[name].equal(value), name


@pytest.mark.parametrize("format", files.FORMATS)
@pytest.mark.parametrize("counters", [False, True])
def test_every_format_comes_back(tmp_path, format, counters):
    state = generator_state(num_batches_tracked=counters)
    path = tmp_path / "netG.pth"
    files.save(state, path, format=format)
    same(files.load(path), state)
    assert zipfile.is_zipfile(path) == (format == "zip")
    tracked = [name for name in state if name.endswith("num_batches_tracked")]
    assert bool(tracked) == counters


@pytest.mark.parametrize("format", files.FORMATS)
@pytest.mark.parametrize("wrapper", [None, "netG", "netG_state_dict"])
def test_wrapper_and_prefix(tmp_path, format, wrapper):
    state = generator_state()
    path = tmp_path / "netG.pth"
    files.save(state, path, format=format, wrapper=wrapper, prefix="module.")
    content = torch.load(path, map_location="cpu", weights_only=True)
    if wrapper is not None:
        assert list(content) == [wrapper]
        content = content[wrapper]
    assert list(content) == ["module." + name for name in state]
    same(files.load(path), state)


def test_unknown_format(tmp_path):
    with pytest.raises(ValueError, match="Received: 'hdf5'"):
        files.save({}, tmp_path / "x.pth", format="hdf5")


def test_python2_file_is_of_a_gpu_with_byte_strings(tmp_path):
    path = tmp_path / "netG.pth"
    files.save(generator_state(), path)
    with pytest.raises(RuntimeError, match="CUDA"):
        torch.load(path, weights_only=True)
    data = path.read_bytes()
    assert b"U\x06cuda:0" in data
    assert b"U\x10ca_net.fc.weight" in data


def test_random_weights_hide_nothing():
    """No statistic or gamma is what it would be by default."""
    for name, value in generator_state().items():
        assert value.std() > 0.02, name
        assert not value.equal(torch.zeros_like(value)), name
        if name.endswith("running_var"):
            assert value.min() > 0.4


@pytest.mark.parametrize("dcgan", [False, True])
def test_published_set(tmp_path, dcgan):
    paths = files.write_published(tmp_path, sizes.TINY, dcgan=dcgan)
    made = networks.build(sizes.TINY, dcgan=dcgan)
    pairs = [
        (paths.text_encoder, made.text_encoder),
        (paths.image_encoder, made.image_encoder),
        (paths.generator, made.generator),
        *zip(paths.discriminators, made.discriminators, strict=True),
    ]
    assert len(pairs) == (4 if dcgan else 6)
    for path, network in pairs:
        state = files.load(path)
        assert list(state) == list(files.state(network))
        missing, unexpected = network.load_state_dict(state, strict=False)
        assert not unexpected
        assert all(name.endswith("num_batches_tracked") for name in missing)
    assert paths.captions.exists()


@pytest.mark.parametrize("format", ["python2", "python3"])
def test_captions(tmp_path, format):
    captions = files.random_captions(30, train=6, test=4, longest=7)
    path = tmp_path / "captions.pickle"
    files.save_captions(captions, path, format=format)
    data = path.read_bytes()
    assert (b"U\x05<end>" in data) == (format == "python2")
    train, test, words, ids = pickle.loads(data, encoding="latin1")
    assert train == captions.train
    assert test == captions.test
    assert (len(train), len(test)) == (6, 4)
    assert all(1 <= len(caption) <= 7 for caption in train + test)
    assert {i for c in train + test for i in c} <= set(range(1, 30))
    assert words == dict(enumerate(captions.words))
    assert ids == {word: i for i, word in words.items()}
    assert words[0] == "<end>"


def test_vocabularies_have_different_words():
    words = files.vocabulary(27297)
    assert len(set(words)) == 27297
    assert all(word.isalpha() and word.islower() for word in words[1:])


@pytest.mark.parametrize("form", bad_files.MALICIOUS_FORMS)
def test_malicious_file_is_refused_by_torch_and_works_else(tmp_path, form):
    path, marker = tmp_path / "netG.pth", tmp_path / "marker"
    bad_files.write_malicious(path, marker, form)
    with pytest.raises(pickle.UnpicklingError, match=r"mkdir|magic number"):
        torch.load(path, weights_only=True)
    assert not marker.exists()
    if form == "pickle":
        pickle.loads(path.read_bytes())
    else:
        torch.load(path, weights_only=False)
    assert marker.exists()


def test_other_bad_files(tmp_path):
    pointer, page = tmp_path / "pointer.pth", tmp_path / "page.pth"
    bad_files.write_lfs_pointer(pointer)
    bad_files.write_html_page(page)
    assert pointer.read_text().startswith("version https://git-lfs")
    assert len(pointer.read_bytes()) < 200
    assert page.read_text().lower().startswith("<!doctype html>")
    for path in (pointer, page):
        with pytest.raises(pickle.UnpicklingError):
            torch.load(path, weights_only=True)
