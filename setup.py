"""The package: pip install -e . (add [test] to run the tests)."""

import setuptools

setuptools.setup(
    name="attngan_tf",
    version="0.1.0",
    description="AttnGAN in TensorFlow: text to pictures, trained and served",
    license="MIT",
    python_requires=">=3.10,<3.13",
    packages=setuptools.find_packages(include=["attngan_tf*", "export*"]),
    # Tested with the lowest and the highest of each range.
    install_requires=[
        "absl-py>=2.1",
        # tensorflow-datasets imports it through etils without asking for it.
        "importlib_resources>=6",
        "keras>=3.13,<3.16",
        "numpy>=2.0,<3",
        "pillow>=11",
        "tensorboard>=2.20",
        "tensorflow>=2.21,<2.22",
        "tensorflow-datasets>=4.9.9,<4.10",
        "tensorflow-serving-api>=2.19,<2.22",
        "tqdm>=4.66",
    ],
    extras_require={
        "test": ["hypothesis>=6.100", "pytest>=8.3", "ruff==0.17.5"],
        "convert": ["torch>=2.6"],
    },
)
