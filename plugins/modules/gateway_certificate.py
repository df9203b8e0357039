#!/usr/bin/python
# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: gateway_certificate
short_description: Check the gateway's certificate, or make one for a start
version_added: 0.1.0
author: gpuserve contributors (@gpuserve)
description:
  - With O(certificate) and O(key) it looks whether nginx can use them. They are there, belong together and have not
    ended.
  - With O(self_signed) it holds a certificate of its own on the host, signed by itself, with a key that does not leave
    the host. It is made anew long before its end, and where O(names) changed.
  - Where it made one anew, nginx has reloaded when the module returns.
requirements:
  - openssl on the host; without it O(certificate) and O(key) are looked at all the same, but not when they end
extends_documentation_fragment:
  - gpuserve.inference._attributes
  - gpuserve.inference._attributes.no_diff
options:
  certificate:
    description: PEM file with the certificate, and those that it is signed with.
    type: path
  key:
    description: PEM file with its private key.
    type: path
  texts:
    description: What the two files hold, C(certificate) and C(key), where they are on the controller.
    type: dict
  authority:
    description: PEM file with the certificates that other gateways are verified with, to look at alone.
    type: path
  self_signed:
    description: Directory to hold C(self-signed.pem) in, with key and certificate, and C(certificate.pem) for clients.
    type: path
  names:
    description: Host names and addresses that the certificate is for.
    type: list
    elements: str
    default: []
  days:
    description: How long a new certificate is good for.
    type: int
    default: 365
  renew_days:
    description: Days before its end from which on it is made anew.
    type: int
    default: 120
"""

EXAMPLES = r"""
- name: Look at the files of a certificate authority
  gpuserve.inference.gateway_certificate:
    certificate: /etc/ssl/gateway/fullchain.pem
    key: /etc/ssl/gateway/privkey.pem

- name: Hold a certificate of our own
  gpuserve.inference.gateway_certificate:
    self_signed: /etc/gpuserve/gateway/tls
    names:
      - llm.example.com
"""

RETURN = r"""
reason:
  description: Why one was made anew, or would be. Empty where it was good.
  returned: always
  type: str
"""

import time

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.gpuserve.inference.plugins.module_utils import _certificate
from ansible_collections.gpuserve.inference.plugins.module_utils._errors import GpuserveError, InputError
from ansible_collections.gpuserve.inference.plugins.module_utils._nginx import Nginx
from ansible_collections.gpuserve.inference.plugins.module_utils._run import find_sbin


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "certificate": {"type": "path"},
            "key": {"type": "path", "no_log": False},
            "texts": {"type": "dict", "no_log": True},
            "authority": {"type": "path"},
            "self_signed": {"type": "path"},
            "names": {"type": "list", "elements": "str", "default": []},
            "days": {"type": "int", "default": 365},
            "renew_days": {"type": "int", "default": 120},
        },
        required_together=[("certificate", "key")],
        required_by={"texts": "certificate"},
        required_one_of=[("certificate", "self_signed", "authority")],
        mutually_exclusive=[("certificate", "self_signed", "authority")],
        supports_check_mode=True,
    )
    find_sbin()
    params = module.params
    reason = ""
    try:
        if params["self_signed"]:
            if not params["names"]:
                raise InputError("names is empty; give the names and addresses that clients reach the gateway by")
            reason = _certificate.hold_self_signed(
                module.run_command,
                f"{params['self_signed']}/self-signed.pem",
                f"{params['self_signed']}/certificate.pem",
                params["names"],
                params["days"],
                params["renew_days"],
                time.time,
                module.check_mode,
            )
            if reason and not module.check_mode:
                nginx = Nginx(module.run_command)
                nginx.owe()
                nginx.reload()
        elif params["authority"]:
            _certificate.check_authority(params["authority"])
        else:
            openssl = module.run_command if module.get_bin_path("openssl") else None
            wanted, texts = (params["certificate"], params["key"]), params["texts"]
            held = (str(texts.get("certificate")), str(texts.get("key"))) if texts else None
            for warning in _certificate.check_files(openssl, *wanted, time.time(), held):
                module.warn(warning)
    except GpuserveError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=bool(reason), reason=reason)


if __name__ == "__main__":
    main()
