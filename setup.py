# SPDX-License-Identifier: MIT
"""The C module: all that stands in tpool/csrc.  The rest is in pyproject.toml."""

from glob import glob

from setuptools import Extension, setup

CSRC = "tpool/csrc"

setup(
    ext_modules=[
        Extension(
            "tpool._core",
            sources=sorted(glob(f"{CSRC}/**/*.c", recursive=True)),
            depends=sorted(glob(f"{CSRC}/**/*.h", recursive=True)),
            include_dirs=[CSRC],
            extra_compile_args=[
                *("-std=c11", "-UNDEBUG", "-O2", "-fvisibility=hidden"),
                *("-Wall", "-Wextra"),
                *("-Wno-missing-field-initializers", "-Wno-cast-function-type"),
            ],
            extra_link_args=["-pthread"],
        )
    ]
)
