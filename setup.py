"""The package: pip install -e . (add [test] to run the tests)."""

import pathlib
import re

import setuptools

source = pathlib.Path(__file__).with_name("attngan_tf") / "__init__.py"
version = re.search(r'__version__ = "(.+)"', source.read_text()).group(1)

# The development server, `python -m export.serve`.
serve = ["grpcio>=1.67,<2", "orjson>=3.10,<4", "waitress>=3.0,<4"]

setuptools.setup(
    name="attngan_tf",
    version=version,
    description="AttnGAN in TensorFlow: text to images, trained and served",
    license="MIT",
    python_requires=">=3.10,<3.14",
    packages=setuptools.find_packages(include=["attngan_tf*", "export*"]),
    # Makes pip install -e add the folder to the path. Otherwise, a clone in a
    # folder named attngan_tf hides the package from its parent folder.
    package_dir={"": "."},
    package_data={"export": ["page/*", "deploy/*"]},
    # Tested at both ends: .ci/run installs the newest, .ci/oldest the lower
    # bounds. The upper ones are the next releases that may break something.
    install_requires=[
        "absl-py>=2.1,<3",
        # Keras's weights files; Keras needs it as well.
        "h5py>=3.11,<4",
        # tensorflow-datasets imports it through etils without declaring it.
        "importlib_resources>=6,<8",
        # 3.13.0 prints a FutureWarning of NumPy 2.0 in every command.
        "keras>=3.13.2,<3.16",
        "matplotlib>=3.10,<3.12",
        "numpy>=2.0,<3",
        "pillow>=11,<14",
        "tensorboard>=2.20,<2.22",
        "tensorflow>=2.21,<2.22",
        "tensorflow-datasets>=4.9.9,<4.10",
        # The protos of the warm-up requests in an export.
        "tensorflow-serving-api>=2.19,<2.22",
        "tqdm>=4.66,<5",
    ],
    extras_require={
        "serve": serve,
        "test": [
            *serve,
            "hypothesis>=6.100,<7",
            # The layers of the code, in pyproject.toml.
            "import-linter>=2.6,<3",
            "pytest>=8.3,<10",
            "pytest-xdist>=3.8,<4",
            "pyyaml>=6.0,<7",
            "ruff==0.17.5",
            # Independent computations of scores.
            "scipy>=1.13,<2",
            # The page, in Debian's chromium and chromium-driver.
            "selenium>=4.40,<5",
            # The PyTorch reference of tests/reference/.
            "torch==2.13.0",
        ],
        "convert": ["torch>=2.6,<3"],
        "beam": ["apache-beam>=2.73,<3"],
    },
)
