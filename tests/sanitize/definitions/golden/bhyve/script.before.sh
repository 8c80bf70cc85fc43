#!/bin/sh
# starts the machine after its loader
NAME=golden
MAC="58:9c:fc:0a:3f:01"
DISK=/vm/golden/disk0.img

bhyvectl --destroy --vm=$NAME 2>/dev/null
bhyveload -m 1024 -d ${DISK} -c /dev/nmdm0A $NAME
exec bhyve -c 2 -m 1024 -AHP \
    -s 0:0,hostbridge -s 1:0,lpc \
    -s 2:0,virtio-net,tap0,mac=${MAC} \
    -s 3:0,virtio-blk,${DISK} \
    -s 4:0,ahci-cd,/iso/install.iso \
    -s 5:0,virtio-9p,share=/srv/share \
    -l com1,/dev/nmdm0A \
    "$NAME"
