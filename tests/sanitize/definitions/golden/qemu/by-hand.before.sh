#!/bin/sh
# The golden web server. Start with: sudo ./golden.sh
set -e

exec qemu-system-x86_64 \
    -name guest=golden,process=qemu-golden,debug-threads=on \
    -uuid 6695eb01-f6a4-4304-b9aa-97f2502e193f \
    -machine q35,accel=kvm -cpu host -smp 4 -m 4G \
    -smbios type=1,manufacturer='Acme, Inc.',product=Server,serial=ACME-00123456,uuid=6695EB01-F6A4-4304-B9AA-97F2502E193F \
    -smbios type=2,serial=BRD0012345,asset=inv-77 -smbios "type=3,serial=CHS0067890" \
    -smbios type=11,value=role=golden \
    -device vmgenid,guid=324e6eaf-d1d1-4bf6-bf41-b9bb6c91fb87,id=vmgenid0 \
    -drive if=pflash,format=raw,readonly=on,file=/usr/share/OVMF/OVMF_CODE_4M.fd \
    -drive if=pflash,format=raw,file=golden_VARS.fd \
    -drive file=/var/lib/vms/golden.qcow2,if=none,id=root,format=qcow2,cache=none \
    -device virtio-blk-pci,drive=root,serial=WD-WCAV5B7204,bootindex=1 \
    -drive file=/srv/iso/debian.iso,media=cdrom,readonly=on \
    -device virtio-scsi-pci,id=scsi0 \
    -drive "file=/var/lib/vms/data,,old.raw",if=none,id=data,format=raw \
    -device scsi-hd,drive=data,bus=scsi0.0,serial=data01,device_id=0QEMU-12345678,wwn=0x5000c50015ea71ac \
    -netdev tap,id=lan,ifname=tap0,script=no,downscript=no \
    -device virtio-net-pci,netdev=lan,mac=52:54:00:4B:73:5F \
    -netdev user,id=mgmt,hostfwd=tcp::2222-:22,hostfwd=tcp:127.0.0.1:8443-:443,hostfwd=unix:/run/golden-ssh.sock-:22,hostname=golden \
    -device e1000,netdev=mgmt,mac=52-54-00-4b-73-60 \
    -device vhost-vsock-pci,guest-cid=42 \
    -chardev socket,id=chrtpm,path=/run/swtpm/golden.sock \
    -tpmdev emulator,id=tpm0,chardev=chrtpm -device tpm-crb,tpmdev=tpm0 \
    -chardev socket,id=qga0,path=/run/qga.sock,server=on,wait=off \
    -device virtio-serial -device virtserialport,chardev=qga0,name=org.qemu.guest_agent.0 \
    -chardev file,id=log0,path=/var/log/vms/golden-console.log,logfile=/var/log/vms/log0 \
    -chardev socket,id=con0,host=127.0.0.1,port=4555,server=on,wait=off \
    -chardev socket,id=peer,host=192.0.2.7,port=4556 \
    -serial telnet:127.0.0.1:4321,server,nowait -serial file:/var/log/vms/serial.txt -serial chardev:con0 \
    -monitor unix:/run/golden.mon,server,nowait \
    -qmp tcp:localhost:4444,server=on,wait=off -s -gdb tcp::1234 \
    -vnc 127.0.0.1:1,websocket=5701,password=on \
    -spice port=5930,tls-port=5931,disable-ticketing=on,password=geheim \
    -object secret,id=sec0,data=c2VjcmV0 \
    -object memory-backend-file,id=shm,share=on,mem-path=/dev/shm/golden,size=1M \
    -virtfs local,path=/srv/share,mount_tag=share,security_model=none \
    -device vfio-pci,host=01:00.0 -device u2f-emulated,dir=/srv/u2f \
    -device usb-mtp,rootdir=/srv/golden \
    -fw_cfg name=opt/org.example/role,string=golden \
    -acpitable sig=SLIC,file=/var/lib/firmware/slic.bin \
    -global virtio-blk-pci.serial=S900012399 \
    -audiodev wav,id=a0,path=/tmp/golden.wav \
    -kernel /boot/vmlinuz -append 'root=UUID=0b0f6e2c-3b3c-4b0e-9a39-0d5c1a4d8d3e ro quiet' \
    -D /var/log/vms/qemu.log -pidfile /run/golden.pid -daemonize
