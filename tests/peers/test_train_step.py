"""What a training step changes, what it leaves, and the order of it."""

import copy

import pytest
import torch

from peers import batches, losses, networks, sizes, train_step

B, T = 3, 5
LENGTHS = torch.tensor([5, 2, 3])


def make_batch(image_sizes=(64, 128, 256)):
    batch = batches.random_batch(sizes.TINY, LENGTHS, T, image_sizes, seed=0)
    return batch | {"class_ids": torch.tensor([1, 2, 1])}


def run(dcgan=False, changes=None, **settings):
    """Networks before and after a step, the average, and the terms."""
    nets = networks.build(sizes.TINY, dcgan=dcgan)
    before = copy.deepcopy(nets)
    average = train_step.parameters(nets.generator)
    batch = make_batch((256,) if dcgan else (64, 128, 256)) | (changes or {})
    settings = sizes.CUB_LOSSES | settings
    terms = train_step.train_step(
        nets, train_step.optimizers(nets), average, batch, **settings
    )
    return before, nets, average, terms


@pytest.fixture(scope="module")
def step():
    return run()


def changed(before, after):
    """Names of the weights and statistics that are not the same."""
    state = after.state_dict()
    return {
        name
        for name, value in before.state_dict().items()
        if not value.equal(state[name])
    }


def test_encoders_stay_and_the_others_move(step):
    before, after, *_ = step
    assert not changed(before.text_encoder, after.text_encoder)
    assert not changed(before.image_encoder, after.image_encoder)
    pairs = zip(
        (before.generator, *before.discriminators),
        (after.generator, *after.discriminators),
        strict=True,
    )
    for old, new in pairs:
        assert changed(old, new) == set(old.state_dict())


def test_batch_norm_moves_once_in_g_and_per_pass_in_d(step):
    _, after, *_ = step
    assert after.generator.h_net1.fc[1].num_batches_tracked == 1
    # D: real and fake, then the generator's; jointly: wrong pairs, too.
    network = after.discriminators[0]
    assert network.img_code_s16[3].num_batches_tracked == 3
    assert network.COND_DNET.jointConv[1].num_batches_tracked == 4


def test_discriminator_step_leaves_the_generator():
    nets = networks.build(sizes.TINY)
    before = copy.deepcopy(nets.generator)
    network = nets.discriminators[0]
    optimizer = train_step.adam(network)
    batch = make_batch()
    words, sentences = nets.text_encoder(batch["token_ids"], LENGTHS)
    fakes = nets.generator(batch["z"], batch["eps"], sentences, words)
    loss = losses.discriminator_loss(
        network, batch["images"][0], fakes.images[0], sentences
    )
    loss.total.backward()
    optimizer.step()
    assert all(value.grad is None for value in nets.generator.parameters())
    weights = nets.generator.state_dict()
    for name, value in before.named_parameters():
        assert value.equal(weights[name]), name


def first_fakes(nets, batch):
    """The first step's pictures, and the text they are drawn from."""
    nets = copy.deepcopy(nets)
    ids = batch["token_ids"]
    with torch.no_grad():
        words, sentences = nets.text_encoder(ids, LENGTHS)
        fakes = nets.generator(
            batch["z"], batch["eps"], sentences, words, ids == 0
        )
    return fakes, words, sentences


def test_generator_goes_through_the_updated_discriminators(step):
    """Its loss is that of Ds after their step, on the same fakes."""
    before, after, _, terms = step
    fakes, _, sentences = first_fakes(before, make_batch())

    def loss(nets):
        network = copy.deepcopy(nets.discriminators[1])
        found = losses.generator_loss(network, fakes.images[1], sentences)
        return found.total.item()

    assert loss(after) == pytest.approx(terms["generator_128/total"], 1e-5)
    assert loss(before) != pytest.approx(loss(after), 1e-4)


def test_damsm_terms_are_of_the_last_pictures_and_classes(step):
    before, _, _, terms = step
    batch = make_batch()
    fakes, words, sentences = first_fakes(before, batch)
    regions, codes = before.image_encoder(fakes.images[-1])
    gammas = {"gamma1": 4.0, "gamma2": 5.0, "gamma3": 10.0}
    classes = batch["class_ids"]
    w = losses.words_loss(regions, words, LENGTHS, classes, **gammas)
    s = losses.sent_loss(codes, sentences, classes, gamma3=10.0)
    for kind, loss in (("words", w), ("sentences", s)):
        for name, value in loss._asdict().items():
            found = terms[f"damsm/{kind}_{name}"]
            assert found == pytest.approx(value.item(), 1e-4)


def test_damsm_loss_reaches_the_generator(step):
    weight = "h_net3.upsample.1.weight"
    without = run(damsm_lambda=0.0)[1].generator.state_dict()[weight]
    assert not without.equal(step[1].generator.state_dict()[weight])


def test_gradients_are_of_the_own_loss(step):
    """The generator's pass adds nothing to the gradients of the Ds."""
    before, after, *_ = step
    batch = make_batch()
    fakes, _, sentences = first_fakes(before, batch)
    network = copy.deepcopy(before.discriminators[1])
    losses.discriminator_loss(
        network, batch["images"][1], fakes.images[1], sentences
    ).total.backward()
    pairs = zip(
        network.parameters(),
        after.discriminators[1].parameters(),
        strict=True,
    )
    for expected, found in pairs:
        torch.testing.assert_close(found.grad, expected.grad)


def test_stale_gradients_have_no_say(step):
    nets = networks.build(sizes.TINY)
    trained = (nets.generator, *nets.discriminators)
    for network in trained:
        for value in network.parameters():
            value.grad = torch.full_like(value, 7.0)
    average = train_step.parameters(nets.generator)
    train_step.train_step(
        nets,
        train_step.optimizers(nets),
        average,
        make_batch(),
        **sizes.CUB_LOSSES,
    )
    expected = (step[1].generator, *step[1].discriminators)
    for network, clean in zip(trained, expected, strict=True):
        state = clean.state_dict()
        for name, value in network.named_parameters():
            torch.testing.assert_close(value.detach(), state[name], msg=name)


def test_terms_and_their_sum(step):
    *_, terms = step
    stages = [f"_{size}" for size in (64, 128, 256)]
    expected = {"generator/kl", "generator/total", "damsm/total"}
    for kind in ("words", "sentences"):
        for way in ("image_to_text", "text_to_image"):
            expected.add(f"damsm/{kind}_{way}")
    for stage in stages:
        for name in ("unconditional", "conditional", "total"):
            expected.add(f"generator{stage}/{name}")
        for name in (*losses.DiscriminatorLoss._fields,):
            expected.add(f"discriminator{stage}/{name}")
    assert set(terms) == expected
    total = terms["generator/kl"] + 5.0 * terms["damsm/total"]
    total += sum(terms[f"generator{stage}/total"] for stage in stages)
    assert terms["generator/total"] == pytest.approx(total)
    damsm = sum(v for k, v in terms.items() if k.startswith("damsm/"))
    assert damsm == pytest.approx(2 * terms["damsm/total"])


def test_first_adam_step_is_the_rate(step):
    """Adam's first step is 2e-4 x gradient / (|gradient| + 1e-8)."""
    before, after, *_ = step
    for old, new in (
        (before.generator, after.generator),
        (before.discriminators[1], after.discriminators[1]),
    ):
        moved = torch.cat(
            [
                (a - b).detach().abs().flatten()
                for a, b in zip(old.parameters(), new.parameters(), strict=True)
            ]
        )
        assert moved.median() == pytest.approx(2e-4, rel=1e-2)
        assert moved.max() <= 2.01e-4


def test_optimizers_have_the_released_settings(step):
    nets = step[1]
    generator, judges = train_step.optimizers(nets)
    for optimizer in (generator, *judges):
        defaults = optimizer.defaults
        assert defaults["lr"] == 2e-4
        assert defaults["betas"] == (0.5, 0.999)
        assert defaults["eps"] == 1e-8
        assert defaults["weight_decay"] == 0


def test_average_follows_the_parameters(step):
    before, after, average, _ = step
    old, new = (dict(x.generator.named_parameters()) for x in (before, after))
    assert set(average) == set(old)
    for name, value in average.items():
        expected = 0.999 * old[name].double() + 0.001 * new[name].double()
        torch.testing.assert_close(value.double(), expected, rtol=0, atol=2e-7)
    name = "h_net1.upsample1.1.weight"
    assert not average[name].equal(old[name].detach())


def test_saved_average_has_live_statistics(step):
    _, after, average, _ = step
    state = train_step.average_state(average, after.generator)
    assert list(state) == list(after.generator.state_dict())
    gamma, mean = "h_net1.fc.1.weight", "h_net1.fc.1.running_mean"
    assert state[gamma].equal(average[gamma])
    assert state[mean].equal(after.generator.h_net1.fc[1].running_mean)


def test_average_by_hand():
    layer = torch.nn.Linear(1, 1)
    average = train_step.parameters(layer)
    start = average["weight"].item()
    layer.weight.data += 10.0
    train_step.update_average(average, layer, decay=0.9)
    train_step.update_average(average, layer, decay=0.9)
    assert average["weight"].item() == pytest.approx(
        start + 10.0 * (1 - 0.9**2), rel=1e-5
    )


def test_same_noise_same_step(step):
    *_, terms = step
    assert run()[3] == pytest.approx(terms, rel=1e-5)
    other = run(changes={"eps": torch.zeros(B, 6)})[3]
    for name in ("generator/total", "discriminator_64/total"):
        assert other[name] != pytest.approx(terms[name], rel=1e-4)


def test_dcgan_step():
    before, after, _, terms = run(dcgan=True, **sizes.DCGAN_LOSSES)
    assert changed(before.generator, after.generator)
    (old,), (new,) = before.discriminators, after.discriminators
    assert changed(old, new) == set(old.state_dict())
    assert "generator_256/unconditional" not in terms
    total = terms["generator_256/conditional"]
    total += terms["generator/kl"] + terms["damsm/total"]
    assert terms["generator/total"] == pytest.approx(total)
