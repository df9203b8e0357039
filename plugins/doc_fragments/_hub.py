# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This doc fragment is PRIVATE to the collection.

from __future__ import annotations


class ModuleDocFragment:
    """Where the modules that read or fetch a model ask for it."""

    DOCUMENTATION = r"""
options:
  token:
    description:
      - Access token for gated and private repositories.
    type: str
  endpoint:
    description:
      - Address of the hub, by default that of E(HF_ENDPOINT) or Hugging Face's own.
    type: str
  mirror:
    description:
      - Directory on this host that is asked instead of the hub. It holds models in directories with records, as
        M(gpuserve.inference.model_fetch) makes them.
    type: path
"""
