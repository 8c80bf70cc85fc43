"""Let the real cloud-init take a seed in, in a folder of its own, and print what it made of it.

``python read_seed.py SEED_FOLDER WORK_FOLDER``: runs the installed package's stages (find the
datasource, process user-data and vendor-data, merge) as its ``init`` command does; applies nothing
to this host. Prints one JSON object. In a process of its own, because cloud-init has global state.
"""

from __future__ import annotations

import importlib
import json
import logging
import os
import shutil
import sys
from pathlib import Path
from typing import Any

#: What an image may have in /etc/cloud, against the seed.
IMAGE = {"preserve_hostname": True, "ssh_deletekeys": False, "users": ["default"]}


def main(seed: Path, work: Path) -> dict[str, Any]:
    config = work / "cloud.cfg"
    shutil.copytree(seed, work / "cloud" / "seed" / "nocloud")
    config.write_text(
        json.dumps(
            {
                "datasource_list": ["NoCloud"],
                "datasource": {"NoCloud": {"fs_label": None}},
                "system_info": {
                    "distro": "debian",
                    "paths": {"cloud_dir": str(work / "cloud"), "run_dir": str(work / "run")},
                },
            }
        )
    )
    os.environ["CLOUD_CFG"] = str(config)
    stages: Any = importlib.import_module("cloudinit.stages")
    warnings = _Warnings()
    logging.getLogger().addHandler(warnings)  # importing cloudinit resets the logger
    init = stages.Init()
    init.read_cfg()
    init.initialize()
    source = init.fetch()
    init.instancify()
    init.update()
    init.consume_data("always")
    # What the modules would be given: user-data over vendor-data over the image's own.
    helpers: Any = importlib.import_module("cloudinit.helpers")
    paths = init.paths
    del os.environ["CLOUD_CFG"]  # it would win over user-data; an image's own files do not
    merged: Any = helpers.ConfigMerger(paths, source, base_cfg=IMAGE).cfg
    scripts = work / "cloud" / "instance" / "scripts"
    return {
        "datasource": type(source).__name__,
        "instance_id": source.get_instance_id(),
        "hostname": list(source.get_hostname(fqdn=True))[:2],
        "network": source.network_config,
        "config": {
            key: merged.get(key)
            for key in (
                *("hostname", "fqdn", "users", "ssh_authorized_keys", "packages", "runcmd"),
                *("timezone", "growpart", "preserve_hostname", "ssh_deletekeys", "password"),
            )
        },
        "scripts": {p.name: p.read_text() for p in sorted(scripts.rglob("*")) if p.is_file()},
        "warnings": warnings.said,
    }


class _Warnings(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(record.getMessage())


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), Path(sys.argv[2]).resolve()), default=str))
