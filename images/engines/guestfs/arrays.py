"""Stopping an MD array with everything on top of it, and starting all of it again.

On top are device-mapper devices: logical volumes and opened LUKS containers. Their tables are kept
in the appliance's memory meanwhile; with the same tables the same devices are made again, under the
same names, without a key.

References: Linux ``Documentation/ABI/testing/sysfs-block`` (``holders``), dmsetup(8) ``table
--showkeys``, mdadm(8) ``--assemble``.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from unclone.images.errors import EngineError
from unclone.images.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from unclone.images.engines.guestfs.appliance import Appliance

_KEPT = "/run/unclone-array"

#: Prints the names of the arrays that contain one of the members.
_ARRAYS = r"""
arrays() {
  for member in MEMBERS; do
    for holder in /sys/block/*/${member#/dev/}/holders/* /sys/block/${member#/dev/}/holders/*; do
      case ${holder##*/} in md*) echo -n "${holder##*/} ";; esac
    done
  done
}
"""

#: Saves name, UUID and table of each device, topmost first, and removes it.
_STOP = r"""
set -e; exec 2>&1 </dev/null; umask 077; rm -rf KEPT; mkdir KEPT
array=$(arrays)
array=${array%% *}
[ -n "$array" ] || exit 0
above() (
  for holder in /sys/block/$1/holders/*; do
    [ -e "$holder" ] || continue
    above ${holder##*/}; echo ${holder##*/}
  done
)
number=100
seen=" "
for device in $(above $array); do
  case $seen in *" $device "*) continue;; esac
  case $device in dm-*) ;; *) echo "$device is on top of $array"; exit 1;; esac
  seen="$seen$device "
  number=$((number + 1))
  cat /sys/block/$device/dm/name >KEPT/$number.name
  cat /sys/block/$device/dm/uuid >KEPT/$number.uuid
  dmsetup table --showkeys /dev/$device >KEPT/$number.table
  dmsetup remove --retry /dev/$device
done
mdadm --quiet --stop /dev/$array
echo $array >KEPT/array
udevadm settle
"""

#: When a member has been written, udev may assemble it by itself, under another name.
_START = r"""
set -e; exec 2>&1 </dev/null
if [ -e KEPT/array ]; then
  udevadm settle
  for array in $(arrays); do
    # Its node comes, or goes, a moment after the array.
    for attempt in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
      [ -e /sys/block/$array ] || break
      mdadm --quiet --stop /dev/$array && break
      udevadm settle
      sleep 0.5
    done
  done
  mdadm --assemble --run /dev/$(cat KEPT/array) MEMBERS
  for table in $(ls -r KEPT/*.table 2>/dev/null); do
    kept=${table%.table}
    dmsetup create "$(cat $kept.name)" --uuid "$(cat $kept.uuid)" $table
  done
fi
rm -rf KEPT; udevadm settle
"""


@contextmanager
def restarted(appliance: Appliance, members: Sequence[str]) -> Iterator[None]:
    """Stop the array with the nodes *members* for the block; nothing is mounted.

    Raises EngineError when a device on top of it cannot be made again.
    """
    try:
        appliance.shell(_filled(_STOP, members))
    except EngineError as error:
        raise EngineError(f"the array cannot be stopped: {printable(error.message)}") from error
    yield
    try:
        appliance.shell(_filled(_START, members))
    except EngineError as error:
        raise EngineError(f"the array does not start again: {printable(error.message)}") from error


def _filled(script: str, members: Sequence[str]) -> str:
    return (_ARRAYS + script).replace("KEPT", _KEPT).replace("MEMBERS", " ".join(members))
