# Runs inside the guest, as the last thing of its boot. Everything goes to the second serial
# port, where no kernel message can fall between the words; then the machine turns itself off.
exec >/dev/ttyS1 2>&1
stty -F /dev/ttyS1 raw 115200

say() { printf 'UNCLONE-PROOF %s=%s\n' "$1" "$2"; }

# Only now: what is mounted when it is used is used here.
ls /efi /boot >/dev/null 2>&1
say machine-id "$(cat /etc/machine-id)"
say systemd-machine-id "$(systemd-id128 machine-id)"
say var-partition "$(systemd-id128 -u -a 4d21b016b53445c2a9fb5c16e091fd2d machine-id)"
say journal "$(ls /var/log/journal | paste -sd,)"
findmnt --real --raw --noheadings -o TARGET,UUID,PARTUUID | while read -r target uuid partition; do
    say "mount-$target" "$uuid $partition"
done
for marked in / /var /home /srv; do say "mark-$marked" "$(cat "${marked%/}/MARK")"; done
blkid -c /dev/null | while IFS= read -r line; do
    say "blkid-${line%%: *}" "${line#*: }"
done
say swap "$(swapon --noheadings --show=UUID | paste -sd,)"
say resume "$(lsblk -nro UUID "/dev/block/$(cat /sys/power/resume)")"
say array "$(mdadm --detail --export /dev/md* 2>/dev/null | grep ^MD_ | paste -sd' ')"
say cmdline "$(cat /proc/cmdline)"
say fstab "$(readlink /etc/fstab)"
say failed-units "$(systemctl list-units --state=failed --plain --no-legend | cut -d' ' -f1 | paste -sd,)"
say uptime "$(cut -d' ' -f1 /proc/uptime)"
say end 1
sync
systemctl poweroff --no-block
