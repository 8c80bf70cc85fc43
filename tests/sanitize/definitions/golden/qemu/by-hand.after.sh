#!/bin/sh
# The golden web server. Start with: sudo ./golden.sh
set -e

exec qemu-system-x86_64 \
    -name guest=web-01,process=qemu-web-01,debug-threads=on \
    -uuid c10e0000-0000-4000-8000-000000000001 \
    -machine q35,accel=kvm -cpu host -smp 4 -m 4G \
    -smbios type=1,manufacturer='Acme, Inc.',product=Server,serial=ACME-00000001,uuid=C10E0000-0000-4000-8000-000000000001 \
    -smbios type=2,serial=BRD0000002,asset=inv-77 -smbios "type=3,serial=CHS0000003" \
    -smbios type=11,value=role=golden \
    -device vmgenid,guid=c10e0000-0000-4000-8000-000000000002,id=vmgenid0 \
    -drive if=pflash,format=raw,readonly=on,file=/usr/share/OVMF/OVMF_CODE_4M.fd \
    -drive if=pflash,format=raw,file=web-01_VARS.fd \
    -drive file=/var/lib/vms/web-01,,\ new.qcow2,if=none,id=root,format=qcow2,cache=none \
    -device virtio-blk-pci,drive=root,serial=WD-0000000004,bootindex=1 \
    -drive file=/srv/iso/web-01-seed.iso,media=cdrom,readonly=on \
    -device virtio-scsi-pci,id=scsi0 \
    -drive "file=/var/lib/vms/web-01-data.raw",if=none,id=data,format=raw \
    -device scsi-hd,drive=data,bus=scsi0.0,serial=data01,device_id=00000-00000005,wwn=0x5000c50000000006 \
    -netdev tap,id=lan,ifname=tap0-web-01,script=no,downscript=no \
    -device virtio-net-pci,netdev=lan,mac=52:54:00:00:00:01 \
    -netdev user,id=mgmt,hostfwd=tcp::2224-:22,hostfwd=tcp:127.0.0.1:8446-:443,hostfwd=unix:/run/web-01-ssh.sock-:22,hostname=web-01 \
    -device e1000,netdev=mgmt,mac=52-54-00-00-00-02 \
    -device vhost-vsock-pci,guest-cid=6 \
    -chardev socket,id=chrtpm,path=/run/swtpm/web-01.sock \
    -tpmdev emulator,id=tpm0,chardev=chrtpm -device tpm-crb,tpmdev=tpm0 \
    -chardev socket,id=qga0,path=/run/qga-web-01.sock,server=on,wait=off \
    -device virtio-serial -device virtserialport,chardev=qga0,name=org.qemu.guest_agent.0 \
    -chardev file,id=log0,path=/var/log/vms/web-01-console.log,logfile=/var/log/vms/log0-web-01 \
    -chardev socket,id=con0,host=127.0.0.1,port=4560,server=on,wait=off \
    -chardev socket,id=peer,host=192.0.2.7,port=4556 \
    -serial telnet:127.0.0.1:4327,server,nowait -serial file:/var/log/vms/serial-web-01.txt -serial chardev:con0 \
    -monitor unix:/run/web-01.mon,server,nowait \
    -qmp tcp:localhost:4451,server=on,wait=off -s -gdb tcp::1242 \
    -vnc 127.0.0.1:10,websocket=5711,password=on \
    -spice port=5941,tls-port=5943,disable-ticketing=on,password=geheim \
    -object secret,id=sec0,data=c2VjcmV0 \
    -object memory-backend-file,id=shm,share=on,mem-path=/dev/shm/golden,size=1M \
    -virtfs local,path=/srv/share,mount_tag=share,security_model=none \
    -device vfio-pci,host=01:00.0 -device u2f-emulated,dir=/srv/u2f \
    -device usb-mtp,rootdir=/srv/golden \
    -fw_cfg name=opt/org.example/role,string=golden \
    -acpitable sig=SLIC,file=/var/lib/firmware/slic.bin \
    -global virtio-blk-pci.serial=S000000007 \
    -audiodev wav,id=a0,path=/tmp/web-01.wav \
    -kernel /boot/vmlinuz -append 'root=UUID=0b0f6e2c-3b3c-4b0e-9a39-0d5c1a4d8d3e ro quiet' \
    -D /var/log/vms/qemu-web-01.log -pidfile /run/web-01.pid -daemonize
