# SPDX-License-Identifier: MIT
"""`tpool measure`: the main job."""
