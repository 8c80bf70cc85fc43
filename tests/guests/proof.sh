# Runs inside the guest, as the last thing of its boot. Everything goes to the second serial
# port, where no kernel message can fall between the words; then the machine turns itself off.
exec >/dev/ttyS1 2>&1
stty -F /dev/ttyS1 raw 115200

say() { printf 'UNCLONE-PROOF %s=%s\n' "$1" "$2"; }

kind() {
    if [ -L "$1" ]; then echo "symlink to $(readlink "$1")"
    elif [ -f "$1" ]; then echo "file"
    elif [ -e "$1" ]; then echo "other"
    else echo "missing"
    fi
}

say begin 1
say machine-id "$(cat /etc/machine-id)"
say machine-id-kind "$(kind /etc/machine-id)"
say dbus-machine-id "$(cat /var/lib/dbus/machine-id)"
say dbus-machine-id-kind "$(kind /var/lib/dbus/machine-id)"
say systemd-machine-id "$(systemd-id128 machine-id)"
say bus-machine-id "$(dbus-uuidgen --get)"
say hostname "$(hostname)"
say root-uuid "$(findmnt -no UUID /)"
say root-options "$(findmnt -no OPTIONS /)"
for place in / /boot /boot/efi; do
    say "mount-$place" "$(findmnt -no UUID,SOURCE "$place" | tr -s ' ')"
done
blkid -c /dev/null | while IFS= read -r line; do
    say "blkid-${line%%: *}" "${line#*: }"
done
say disk "$(blkid -c /dev/null -p -s PTUUID -o value /dev/vda)"
say swap "$(swapon --noheadings --show=UUID,NAME | tr -s ' ' | paste -sd,)"
# What the initrd made of RESUME=: it has told the kernel where a hibernated system would be.
say resume "$(lsblk -nro UUID "/dev/block/$(cat /sys/power/resume)")"
say volumes "$(pvs --noheadings -o pv_uuid,vg_uuid | tr -s " " | paste -sd,)"
say cmdline "$(cat /proc/cmdline)"
say sshd "$(systemctl is-active ssh.service)"
say failed-units "$(systemctl list-units --state=failed --plain --no-legend | cut -d' ' -f1 | paste -sd,)"
say instance-id "$(cat /var/lib/cloud/data/instance-id)"
say mac "$(cat /sys/class/net/e*/address 2>/dev/null | paste -sd,)"
say journal "$(ls /var/log/journal | paste -sd,)"
for key in /etc/ssh/ssh_host_*_key.pub; do
    say "host-key-$(basename "$key" .pub)" "$(ssh-keygen -lf "$key" | cut -d' ' -f2)"
done
say kernel "$(uname -r)"
say uptime "$(cut -d' ' -f1 /proc/uptime)"
say end 1
sync
systemctl poweroff --no-block
