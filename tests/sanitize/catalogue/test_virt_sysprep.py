"""Whatever virt-sysprep takes away has its place here: a row, a code step, or a reason.

The operations and paths are those of guestfs-tools 1.57 (virt-sysprep(1), OPERATIONS).
"""

from __future__ import annotations

import pytest

from tests.support.row_trees import concrete, covers
from unclone.sanitize.catalogue import load
from unclone.sanitize.options import Profile
from unclone.sanitize.steps import STEPS

ROWS = {step.row.id: step.row for step in load()}
CODE = {step.info.id for step in STEPS}

#: Operation -> the rows and code steps that do its work.
DONE_BY = {
    "abrt-data": ["abrt-dumps"],
    "backup-files": ["backup-files", "backup-files-data", "tmp-files"],
    "bash-history": ["shell-history"],
    "blkid-tab": ["blkid-cache"],
    "ca-certificates": ["ca-certificates"],
    "crash-data": ["crash-dumps"],
    "cron-spool": ["cron-jobs"],
    "dhcp-client-state": ["dhclient-leases"],
    "dhcp-server-state": ["dhcp-server-leases"],
    "dovecot-data": ["dovecot-data"],
    "firewall-rules": ["firewall-rules"],
    "ipa-client": ["ipa-client"],
    "kerberos-data": ["kerberos-kdc-database"],
    "kerberos-hostkeytab": ["kerberos-host-keytab"],
    "logfiles": [
        "desktop-caches",
        "desktop-users",
        "fingerprints",
        "installer-logs",
        "journal-folders",
        "journals",
        "log-files",
        "log-folders",
        "login-records",
        "logrotate-status",
        "pegasus-certificates",
        "rotated-logs",
    ],
    "lvm-system-devices": ["lvm-devices"],
    "machine-id": ["machine-id"],
    "mail-spool": ["mail-spool"],
    "net-hostname": ["ifcfg-hostname"],
    "net-hwaddr": ["mac-pins"],
    "net-nmconn": ["networkmanager-connections"],
    "pacct-log": ["process-accounting"],
    "package-manager-cache": ["package-caches"],
    "pam-data": ["pam-faillock"],
    "passwd-backups": ["passwd-backups"],
    "puppet-data-log": ["log-folders", "puppet-agent-ssl", "puppet-agent-state"],
    "rh-subscription-manager": ["rhsm-consumer"],
    "rhn-systemid": ["rhn-systemid"],
    "rpm-db": ["rpm-db-cache"],
    "samba-db-log": ["log-folders", "samba-accounts", "samba-caches", "samba-secrets"],
    "smolt-uuid": ["smolt-uuid"],
    "ssh-hostkeys": ["ssh-host-keys"],
    "ssh-userdir": ["ssh-user-folders"],
    "sssd-db-log": ["log-folders", "sssd-cache"],
    "tmp-files": ["tmp-files"],
    "udev-persistent-net": ["mac-pins"],
    "utmp": ["utmp"],
    "yum-uuid": ["yum-uuid"],
    "zsh-history": ["shell-history"],
}

#: Operation -> why nothing here does it (yet).
NOT_DONE = {
    "customize": "sets what a person asks for; its random seed and machine-id have rows and steps",
    "flag-reconfiguration": "makes the first boot ask questions, which no clone is there to answer",
    "fs-uuids": "identifiers of devices are renewed with every reference, by code steps to come",
    "lvm-uuids": "identifiers of devices are renewed with every reference, by code steps to come",
    "script": "runs a person's program; a hook in the pipeline does that",
    "user-account": "removes people, and their data with them",
}

#: Off unless asked for in virt-sysprep: then off here too, or not done.
OFF_THERE = {
    "ca-certificates",
    "firewall-rules",
    "flag-reconfiguration",
    "fs-uuids",
    "kerberos-data",
    "user-account",
}

#: The cleanup operations: they are for templates, so no row of theirs runs without golden. What is
#: an identity all the same (a machine account among Samba's databases) is named.
CLEANUP = {
    "abrt-data": set(),
    "backup-files": set(),
    "bash-history": set(),
    "crash-data": set(),
    "cron-spool": set(),
    "dovecot-data": set(),
    "logfiles": {"journal-folders"},
    "mail-spool": set(),
    "pacct-log": set(),
    "package-manager-cache": set(),
    "pam-data": set(),
    "passwd-backups": set(),
    "puppet-data-log": {"puppet-agent-ssl"},
    "rpm-db": set(),
    "samba-db-log": {"samba-secrets"},
    "ssh-userdir": set(),
    "sssd-db-log": set(),
    "tmp-files": set(),
    "utmp": set(),
    "zsh-history": set(),
}

LOGFILES = [
    "/etc/Pegasus/*.cnf",
    "/etc/Pegasus/*.crt",
    "/etc/Pegasus/*.csr",
    "/etc/Pegasus/*.pem",
    "/etc/Pegasus/*.srl",
    "/root/anaconda-ks.cfg",
    "/root/anaconda-post.log",
    "/root/initial-setup-ks.cfg",
    "/root/install.log",
    "/root/install.log.syslog",
    "/root/original-ks.cfg",
    "/var/cache/fontconfig/*",
    "/var/cache/gdm/*",
    "/var/cache/man/*",
    "/var/lib/AccountService/users/*",
    "/var/lib/fprint/*",
    "/var/lib/logrotate.status",
    "/var/log/BackupPC/LOG",
    "/var/log/ConsoleKit/*",
    "/var/log/anaconda.syslog",
    "/var/log/anaconda/*",
    "/var/log/apache2/*_log",
    "/var/log/ceph/*.log",
    "/var/log/chrony/*.log",
    "/var/log/exim4/mainlog",
    "/var/log/gdm/*",
    "/var/log/glusterfs/*glusterd.vol.log",
    "/var/log/glusterfs/glusterfs.log",
    "/var/log/httpd/*log",
    "/var/log/installer/*",
    "/var/log/jetty/jetty-console.log",
    "/var/log/journal/*",
    "/var/log/libvirt/libvirtd.log",
    "/var/log/libvirt/libxl/*.log",
    "/var/log/libvirt/lxc/*.log",
    "/var/log/libvirt/qemu/*.log",
    "/var/log/libvirt/uml/*.log",
    "/var/log/lightdm/*",
    "/var/log/mail/*",
    "/var/log/ntp",
    "/var/log/ntpstats/*",
    "/var/log/ppp/connect-errors",
    "/var/log/rhsm/*",
    "/var/log/sa/*",
    "/var/log/setroubleshoot/*.log",
    "/var/log/squid/*.log",
    "/var/log/tuned/tuned.log",
    "/var/named/data/named.run",
]

#: Where virt-sysprep has ``/var/log/NAME*``: the file itself, and as logrotate names old ones.
LOGFILES += [
    f"/var/log/{name}{suffix}"
    for name in (
        "any.log",
        "apache2/any_log",
        "apt/any.log",
        "aptitude.log",
        "audit/audit.log",
        "btmp",
        "cron",
        "cups/any_log",
        "debug",
        "dmesg",
        "faillog",
        "firewalld",
        "grubby",
        "lastlog",
        "maillog",
        "messages",
        "secure",
        "spooler",
        "syslog",
        "tallylog",
        "wtmp",
        "xferlog",
    )
    for suffix in ("", ".1", ".2.gz", "-20240131", "-20240131.gz", ".old")
]

#: What the other operations take away.
OTHERS = [
    "/dev/.blkid.tab",
    "/etc/blkid.tab",
    "/etc/blkid/blkid.tab",
    "/etc/blkid/blkid.tab.old",
    "/var/run/blkid.tab",
    "/etc/group-",
    "/etc/gshadow-",
    "/etc/ipa/ca.crt",
    "/etc/ipa/default.conf",
    "/etc/krb5.keytab",
    "/etc/lvm/devices/system.devices",
    "/etc/passwd-",
    "/etc/pki/consumer/*",
    "/etc/pki/entitlement/*",
    "/etc/pki/ca-trust/source/anchors/ipa-ca.crt",
    "/etc/pki/ca-trust/source/ipa.p11-kit",
    "/etc/shadow-",
    "/etc/smolt/hw-uuid",
    "/etc/smolt/uuid",
    "/etc/subgid-",
    "/etc/subuid-",
    "/etc/sysconfig/hw-uuid",
    "/etc/sysconfig/rhn/osad-auth.conf",
    "/etc/sysconfig/rhn/systemid",
    "/etc/x.bak",
    "/etc/x/y~",
    "/home/ada/.ssh",
    "/home/ada/.bash_history",
    "/home/ada/.zsh_history",
    "/root/.bash_history",
    "/root/.ssh",
    "/root/.zsh_history",
    "/tmp/*",
    "/usr/local/share/ca-certificates/ipa-ca.crt",
    "/var/account/pacct*",
    "/var/cache/apt/archives/*.deb",
    "/var/cache/dnf/*",
    "/var/cache/yum/*",
    "/var/cache/zypp/*",
    "/var/crash/*",
    "/var/lib/dhclient/*",
    "/var/lib/dhcp/*",
    "/var/lib/dhcpd/dhcpd.leases",
    "/var/lib/dovecot/*",
    "/var/lib/ipa-client/pki/*",
    "/var/lib/ipa-client/sysrestore/*",
    "/var/lib/rpm/__db.001",
    "/var/lib/sss/db/*",
    "/var/lib/yum/uuid",
    "/var/log/account/pacct*",
    "/var/log/dump/*",
    "/var/log/puppet/*",
    "/var/log/samba/*",
    "/var/log/samba/old/*",
    "/var/log/sssd/*",
    "/var/mail/*",
    "/var/run/console/*",
    "/var/run/faillock/*",
    "/var/run/sepermit/*",
    "/var/run/utmp",
    "/var/spool/abrt/*",
    "/var/spool/at/*",
    "/var/spool/cron/*",
    "/var/spool/cron/crontabs/*",
    "/var/spool/mail/*",
    "/var/tmp/*",
]


@pytest.mark.parametrize(("operation", "ids"), DONE_BY.items(), ids=DONE_BY)
def test_what_does_the_work_is_there(operation: str, ids: list[str]) -> None:
    for name in ids:
        assert name in ROWS or name in CODE


def test_there_are_45_operations() -> None:
    assert len(DONE_BY.keys() | NOT_DONE.keys()) == 45
    assert not DONE_BY.keys() & NOT_DONE.keys()
    assert DONE_BY.keys() | NOT_DONE.keys() >= OFF_THERE


@pytest.mark.parametrize("operation", sorted(OFF_THERE & DONE_BY.keys()))
def test_what_is_off_there_is_off_here(operation: str) -> None:
    assert all(ROWS[name].off_because for name in DONE_BY[operation])


@pytest.mark.parametrize(("operation", "identities"), CLEANUP.items(), ids=CLEANUP)
def test_cleanup_is_for_templates(operation: str, identities: set[str]) -> None:
    for name in set(DONE_BY[operation]) - identities:
        assert ROWS[name].profile is Profile.GOLDEN, name


@pytest.mark.slow
def test_every_path_is_taken_here_too() -> None:
    rows = [row for row in ROWS.values() if not row.off_because]
    paths = [path for pattern in {*LOGFILES, *OTHERS} for path in concrete(pattern)]
    assert [path for path in paths if not any(covers(row.paths, path) for row in rows)] == []
