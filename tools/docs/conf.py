# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How the documentation becomes a site. It asks no network: where Ansible's pages are stands below."""

import zlib
from pathlib import Path

project = "gpuserve.inference"
copyright = "gpuserve contributors"
title = "gpuserve.inference"
html_short_title = "gpuserve.inference"
extensions = ["sphinx.ext.intersphinx", "sphinx_antsibull_ext"]

# the labels of Ansible's documentation that the generated pages lead to
ANSIBLE = {
    "action_plugins": "plugins/action.html",
    "ansible_configuration_settings": "reference_appendices/config.html",
    "common_return_values": "reference_appendices/common_return_values.html",
}
_inventory = Path(__file__).parent / "ansible.inv"
_rows = "".join(f"{label} std:label -1 {page} {label.replace('_', ' ')}\n" for label, page in ANSIBLE.items())
_inventory.write_bytes(
    b"# Sphinx inventory version 2\n# Project: Ansible\n# Version: \n"
    b"# The remainder of this file is compressed using zlib.\n" + zlib.compress(_rows.encode())
)
intersphinx_mapping = {"ansible": ("https://docs.ansible.com/ansible-core/devel/", str(_inventory))}
pygments_style = "ansible"
highlight_language = "YAML+Jinja"
html_theme = "sphinx_ansible_theme"
html_show_sphinx = False
html_use_smartypants = True
html_theme_options = {
    "display_version": False,
    "vcs_pageview_mode": "edit",
    "documentation_home_url": "index.html",
    "topbar_links": {},
}
templates_path: list[str] = []
exclude_patterns: list[str] = []
nitpicky = False
