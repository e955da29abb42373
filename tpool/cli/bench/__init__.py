# SPDX-License-Identifier: MIT
"""`tpool bench`: a sweep of polling bounds and of work, and what it tells."""
