"""The top-level keys of cloud-config, so that a misspelt one is noticed.

Not to refuse anything: distributions and part handlers add their own. cloud-init ignores a key that
it does not know without a word, and its schema lets unknown keys pass in several releases.

References: cloud-init 22.4 to 26.2 ``cloudinit/config/schemas/schema-cloud-config-v1.json``.
"""

from __future__ import annotations

import difflib

#: Below this two keys have little in common: ``runcmdd`` and ``runcmd`` have 0.92.
_CLOSE = 0.85

_KEYS = """
allow_public_ssh_keys allow_userdata ansible apk_repos apt apt_pipelining apt_reboot_if_required
apt_update apt_upgrade authkey_hash autoinstall bootcmd byobu_by_default ca-certs ca_certs chef
chpasswd cloud_config_modules cloud_final_modules cloud_init_modules create_hostname_file datasource
datasource_list debug device_aliases disable_ec2_metadata disable_root disable_root_opts disk_setup
drivers fan final_message fqdn fs_setup groups growpart grub-dpkg grub_dpkg hostname instance-id
keyboard landscape launch-index local-hostname locale locale_configfile lxd manage_etc_hosts
manage_resolv_conf mcollective merge_how merge_type migrate mount_default_fields mounts network
no_ssh_fingerprints ntp output package_reboot_if_required package_update package_upgrade packages
password phone_home power_state prefer_fqdn_over_hostname preserve_hostname puppet random_seed
reporting resize_rootfs resolv_conf rh_subscription rpi rsyslog runcmd salt_minion snap spacewalk
ssh ssh_authorized_keys ssh_deletekeys ssh_fp_console_blacklist ssh_genkeytypes ssh_import_id
ssh_key_console_blacklist ssh_keys ssh_publish_hostkeys ssh_pwauth ssh_quiet_keygen swap system_info
timezone ubuntu_advantage ubuntu_pro updates user users vendor_data vendor_data2 version wireguard
write_files yum_repo_dir yum_repos zypper
"""
KNOWN = frozenset(_KEYS.split())


def probably_meant(key: str) -> str:
    """The known key that *key* is a misspelling of; empty when it is known, or like none."""
    if key in KNOWN:
        return ""
    spelled = key.lower().replace("-", "_")
    close = difflib.get_close_matches(spelled, KNOWN, n=1, cutoff=_CLOSE)
    return close[0] if close else ""
