#!/bin/sh
# Runs in the guest, from a throw-away overlay: says who the running machine is, then turns it off.
# A line is a key, a blank and a value. unclone/runs/prove/guest_report.py reads it.
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export PATH LC_ALL=C

port() {
    modprobe virtio_console 2>/dev/null
    for name in /sys/class/virtio-ports/*/name; do
        [ "$(cat "$name" 2>/dev/null)" = org.unclone.report ] || continue
        device=/dev/$(basename "$(dirname "$name")")
        [ -c "$device" ] && echo "$device" && return
    done
    return 1
}

say() { printf '%s %s\n' "$1" "$2" >&3; }

each() {
    while IFS= read -r line; do say "$1" "$line"; done
}

words() {
    while read -r word rest; do say "$1" "$word"; done
}

systemd=
[ -d /run/systemd/system ] && systemd=1
state=running
if [ -n "$systemd" ]; then
    if device=$(port); then
        exec 3>"$device"
        say begin 1
    fi
    tries=0
    while [ $tries -lt 240 ]; do
        state=$(systemctl is-system-running 2>/dev/null)
        case $state in running | degraded | maintenance) break ;; esac
        tries=$((tries + 1))
        sleep 1
    done
fi
if [ -z "$device" ]; then
    tries=0
    until device=$(port) || [ $tries -ge 5 ]; do
        tries=$((tries + 1))
        sleep 1
    done
    if [ -z "$device" ]; then
        device=/dev/ttyS1
        stty -F $device raw 115200 2>/dev/null
    fi
    exec 3>"$device"
    say begin 1
fi

say init "$(cat /proc/1/comm 2>/dev/null)"
say state "$state"
say machine-id "$(cat /etc/machine-id 2>/dev/null)"
say dbus-machine-id "$(cat /var/lib/dbus/machine-id 2>/dev/null)"
(systemd-id128 machine-id; dbus-uuidgen --get) 2>/dev/null | each told-machine-id
ls /var/log/journal 2>/dev/null | each journal
say hostname "$(cat /proc/sys/kernel/hostname)"
say instance-id "$(cat /var/lib/cloud/data/instance-id 2>/dev/null)"
say instance-now "$(cat /run/cloud-init/.instance-id 2>/dev/null)"
say kernel "$(uname -r)"
cat /proc/cmdline | each cmdline
# What is mounted on demand is mounted now: fstab's "x-systemd.automount".
while read -r _ place type _; do
    case $type:$place in
    autofs:/proc/*) ;;
    autofs:*) timeout 100 ls "$place" >/dev/null 2>&1 ;;
    esac
done </proc/mounts
(findmnt -Pno TARGET,UUID,SOURCE,FSTYPE,OPTIONS 2>/dev/null || cat /proc/mounts) | each mount
number=$(mountpoint -d / 2>/dev/null) &&
    say root-device "$(basename "$(readlink "/sys/dev/block/$number")" 2>/dev/null)"
ls /dev/mapper 2>/dev/null | each mapped
(blkid -c /dev/null 2>/dev/null || blkid 2>/dev/null) | each device
for disk in /dev/vd? /dev/sd? /dev/nvme?n?; do
    [ -b "$disk" ] && blkid -c /dev/null -p "$disk" 2>/dev/null | each device
done
(swapon --noheadings --raw --show=NAME,UUID 2>/dev/null || tail -n +2 /proc/swaps) | each swap
resume=$(cat /sys/power/resume 2>/dev/null)
[ "${resume:-0:0}" = 0:0 ] || say resume "$(lsblk -nro UUID "/dev/block/$resume" 2>/dev/null)"
pvs --noheadings -o pv_uuid,vg_uuid 2>/dev/null | each volume
mdadm --detail --scan 2>/dev/null | each array
# The private key is what the machine shows to others: the file beside it may be another's.
for key in /etc/ssh/ssh_host_*_key; do
    [ -f "$key" ] || continue
    public=$(ssh-keygen -y -P "" -f "$key" 2>/dev/null </dev/null) || public=$(cat "$key.pub")
    say host-key "$key.pub $public"
done
for card in /sys/class/net/*; do
    [ -e "$card/device" ] || continue
    own=$card/bonding_slave/perm_hwaddr # a card in a bond shows the address of the bond
    [ -f "$own" ] || own=$card/address
    say card "$(basename "$card") $(cat "$own")"
done
ip -o addr show scope global 2>/dev/null | each address
if [ -n "$systemd" ]; then
    set -- --no-legend --no-pager
    systemctl list-units --type=service --state=running --plain "$@" 2>/dev/null | words active
    systemctl list-unit-files --type=service --state=enabled "$@" 2>/dev/null | words enabled
    systemctl list-units --state=failed --plain "$@" 2>/dev/null | each failed
    [ "$state" = running ] || [ "$state" = degraded ] ||
        systemctl list-jobs "$@" 2>/dev/null | each job
    systemd-analyze time 2>/dev/null | head -n 1 | each boot-time
else
    # OpenRC: what did not start, and what started and ended.
    (ls /run/openrc/failed; rc-status --nocolor --crashed) 2>/dev/null | words failed
fi
say end 1
sync
if [ -n "$systemd" ]; then
    systemctl poweroff --no-block
else
    poweroff
fi
