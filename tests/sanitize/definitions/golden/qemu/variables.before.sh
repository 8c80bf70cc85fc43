#!/usr/bin/env bash
# Usage: ./run-vm.sh [extra options]

VM_NAME="golden"          # also the name of the folder's files
DIR=/home/anna/vms
DISK=$DIR/${VM_NAME}.qcow2
MAC=${MAC:-52:54:00:12:34:56}
UUID='a5e7c4b0-6d5c-4c8e-9d3b-7f1f6a1f2e10'
MEM=2048

if [ ! -f "$DISK" ]; then
	qemu-img create -f qcow2 "$DISK" 20G   # not QEMU itself
fi

mkdir -p "/run/vms"; rm -f "/run/vms/$VM_NAME.sock"
swtpm socket --tpmstate dir="$DIR/$VM_NAME-tpm" --ctrl type=unixio,path="/run/vms/$VM_NAME-tpm.sock" &

OPTS=(
	-name "$VM_NAME"
	-uuid "$UUID"                       # the same as in SMBIOS
	-smbios "type=1,uuid=$UUID,serial=ds=nocloud;h=$VM_NAME"
	-m "$MEM" -enable-kvm
	-drive "file=$DISK,if=virtio,format=qcow2"
	-nic "user,model=virtio,mac=$MAC,hostfwd=tcp::2200-:22"
)
if [ -n "$DISPLAY" ]; then OPTS+=(-display gtk); else
	OPTS+=(-display vnc=unix:/run/vms/vnc.sock)
fi
SERIAL="-serial mon:unix:/run/vms/$VM_NAME.serial,server,nowait"
SERIAL="$SERIAL -monitor none"

cat > /run/vms/info <<INFO
$VM_NAME is started by $USER with "quotes
INFO

qemu-system-x86_64 "${OPTS[@]}" $SERIAL \
	-chardev socket,id=mon,path="/run/vms/$VM_NAME.sock",server=on,wait=off -mon mon,mode=control \
	-cdrom "$DIR/seed.iso" \
	-pidfile /run/vms/$VM_NAME.pid "$@"
