"""Sizes of the published networks, and tiny ones for quick tests."""

CUB = {
    "gf": 32,
    "df": 64,
    "z_size": 100,
    "condition_size": 100,
    "residual_blocks": 2,
    "feature_size": 256,
    "embedding_size": 300,
    "vocabulary_size": 5450,
    "trunk_width": 1.0,
    "trunk_size": 299,
}
COCO = CUB | {
    "gf": 48,
    "df": 96,
    "residual_blocks": 3,
    "vocabulary_size": 27297,
}
TINY = {
    "gf": 4,
    "df": 4,
    "z_size": 8,
    "condition_size": 6,
    "residual_blocks": 1,
    "feature_size": 16,
    "embedding_size": 8,
    "vocabulary_size": 20,
    "trunk_width": 1 / 16,
    "trunk_size": 299,
}

# Keyword arguments of `train_step.train_step`: the released flags.
CUB_LOSSES = {"gamma1": 4.0, "gamma2": 5.0, "gamma3": 10.0, "damsm_lambda": 5.0}
COCO_LOSSES = CUB_LOSSES | {"damsm_lambda": 50.0}
# AttnDCGAN's lambda is 1.
DCGAN_LOSSES = CUB_LOSSES | {"damsm_lambda": 1.0}
