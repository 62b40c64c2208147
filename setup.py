"""Installs the package: ``pip install .``; exact versions of everything stand in requirements.lock."""

from pathlib import Path

from setuptools import find_packages, setup

VERSION = {}
exec((Path(__file__).parent / "landmark_spark" / "__init__.py").read_text(encoding="utf-8"), VERSION)

DATA = ("jinja", "js", "css", "svg", "yaml", "json", "csv", "txt", "md")

setup(
    name="landmark-spark",
    version=VERSION["__version__"],
    description="Landmark recognition in millions of photos: a Spark batch job from csv files of URLs to a submission",
    long_description=(Path(__file__).parent / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    license_files=["LICENSE"],
    classifiers=[
        "Development Status :: 4 - Beta",
        "Environment :: Console",
        "Environment :: GPU :: NVIDIA CUDA",
        "Intended Audience :: Science/Research",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3.11",
        "Topic :: Scientific/Engineering :: Image Recognition",
        "Typing :: Typed",
    ],
    python_requires=">=3.11,<3.12",
    packages=find_packages(include=["landmark_spark", "landmark_spark.*"]),
    # Whatever lies beside the code and is read by it: the report's page and scripts, tables of numbers.
    package_data={"landmark_spark": ["py.typed", *(f"**/*.{each}" for each in DATA)]},
    install_requires=[
        "pyspark>=4.0,<4.1",
        "tensorflow>=2.21,<2.22",
        "keras>=3.15,<4",
        "numpy>=1.26,<2",  # petastorm needs pyarrow < 15, and that numpy < 2
        "pandas>=2.2,<3",
        "pyarrow>=14,<15",
        "petastorm==0.12.1",  # 0.13.1 silently drops rows in its thread pool
        "opencv-python>=4.11,<4.12",
        "scikit-image>=0.26",
        "pillow>=13",  # 12.0 corrupts its heap on a lossless JPEG that is decoded at a DCT scale
        "requests>=2.32",
        "certifi",
        "urllib3>=2.6",  # bounds what one read of a compressed body unpacks
        "pyyaml>=6",
        "fsspec>=2024.2",
        "h5py>=3.11",
        "jinja2>=3.1",
        "matplotlib>=3.9",
        "rich>=14.1",
    ],
    extras_require={"weights": ["onnx>=1.17"], "s3": ["s3fs>=2024.2"], "gs": ["gcsfs>=2024.2"]},
    entry_points={"console_scripts": ["landmark-spark = landmark_spark.cli:main"]},
)
